"""Maxima over both axes of blocks on a CPU, in one pass over the block."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.compiled import FAST, WIDTH, fill, load, select_larger, store
from graphlab.ops.kernels.threads import over_rows


def supports(x: Tensor, reduction: str) -> bool:
    plain = x.is_cpu and x.dtype in (torch.float32, torch.float64) and x.is_contiguous()
    return plain and reduction == "max" and x.shape[3] >= WIDTH


@implement("block_pool", "numba", supports)
def block_pool(x: Tensor, reduction: str) -> tuple[Tensor, ...]:
    batch, rows, columns, channels = x.shape
    pooled = [x.new_empty(batch, size, channels) for size in (rows, columns)]
    at = [torch.empty(own.shape, dtype=torch.int32) for own in pooled]
    given = x.detach().view(-1, channels).numpy()
    arrays = [own.view(-1, channels).numpy() for own in (*pooled, *at)]

    def loop(first: int, last: int) -> None:
        _maxima(first, last, given, rows, columns, *arrays)

    over_rows(np.arange(batch + 1) * rows * columns, 2 * channels, loop)
    return *pooled, *at


@implement("block_pool_gradient", "numba", lambda d_x, *others: supports(d_x, others[-1]))
def gradient(
    d_x: Tensor, d_rows: Tensor, d_columns: Tensor, rows_at: Tensor, columns_at: Tensor, reduction: str
) -> Tensor:
    d = d_x.clone()
    batch, rows, columns, channels = d_x.shape
    given = [own.contiguous().view(-1, channels).numpy() for own in (d_rows, d_columns, rows_at, columns_at)]
    found = d.view(-1, channels).numpy()

    def loop(first: int, last: int) -> None:
        _spread(first, last, found, rows, columns, *given)

    over_rows(np.arange(batch + 1) * (rows + columns), channels, loop)
    return d


@njit(nogil=True, cache=True, fastmath=FAST)
def _maxima(first, last, x, rows, columns, by_row, by_column, row_at, column_at):  # type: ignore[no-untyped-def]
    channels = x.shape[1]
    for b in range(first, last):
        for start in range(0, channels, WIDTH):
            at = min(start, channels - WIDTH)
            for i in range(rows):
                line = (b * rows + i) * columns
                best, place = load(x, line, at), fill(row_at, 0)
                for j in range(columns):
                    value = load(x, line + j, at)
                    place = select_larger(best, value, place, fill(row_at, j))
                    best = select_larger(best, value, best, value)
                    column = b * columns + j
                    if i == 0:
                        store(by_column, column, at, value)
                        store(column_at, column, at, fill(row_at, 0))
                    else:
                        known, there = load(by_column, column, at), load(column_at, column, at)
                        store(column_at, column, at, select_larger(known, value, there, fill(row_at, i)))
                        store(by_column, column, at, select_larger(known, value, known, value))
                store(by_row, b * rows + i, at, best)
                store(row_at, b * rows + i, at, place)


@njit(nogil=True, cache=True, fastmath=FAST)
def _spread(first, last, d, rows, columns, d_rows, d_columns, row_at, column_at):  # type: ignore[no-untyped-def]
    channels = d.shape[1]
    for b in range(first, last):
        for i in range(rows):
            row = b * rows + i
            for c in range(channels):
                d[row * columns + row_at[row, c], c] += d_rows[row, c]
        for j in range(columns):
            column = b * columns + j
            for c in range(channels):
                d[(b * rows + column_at[column, c]) * columns + j, c] += d_columns[column, c]
