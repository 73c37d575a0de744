"""Statistics of the messages of a tile on a CPU by loops that numba compiles.

Torch's extrema with their places take longer than the products that give the messages.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from graphlab.ops import block_film, block_statistics, block_update
from graphlab.ops.block_statistics import plain_statistics, reference
from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.compiled import FAST
from graphlab.ops.kernels.threads import over_rows


def on_cpu(edge: Tensor, *others: Any) -> bool:
    return edge.is_cpu


for _operator, _products in (
    ("block_statistics_gradient", block_statistics.gradient_reference),
    ("block_film_sum", block_film.reference),
    ("block_film_sum_gradient", block_film.gradient_reference),
    ("block_edge_update", block_update.reference),
    ("block_edge_update_gradient", block_update.gradient_reference),
):
    implement(_operator, "numba", on_cpu)(_products)  # products of tiles: torch's are the fastest


def compiled_statistics(m: Tensor, axis: int, spread: bool, extrema: bool) -> tuple[Tensor, ...]:
    """As :func:`~graphlab.ops.block_statistics.plain_statistics`."""
    if not extrema:
        return plain_statistics(m, axis, spread, extrema)
    shape = (len(m), m.shape[3 - axis], m.shape[3])
    total, deviations, least, most = (m.new_empty(shape) for _ in range(4))
    least_at, most_at = (torch.empty(shape, dtype=torch.int32) for _ in range(2))
    results = (total, deviations, least, most, least_at, most_at)
    given, arrays = m.contiguous().numpy(), [part.numpy() for part in results]
    receivers, senders = shape[1], m.shape[axis]

    def loop(first: int, last: int) -> None:
        _statistics(first, last, given.ravel(), receivers, senders, axis == 1, spread, *arrays)

    over_rows(np.arange(len(m) * receivers + 1) * senders, 4 * shape[2], loop)
    return results


implement("block_statistics", "numba", on_cpu)(functools.partial(reference, statistics=compiled_statistics))


@njit(nogil=True, cache=True, fastmath=FAST)
def _statistics(  # type: ignore[no-untyped-def]
    first, last, m, receivers, senders, senders_first, spread, total, deviations, least, most, least_at, most_at
):
    """Sum and extrema, then squares about the mean of messages that the first pass has left in the cache."""
    channels = total.shape[2]
    step = (receivers if senders_first else 1) * channels
    share = total.dtype.type(1) / total.dtype.type(senders)
    for i in range(first, last):
        b, r = i // receivers, i % receivers
        begin = (b * receivers * senders + (r if senders_first else r * senders)) * channels
        sums, squares, low, high = total[b, r], deviations[b, r], least[b, r], most[b, r]
        low_at, high_at = least_at[b, r], most_at[b, r]
        for c in range(channels):
            low[c] = high[c] = m[begin + c]
            sums[c] = squares[c] = 0
            low_at[c] = high_at[c] = 0
        for j in range(senders):
            row = m[begin + j * step : begin + j * step + channels]
            for c in range(channels):
                value = row[c]
                sums[c] += value
                new = value != value and low[c] == low[c]
                lower, higher = value < low[c] or new, value > high[c] or new
                low[c] = value if lower else low[c]
                low_at[c] = j if lower else low_at[c]
                high[c] = value if higher else high[c]
                high_at[c] = j if higher else high_at[c]
        if spread:
            for j in range(senders):
                row = m[begin + j * step : begin + j * step + channels]
                for c in range(channels):
                    apart = row[c] - sums[c] * share
                    squares[c] += apart * apart
