"""Attention of small sets on a CPU: sixteen heads at a time are the lanes of vector registers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.compiled import FAST, WIDTH, add, fill, load, select_larger, store, times
from graphlab.ops.kernels.numba_exp import exp
from graphlab.ops.kernels.threads import over_rows

WIDEST = 16
"""Features of a head up to which lanes are faster than products of matrices."""


def supports(projected: Tensor, *others: Any) -> bool:
    plain = projected.is_cpu and projected.dtype in (torch.float32, torch.float64)
    return plain and projected.shape[3] <= WIDEST and projected.shape[4] >= WIDTH and projected.numel() > 0


@implement("set_attention", "numba", supports)
def set_attention(projected: Tensor, blocks: int, scale: float) -> tuple[Tensor, Tensor]:
    batch, size, _, channels, lanes = projected.shape
    rows = projected.detach().contiguous().view(-1, lanes).numpy()
    o = projected.new_empty(blocks, batch, size, lanes // blocks * channels)
    kept = projected.new_empty(2 * batch * size, lanes)
    arrays = lanes // blocks, o.view(-1).numpy(), kept.numpy()

    def loop(first: int, last: int) -> None:
        _attend(first, last, rows, size, channels, scale, *arrays)

    over_rows(np.arange(batch + 1) * size, 4 * size * channels * lanes, loop)
    return o, kept


@implement("set_attention_gradient", "numba", supports)
def gradient(projected: Tensor, o: Tensor, kept: Tensor, d_o: Tensor, scale: float) -> Tensor:
    batch, size, _, channels, lanes = projected.shape
    rows = projected.detach().contiguous().view(-1, lanes).numpy()
    out, d_out = (own.detach().contiguous().view(-1).numpy() for own in (o, d_o))
    d_projected = projected.new_empty(projected.shape)
    given, found = kept.numpy(), d_projected.view(-1, lanes).numpy()

    def loop(first: int, last: int) -> None:
        _attend_gradient(first, last, rows, size, channels, scale, lanes // len(o), out, d_out, given, found)

    over_rows(np.arange(batch + 1) * size, 8 * size * channels * lanes, loop)
    return d_projected


@njit(nogil=True, cache=True, fastmath=FAST)
def _exponentials(flat):  # type: ignore[no-untyped-def]
    for at in range(flat.size):
        flat[at] = exp(flat[at])


@njit(nogil=True, cache=True, fastmath=FAST)
def _place(at, heads, channels, rows, places):  # type: ignore[no-untyped-def]
    """Where the features of each lane's head begin in the first row of what is ordered by blocks."""
    for lane in range(WIDTH):
        places[lane] = (at + lane) // heads * (rows * heads * channels) + (at + lane) % heads * channels


@njit(nogil=True, cache=True, fastmath=FAST)
def _gather(rows, at, b, size, channels, keys, values):  # type: ignore[no-untyped-def]
    for j in range(size):
        key = (3 * (b * size + j) + 1) * channels
        for d in range(channels):
            store(keys, j * channels + d, 0, load(rows, key + d, at))
            store(values, j * channels + d, 0, load(rows, key + channels + d, at))


@njit(nogil=True, cache=True, fastmath=FAST)
def _attend(first, last, rows, size, channels, scale, heads, o, kept):  # type: ignore[no-untyped-def]
    """The sets from ``first`` to ``last``; ``kept`` gets the largest score of each query, and 1 / the sum."""
    lanes = rows.shape[1]
    features = heads * channels
    count = len(kept) // 2
    scores = np.empty((size, WIDTH), rows.dtype)
    flat = scores.reshape(-1)
    keys, values = np.empty((size * channels, WIDTH), rows.dtype), np.empty((size * channels, WIDTH), rows.dtype)
    made, share = np.empty((channels, WIDTH), rows.dtype), np.empty((1, WIDTH), rows.dtype)
    places = np.empty(WIDTH, np.int64)
    zero, one = rows.dtype.type(0), rows.dtype.type(1)
    scales, minus = fill(rows, rows.dtype.type(scale)), fill(rows, -one)
    for start in range(0, lanes, WIDTH):
        at = min(start, lanes - WIDTH)
        _place(at, heads, channels, count, places)
        for b in range(first, last):
            _gather(rows, at, b, size, channels, keys, values)
            for i in range(size):
                row = b * size + i
                query = 3 * row * channels
                best = fill(rows, -rows.dtype.type(np.inf))
                for j in range(size):
                    s = fill(rows, zero)
                    for d in range(channels):
                        s = add(s, times(load(rows, query + d, at), load(keys, j * channels + d, 0)))
                    s = times(s, scales)
                    best = select_larger(best, s, best, s)
                    store(scores, j, 0, s)
                store(kept, 2 * row, at, best)
                below = times(best, minus)
                for j in range(size):
                    store(scores, j, 0, add(load(scores, j, 0), below))
                _exponentials(flat)
                total = fill(rows, zero)
                for j in range(size):
                    total = add(total, load(scores, j, 0))
                store(share, 0, 0, total)
                for lane in range(WIDTH):
                    share[0, lane] = one / share[0, lane]
                part = load(share, 0, 0)
                store(kept, 2 * row + 1, at, part)
                for d in range(channels):
                    total = fill(rows, zero)
                    for j in range(size):
                        total = add(total, times(load(scores, j, 0), load(values, j * channels + d, 0)))
                    store(made, d, 0, add(load(rows, query + d, at), times(total, part)))
                for lane in range(WIDTH):
                    place = places[lane] + row * features
                    for d in range(channels):
                        o[place + d] = made[d, lane]


@njit(nogil=True, cache=True, fastmath=FAST)
def _attend_gradient(first, last, rows, size, channels, scale, heads, o, d_o, kept, d_rows):  # type: ignore[no-untyped-def]
    lanes = rows.shape[1]
    features = heads * channels
    count = len(kept) // 2
    scores = np.empty((size, WIDTH), rows.dtype)
    flat = scores.reshape(-1)
    slopes = np.empty((size, WIDTH), rows.dtype)
    out, d_out = np.empty((channels, WIDTH), rows.dtype), np.empty((channels, WIDTH), rows.dtype)
    keys, values = np.empty((size * channels, WIDTH), rows.dtype), np.empty((size * channels, WIDTH), rows.dtype)
    d_key, d_value = np.empty((size * channels, WIDTH), rows.dtype), np.empty((size * channels, WIDTH), rows.dtype)
    places = np.empty(WIDTH, np.int64)
    zero, one = rows.dtype.type(0), rows.dtype.type(1)
    scales, minus = fill(rows, rows.dtype.type(scale)), fill(rows, -one)
    for start in range(0, lanes, WIDTH):
        at = min(start, lanes - WIDTH)
        _place(at, heads, channels, count, places)
        for b in range(first, last):
            _gather(rows, at, b, size, channels, keys, values)
            d_key[:] = zero
            d_value[:] = zero
            for i in range(size):
                row = b * size + i
                query = 3 * row * channels
                for lane in range(WIDTH):
                    place = places[lane] + row * features
                    for d in range(channels):
                        out[d, lane] = o[place + d]
                        d_out[d, lane] = d_o[place + d]
                mean = fill(rows, zero)
                for d in range(channels):
                    attended = add(load(out, d, 0), times(load(rows, query + d, at), minus))
                    mean = add(mean, times(load(d_out, d, 0), attended))
                mean = times(mean, minus)
                below = times(load(kept, 2 * row, at), minus)
                for j in range(size):
                    s = fill(rows, zero)
                    for d in range(channels):
                        s = add(s, times(load(rows, query + d, at), load(keys, j * channels + d, 0)))
                    store(scores, j, 0, add(times(s, scales), below))
                _exponentials(flat)
                part = load(kept, 2 * row + 1, at)
                for j in range(size):
                    alpha = times(load(scores, j, 0), part)
                    slope = mean
                    for d in range(channels):
                        slope = add(slope, times(load(d_out, d, 0), load(values, j * channels + d, 0)))
                    slope = times(times(slope, alpha), scales)
                    store(slopes, j, 0, slope)
                    for d in range(channels):
                        at_key = j * channels + d
                        store(d_value, at_key, 0, add(load(d_value, at_key, 0), times(alpha, load(d_out, d, 0))))
                        store(d_key, at_key, 0, add(load(d_key, at_key, 0), times(slope, load(rows, query + d, at))))
                for d in range(channels):
                    total = load(d_out, d, 0)
                    for j in range(size):
                        total = add(total, times(load(slopes, j, 0), load(keys, j * channels + d, 0)))
                    store(d_rows, query + d, at, total)
            for j in range(size):
                key = (3 * (b * size + j) + 1) * channels
                for d in range(channels):
                    store(d_rows, key + d, at, load(d_key, j * channels + d, 0))
                    store(d_rows, key + channels + d, at, load(d_value, j * channels + d, 0))
