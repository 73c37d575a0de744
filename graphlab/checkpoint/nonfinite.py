"""Counting NaN and infinite elements in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch

CHUNK = 2**22


def count_nonfinite(tensor: torch.Tensor) -> Iterator[tuple[int, int]]:
    """Yields the non-finite elements and the bytes of one chunk of `tensor` after another.

    Args:
        tensor: of any shape, strides and dtype.
    """
    for chunk in _chunks(tensor):
        size = chunk.numel() * chunk.dtype.itemsize
        if not (chunk.is_floating_point() or chunk.is_complex()):
            yield 0, size
            continue
        values = chunk.float() if chunk.dtype.itemsize == 1 else chunk  # float8 has no arithmetic of its own
        # a sum is finite only if every element is, and thirty times cheaper than looking at each
        total = values.sum(dtype=torch.float32 if values.dtype.itemsize == 2 else values.dtype)
        yield 0 if total.isfinite() else values.numel() - int(values.isfinite().count_nonzero()), size


def _chunks(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Splits along the first dimension that can be split: views only, whatever the strides."""
    if tensor.numel() <= CHUNK:
        yield tensor
        return
    dimension = next(index for index, size in enumerate(tensor.shape) if size > 1)
    rows = max(tensor.shape[dimension] * CHUNK // tensor.numel(), 1)
    for start in range(0, tensor.shape[dimension], rows):
        yield from _chunks(tensor.narrow(dimension, start, min(rows, tensor.shape[dimension] - start)))
