"""Sparse products on a CPU as loops that numba compiles: rows in parallel, channels in vector registers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from graphlab.ops.adjacency import Adjacency
from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.compiled import (
    FAST,
    WIDTH,
    add,
    array,
    fill,
    load,
    on_cpu,
    select_larger,
    store,
    times,
)
from graphlab.ops.kernels.threads import LINE, over_rows


def like(x: Tensor, *shape: int) -> Tensor:
    """An uninitialised tensor of the dtype in which ``x`` is summed."""
    return torch.empty(shape, dtype=torch.float64 if x.dtype == torch.float64 else torch.float32)


def _rows(array: Any) -> Any:
    """``[rows, heads, channels]`` as ``[rows, heads * channels]``."""
    return array.reshape(array.shape[0], array.shape[1] * array.shape[2])


def _optional(tensor: Tensor | None) -> Any:
    return None if tensor is None else array(tensor)


@implement("spmm", "numba", on_cpu)
def spmm(adj: Adjacency, weight: Tensor | None, x: Tensor, scale: Tensor | None, mean: bool) -> Tensor:
    y = like(x, adj.num_targets, *x.shape[1:])
    rowptr, col = adj.rowptr.numpy(), adj.col.numpy()
    weights, factors = _optional(weight), _optional(scale)
    perm = None if weight is None else _optional(adj.perm)
    heads, channels = (1, x.shape[1] * x.shape[2]) if weight is None else x.shape[1:]
    values, out = _rows(array(x)), _rows(y.numpy())

    def loop(first: int, last: int) -> None:
        _sum(first, last, rowptr, col, perm, weights, factors, values, mean, heads, channels, out)

    over_rows(rowptr, heads * channels, loop)
    return y if y.dtype == x.dtype else y.to(x.dtype)


@njit(nogil=True)
def _edge(e, perm):  # type: ignore[no-untyped-def]
    """Which edge is at a place."""
    if perm is None:
        return np.intp(e)
    return np.intp(perm[e])


@njit(nogil=True, fastmath=FAST)
def _factor(e, h, j, perm, weight, scale, one):  # type: ignore[no-untyped-def]
    """By what the edge at a place multiplies; what is ``None`` leaves no trace in the compiled loop."""
    w = one
    if weight is not None:
        w = w * weight[_edge(e, perm), h]
    if scale is not None:
        w = w * scale[j]
    return w


@njit(nogil=True, cache=True, fastmath=FAST)
def _sum(first, last, rowptr, col, perm, weight, scale, x, mean, heads, channels, y):  # type: ignore[no-untyped-def]
    """64 channels at a time, then 16, the last of which may overlap those before; fewer than 16 one by one."""
    one = x.dtype.type(1)
    for i in range(first, last):
        begin, end = rowptr[i], rowptr[i + 1]
        share = one / x.dtype.type(end - begin) if mean and end > begin else one
        for h in range(heads):
            start, done = h * channels, 0
            while done + 4 * WIDTH <= channels:
                at = start + done
                a, b, c, d = fill(x, 0), fill(x, 0), fill(x, 0), fill(x, 0)
                for e in range(begin, end):
                    j = col[e]
                    w = fill(x, _factor(e, h, j, perm, weight, scale, one))
                    a = add(a, times(w, load(x, j, at)))
                    b = add(b, times(w, load(x, j, at + WIDTH)))
                    c = add(c, times(w, load(x, j, at + 2 * WIDTH)))
                    d = add(d, times(w, load(x, j, at + 3 * WIDTH)))
                store(y, i, at, times(a, fill(x, share)))
                store(y, i, at + WIDTH, times(b, fill(x, share)))
                store(y, i, at + 2 * WIDTH, times(c, fill(x, share)))
                store(y, i, at + 3 * WIDTH, times(d, fill(x, share)))
                done += 4 * WIDTH
            while channels >= WIDTH and done < channels:
                at = start + min(done, channels - WIDTH)
                a = fill(x, 0)
                for e in range(begin, end):
                    j = col[e]
                    a = add(a, times(fill(x, _factor(e, h, j, perm, weight, scale, one)), load(x, j, at)))
                store(y, i, at, times(a, fill(x, share)))
                done += WIDTH
            if channels < WIDTH:
                _sum_few(i, h, start, begin, end, col, perm, weight, scale, x, share, channels, y)


@njit(nogil=True, cache=True, fastmath=FAST)
def _sum_few(i, h, start, begin, end, col, perm, weight, scale, x, share, channels, y):  # type: ignore[no-untyped-def]
    for c in range(start, start + channels):
        y[i, c] = 0
    for e in range(begin, end):
        j = col[e]
        w = share * _factor(e, h, j, perm, weight, scale, x.dtype.type(1))
        for c in range(start, start + channels):
            y[i, c] += w * x[j, c]


@implement("spmm_extremum", "numba", on_cpu)
def extremum(adj: Adjacency, weight: Tensor | None, x: Tensor, largest: bool) -> tuple[Tensor, Tensor]:
    y = like(x, adj.num_targets, *x.shape[1:])
    place = torch.empty(y.shape, dtype=adj.rowptr.dtype)
    rowptr, col, weights = adj.rowptr.numpy(), adj.col.numpy(), _optional(weight)
    perm = None if weight is None else _optional(adj.perm)
    heads, channels = (1, x.shape[1] * x.shape[2]) if weight is None else x.shape[1:]
    values, out, where = _rows(array(x)), _rows(y.numpy()), _rows(place.numpy())

    def loop(first: int, last: int) -> None:
        _extremum(first, last, rowptr, col, perm, weights, values, largest, heads, channels, out, where)

    over_rows(rowptr, heads * channels, loop)
    return y if y.dtype == x.dtype else y.to(x.dtype), place


@njit(nogil=True, cache=True, fastmath=FAST)
def _extremum(first, last, rowptr, col, perm, weight, x, largest, heads, channels, y, place):  # type: ignore[no-untyped-def]
    """32 channels at a time, then 16. The minimum is the negative of the largest negative."""
    sign = x.dtype.type(1) if largest else x.dtype.type(-1)
    for i in range(first, last):
        begin, end = rowptr[i], rowptr[i + 1]
        if begin == end:
            y[i] = 0
            place[i] = -1
            continue
        for h in range(heads):
            start, done = h * channels, 0
            while done + 2 * WIDTH <= channels:
                at = start + done
                w = fill(x, _factor(begin, h, 0, perm, weight, None, sign))
                a, b = times(w, load(x, col[begin], at)), times(w, load(x, col[begin], at + WIDTH))
                in_a, in_b = fill(place, begin), fill(place, begin)
                for e in range(begin + 1, end):
                    j, here = col[e], fill(place, e)
                    w = fill(x, _factor(e, h, 0, perm, weight, None, sign))
                    new_a, new_b = times(w, load(x, j, at)), times(w, load(x, j, at + WIDTH))
                    in_a, in_b = select_larger(a, new_a, in_a, here), select_larger(b, new_b, in_b, here)
                    a, b = select_larger(a, new_a, a, new_a), select_larger(b, new_b, b, new_b)
                store(y, i, at, times(a, fill(x, sign)))
                store(y, i, at + WIDTH, times(b, fill(x, sign)))
                store(place, i, at, in_a)
                store(place, i, at + WIDTH, in_b)
                done += 2 * WIDTH
            while channels >= WIDTH and done < channels:
                at = start + min(done, channels - WIDTH)
                w = _factor(begin, h, 0, perm, weight, None, sign)
                best, where = times(fill(x, w), load(x, col[begin], at)), fill(place, begin)
                for e in range(begin + 1, end):
                    w = _factor(e, h, 0, perm, weight, None, sign)
                    value = times(fill(x, w), load(x, col[e], at))
                    where = select_larger(best, value, where, fill(place, e))
                    best = select_larger(best, value, best, value)
                store(y, i, at, times(best, fill(x, sign)))
                store(place, i, at, where)
                done += WIDTH
            if channels < WIDTH:
                _extremum_few(i, h, start, begin, end, col, perm, weight, x, sign, channels, y, place)


@njit(nogil=True, cache=True, fastmath=FAST)
def _extremum_few(i, h, start, begin, end, col, perm, weight, x, sign, channels, y, place):  # type: ignore[no-untyped-def]
    for e in range(begin, end):
        w = _factor(e, h, 0, perm, weight, None, sign)
        for c in range(start, start + channels):
            value, best = w * x[col[e], c], sign * y[i, c]
            if e == begin or value > best or (value != value and best == best):
                y[i, c] = sign * value
                place[i, c] = e


@implement("spmm_extremum_gradient", "numba", on_cpu)
def extremum_gradient(
    adj: Adjacency, weight: Tensor | None, x: Tensor, place: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor]:
    dx = like(x, *x.shape).zero_()
    add_to_sources(adj, place, dy, dx, weight)
    dx = dx if dx.dtype == x.dtype else dx.to(x.dtype)
    if weight is None:
        return dx, x.new_empty(0)
    values, gradient, perm, where, col = array(x), array(dy), _optional(adj.perm), place.numpy(), adj.col.numpy()
    dw = like(x, *weight.shape).zero_()
    dweight = dw.numpy()

    def loop_of_weights(first: int, last: int) -> None:
        _weight_gradient(first, last, perm, values, col, where, gradient, dweight)

    over_rows(adj.rowptr.numpy(), x.shape[1] * x.shape[2], loop_of_weights)
    return dx, dw.to(weight.dtype)


def add_to_sources(adj: Adjacency, place: Tensor, dy: Tensor, dx: Tensor, weight: Tensor | None = None) -> None:
    """Add each of ``[num_targets, heads, channels]`` to the source of the edge that attained the extremum.

    Threads share the channels out: rows of one source are added to in the order of the targets.
    """
    weights, gradient, where, col, out = _optional(weight), array(dy), place.numpy(), adj.col.numpy(), dx.numpy()
    perm = None if weight is None else _optional(adj.perm)
    _, heads, channels = dy.shape
    step = LINE // dx.element_size()
    lines = np.arange(-(-channels // step) + 1) * (adj.num_targets * heads)

    def loop(first: int, last: int) -> None:
        _source_gradient(first * step, min(last * step, channels), perm, weights, col, where, gradient, out)

    over_rows(lines, step, loop)


@njit(nogil=True, cache=True, fastmath=FAST)
def _source_gradient(first, last, perm, weight, col, place, dy, dx):  # type: ignore[no-untyped-def]
    """Of the channels from ``first`` up to ``last``."""
    one = dx.dtype.type(1)
    for i in range(dy.shape[0]):
        for h in range(dy.shape[1]):
            for c in range(first, last):
                e = place[i, h, c]
                if e >= 0:
                    dx[col[e], h, c] += dy[i, h, c] * _factor(e, h, 0, perm, weight, None, one)


@njit(nogil=True, cache=True, fastmath=FAST)
def _weight_gradient(first, last, perm, x, col, place, dy, dw):  # type: ignore[no-untyped-def]
    for i in range(first, last):
        for h in range(dy.shape[1]):
            for c in range(dy.shape[2]):
                e = place[i, h, c]
                if e >= 0:
                    dw[_edge(e, perm), h] += dy[i, h, c] * x[col[e], h, c]


@implement("sddmm", "numba", on_cpu)
def sddmm(adj: Adjacency, q: Tensor, k: Tensor) -> Tensor:
    queries, keys, perm = array(q), array(k), _optional(adj.perm)
    scores = like(q, adj.num_edges, q.shape[1])
    rowptr, col, out = adj.rowptr.numpy(), adj.col.numpy(), scores.numpy()

    def loop(first: int, last: int) -> None:
        _sddmm(first, last, rowptr, col, perm, queries, keys, out)

    over_rows(rowptr, q.shape[1] * q.shape[2], loop)
    return scores if scores.dtype == q.dtype else scores.to(q.dtype)


@njit(nogil=True, cache=True, fastmath=FAST)
def _sddmm(first, last, rowptr, col, perm, q, k, scores):  # type: ignore[no-untyped-def]
    for i in range(first, last):
        for e in range(rowptr[i], rowptr[i + 1]):
            j, edge = col[e], _edge(e, perm)
            for h in range(q.shape[1]):
                total = q.dtype.type(0)
                for c in range(q.shape[2]):
                    total += q[i, h, c] * k[j, h, c]
                scores[edge, h] = total
