"""Memory for large results.

Most of the time of writing a large tensor for the first time goes into page faults, one for every 4 kB. On Linux a
mapping may ask for pages of 2 MB, which makes that about four times faster (measured by ``benchmarks.convert``).
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

LARGE = 4 << 20
"""Bytes from which huge pages are asked for."""
HUGE_PAGE = 2 << 20
"""A mapping is a whole number of them: the rest of one would be hundreds of small pages."""


def zeros(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A tensor of zeros in main memory, in huge pages if it is large and the system has them."""
    size = prod(shape) * dtype.itemsize
    if size < LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.zeros(*shape, dtype=dtype)
    memory = mmap.mmap(-1, size + -size % HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        memory.madvise(mmap.MADV_HUGEPAGE)
    except OSError:  # a kernel built without them
        return torch.zeros(*shape, dtype=dtype)
    return torch.frombuffer(memory, dtype=dtype, count=prod(shape)).view(*shape)
