"""Where a tensor lies in a file, and what it is: everything but its values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

_INT64_MAX = 2**63 - 1
_MAX_DIMENSIONS = 64


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a checkpoint, known from the file's header alone.

    Attributes:
        name: the name it is looked up by.
        shape: its sizes.
        dtype: its type of element.
        file: the file that holds it.
        offset: the byte of `file` at which its first element starts.
        stride: elements from one index to the next, for each dimension.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    file: Path
    offset: int
    stride: tuple[int, ...]

    @property
    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of its elements."""
        return self.numel * self.dtype.itemsize

    @property
    def extent(self) -> int:
        """The elements of the file from its first to its last, gaps included."""
        return extent(self.shape, self.stride)


def extent(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Returns how many elements of memory a strided view spans."""
    if 0 in shape:
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))


def contiguous_stride(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the strides of a dense row-major tensor."""
    stride: list[int] = []
    step = 1
    for size in reversed(shape):
        stride.append(step)
        step *= max(size, 1)
    return tuple(reversed(stride))


def parse_sizes(value: Any, what: str) -> tuple[int, ...]:
    """Returns a shape or a stride read from a file as a tuple of integers.

    Raises:
        ValueError: `value` is no list of at most 64 non-negative 64-bit integers, or their product overflows.
    """
    if not isinstance(value, list | tuple) or len(value) > _MAX_DIMENSIONS:
        raise ValueError(f"{what}: expected a list of at most {_MAX_DIMENSIONS} integers")
    for size in value:
        if type(size) is not int or not 0 <= size <= _INT64_MAX:
            raise ValueError(f"{what}: expected non-negative 64-bit integers")
    return tuple(value)


def parse_shape(value: Any) -> tuple[int, ...]:
    """Returns a shape read from a file.

    Raises:
        ValueError: see `parse_sizes`; also when the number of elements does not fit 64 bits.
    """
    shape = parse_sizes(value, "shape")
    if math.prod(max(size, 1) for size in shape) > _INT64_MAX:
        raise ValueError("shape: the number of elements does not fit 64 bits")
    return shape
