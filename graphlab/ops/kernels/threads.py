"""Running compiled loops over ranges of rows in threads.

The loops are compiled without the interpreter's lock, so plain threads run them side by side. This needs none of
numba's threading layers (which do not all survive a fork, or two callers), and each row is computed by one thread in
the order of its entries: results do not depend on the number of threads.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

SERIAL = 1 << 20
"""Work, in multiplications, below which a thread costs more than it saves: about 0.2 ms."""
LINE = 64
"""Bytes that a CPU reads at a time; two threads that write into one hinder each other."""
_CHUNKS = 8
"""Ranges a thread: hubs make ranges of equal numbers of edges unequal in time."""

_pools: dict[int, ThreadPoolExecutor] = {}


def over_rows(rowptr: np.ndarray[Any, Any], width: int, loop: Callable[[int, int], None]) -> None:
    """Call ``loop(first, last)`` for ranges that cover all rows, of about equally many entries each.

    The calling thread works too, and waits for no thread that has not begun.

    Args:
        rowptr: Where the entries of each row begin.
        width: Multiplications an entry.
        loop: Computes the rows from ``first`` up to ``last``; it must not hold the interpreter's lock.
    """
    rows, threads = len(rowptr) - 1, torch.get_num_threads()
    entries = int(rowptr[-1])
    if threads == 1 or (entries + rows) * width < SERIAL:
        loop(0, rows)
        return
    at = np.linspace(0, entries, threads * _CHUNKS + 1)[1:-1]
    cuts = [0, *np.searchsorted(rowptr, at).clip(0, rows).tolist(), rows]
    tasks = deque((a, b) for a, b in itertools.pairwise(cuts) if a < b)

    def work() -> None:
        while tasks:
            try:
                first, last = tasks.popleft()
            except IndexError:  # another thread took it
                return
            loop(first, last)

    helpers = [_pool(threads).submit(work) for _ in range(threads - 1)]
    work()
    for helper in helpers:
        if not helper.cancel():
            helper.result()


def _pool(threads: int) -> ThreadPoolExecutor:
    if threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(threads - 1, "graphlab")
    return _pools[threads]


os.register_at_fork(after_in_child=_pools.clear)
