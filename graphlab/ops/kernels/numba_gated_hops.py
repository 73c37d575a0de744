"""Gated hops on a CPU: a row of a hop, its gate and its part of the sum, while the row is in the first cache.

For edges in the order of their targets, weighted: what normalised graphs have.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from numba import njit
from torch import Tensor

from graphlab.ops.adjacency import Adjacency
from graphlab.ops.allocation import zeros
from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.compiled import FAST, WIDTH, add, array, fetch, fill, load, on_cpu, store, times, vector
from graphlab.ops.kernels.threads import over_rows

AHEAD = 16
"""So many edges on, rows are asked for: hops of graphs beyond the second cache then take two thirds of the time."""


def supports(adj: Adjacency, weight: Tensor | None, x: Tensor, *others: Any) -> bool:
    """At least as many channels as lanes, of numbers that are summed as they are."""
    plain = x.shape[1] >= WIDTH and x.dtype in (torch.float32, torch.float64)
    return plain and adj.perm is None and weight is not None and on_cpu(adj, weight, x, *others)


@implement("gated_hops", "numba", supports)
def gated_hops(
    adj: Adjacency, weight: Tensor, x: Tensor, gate: Tensor, bias: Tensor, steps: int, keep: bool
) -> tuple[Tensor, Tensor]:
    rowptr, col, weights, w, b = adj.rowptr.numpy(), adj.col.numpy(), vector(weight), vector(gate), vector(bias)
    y, kept = zeros(x.shape, x.dtype), zeros((steps if keep else 0, *x.shape), x.dtype)
    spare = [] if keep else [zeros(x.shape, x.dtype) for _ in range(min(steps, 2))]
    h, out = array(x), y.numpy()
    for step in range(steps + 1):
        new = h if step == 0 else (kept[step - 1] if keep else spare[step % len(spare)]).numpy()

        def loop(first: int, last: int, h: Any = h, new: Any = new, moves: bool = step > 0) -> None:
            _hop(first, last, rowptr, col, weights, h, w, b, moves, new, out)

        over_rows(rowptr, x.shape[1], loop)
        h = new
    return y, kept


@implement("gated_hops_gradient", "numba", supports)
def gradient(
    adj: Adjacency, weight: Tensor, x: Tensor, gate: Tensor, bias: Tensor, kept: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    rowptr, col, weights, w, b = adj.rowptr.numpy(), adj.col.numpy(), vector(weight), vector(gate), vector(bias)
    slopes, dout = x.new_empty(len(kept) + 1, len(x)), array(dy)
    pair = [zeros(x.shape, x.dtype) for _ in range(2)]
    for step in range(len(kept), -1, -1):
        h, slope = array(kept[step - 1] if step else x), slopes[step].numpy()
        later, new, moves = pair[1 - step % 2].numpy(), pair[step % 2].numpy(), step < len(kept)

        def loop(
            first: int, last: int, h: Any = h, later: Any = later, new: Any = new, slope: Any = slope, on: bool = moves
        ) -> None:
            _hop_gradient(first, last, rowptr, col, weights, h, w, b, dout, on, later, new, slope)

        over_rows(rowptr, x.shape[1], loop)
    dgate = x.t() @ slopes[0]
    if len(kept):
        dgate += kept.flatten(0, 1).t() @ slopes[1:].flatten()
    return pair[0], dgate, slopes.sum().view(1)


@njit(nogil=True, inline="always")
def _row(i, rowptr, col, weight, x, y):  # type: ignore[no-untyped-def]
    """Write the sum over the edges into a node, up to 64 channels a pass; the last lanes may overlap those before."""
    begin, end, channels, at, final_edge = rowptr[i], rowptr[i + 1], x.shape[1], 0, len(col) - 1
    while at < channels:
        lanes, final = min((channels - at + WIDTH - 1) // WIDTH, 4), channels - WIDTH
        p, q, r = min(at, final), min(at + WIDTH, final), min(at + 2 * WIDTH, final)
        s = min(at + 3 * WIDTH, final)
        if lanes == 4:
            a, b, c, d = fill(x, 0), fill(x, 0), fill(x, 0), fill(x, 0)
            for e in range(begin, end):
                j, k, w = col[e], col[min(e + AHEAD, final_edge)], fill(x, weight[e])
                fetch(x, k, at)
                fetch(x, k, at + WIDTH)
                fetch(x, k, at + 2 * WIDTH)
                fetch(x, k, at + 3 * WIDTH)
                a = add(a, times(w, load(x, j, p)))
                b = add(b, times(w, load(x, j, q)))
                c = add(c, times(w, load(x, j, r)))
                d = add(d, times(w, load(x, j, s)))
            store(y, i, p, a)
            store(y, i, q, b)
            store(y, i, r, c)
            store(y, i, s, d)
        elif lanes == 3:
            a, b, c = fill(x, 0), fill(x, 0), fill(x, 0)
            for e in range(begin, end):
                j, k, w = col[e], col[min(e + AHEAD, final_edge)], fill(x, weight[e])
                fetch(x, k, at)
                fetch(x, k, at + WIDTH)
                fetch(x, k, at + 2 * WIDTH)
                a = add(a, times(w, load(x, j, p)))
                b = add(b, times(w, load(x, j, q)))
                c = add(c, times(w, load(x, j, r)))
            store(y, i, p, a)
            store(y, i, q, b)
            store(y, i, r, c)
        elif lanes == 2:
            a, b = fill(x, 0), fill(x, 0)
            for e in range(begin, end):
                j, k, w = col[e], col[min(e + AHEAD, final_edge)], fill(x, weight[e])
                fetch(x, k, at)
                fetch(x, k, at + WIDTH)
                a = add(a, times(w, load(x, j, p)))
                b = add(b, times(w, load(x, j, q)))
            store(y, i, p, a)
            store(y, i, q, b)
        else:
            a = fill(x, 0)
            for e in range(begin, end):
                fetch(x, col[min(e + AHEAD, final_edge)], at)
                a = add(a, times(fill(x, weight[e]), load(x, col[e], p)))
            store(y, i, p, a)
        at += 4 * WIDTH


@njit(nogil=True, inline="always")
def _sigmoid(score):  # type: ignore[no-untyped-def]
    return 1 / (1 + math.exp(-score))


@njit(nogil=True, cache=True, fastmath=FAST)
def _hop(first, last, rowptr, col, weight, x, gate, bias, moves, h, y):  # type: ignore[no-untyped-def]
    """A hop and its part of the sum; where nothing ``moves``, the part of ``h`` itself, which begins the sum."""
    for i in range(first, last):
        if moves:
            _row(i, rowptr, col, weight, x, h)
        score = bias[0]
        for c in range(len(gate)):
            score += h[i, c] * gate[c]
        s = x.dtype.type(_sigmoid(score))
        if moves:
            for c in range(len(gate)):
                y[i, c] += s * h[i, c]
        else:
            for c in range(len(gate)):
                y[i, c] = s * h[i, c]


@njit(nogil=True, cache=True, fastmath=FAST)
def _hop_gradient(first, last, rowptr, col, weight, h, gate, bias, dy, moves, dx, dh, slope):  # type: ignore[no-untyped-def]
    """What comes back along the edges, unless this is the last hop, and through the gate; the slope of the score."""
    for i in range(first, last):
        if moves:
            _row(i, rowptr, col, weight, dx, dh)
        else:
            dh[i] = 0
        score, product = bias[0], dy.dtype.type(0)
        for c in range(len(gate)):
            score += h[i, c] * gate[c]
            product += h[i, c] * dy[i, c]
        s = dy.dtype.type(_sigmoid(score))
        t = dy.dtype.type(product * s * (1 - s))
        slope[i] = t
        for c in range(len(gate)):
            dh[i, c] += s * dy[i, c] + t * gate[c]
