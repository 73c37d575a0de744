"""Attention on a CPU: a row at a time, its scores in blocks of edges that stay in the first cache.

The forward pass keeps the running maximum of each row and rescales what it has added so far when a block raises it; for
the gradient it saves the logarithm of each row's normaliser. The gradient computes the scores again in a pass over
targets, which leaves two numbers for each edge and head to a pass over sources: no two threads write to the same row,
and the order of additions is fixed. Nodes' features are ``[num_nodes, heads * channels]`` here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from graphlab.ops.adjacency import Adjacency
from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.compiled import FAST, array, on_cpu, permutation
from graphlab.ops.kernels.numba_attention_rows import accumulate, accumulate_slopes, dots, leaky_scores
from graphlab.ops.kernels.numba_exp import LANES, exp, exponentials
from graphlab.ops.kernels.threads import over_rows
from graphlab.ops.library import accumulated

BLOCK = 4 * LANES
"""Edges that are scored at a time."""


@implement("attention", "numba", on_cpu)
def attention(
    adj: Adjacency,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    att: Tensor | None,
    bias: Tensor | None,
    keep: Tensor | None,
    slope: float,
) -> tuple[Tensor, Tensor]:
    y = torch.empty(adj.num_targets, *v.shape[1:], dtype=accumulated(v[:0]).dtype)
    norm = torch.empty(y.shape[:2], dtype=y.dtype)
    rowptr, col, perm = adj.rowptr.numpy(), adj.col.numpy(), permutation(adj)
    queries, keys, values, out = (array(part.flatten(1)) for part in (q, k, v, y))
    vectors, biases, keeps, log = _vectors(att, norm), array(bias), array(keep), norm.numpy()

    def loop(first: int, last: int) -> None:
        _forward(
            first, last, rowptr, col, perm, queries, keys, values, vectors, biases, keeps, slope, out, log
        )  # fmt: skip

    over_rows(rowptr, 2 * v.shape[1] * v.shape[2], loop)
    return y.to(v.dtype), norm


@implement("attention_gradient", "numba", on_cpu)
def attention_gradient(
    adj: Adjacency,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    att: Tensor | None,
    bias: Tensor | None,
    keep: Tensor | None,
    slope: float,
    y: Tensor,
    norm: Tensor,
    dy: Tensor,
) -> tuple[Tensor, ...]:
    queries, keys, values, outputs, gradient = (array(part.flatten(1)) for part in (q, k, v, y, dy))
    vectors, biases, keeps = _vectors(att, norm), array(bias), array(keep)
    dq, dk, dv = (torch.empty(part.shape, dtype=norm.dtype) for part in (q, k, v))
    dbias = norm.new_empty(0, 0) if bias is None else norm.new_empty(bias.shape)
    flow = np.empty((adj.num_edges, v.shape[1], 2), gradient.dtype)
    back = adj.transposed

    def targets(first: int, last: int) -> None:
        _target_gradient(
            first, last, adj.rowptr.numpy(), adj.col.numpy(), permutation(adj), queries, keys, values, vectors, biases,
            keeps, slope, outputs, norm.numpy(), gradient, dq.flatten(1).numpy(),
            dbias.numpy(), flow
        )  # fmt: skip

    def sources(first: int, last: int) -> None:
        _source_gradient(
            first, last, back.rowptr.numpy(), back.col.numpy(), permutation(back), queries, keys, att is not None,
            biases, slope, gradient, flow, dk.flatten(1).numpy(), dv.flatten(1).numpy()
        )  # fmt: skip

    width = 4 * v.shape[1] * v.shape[2]
    over_rows(adj.rowptr.numpy(), width, targets)
    over_rows(back.rowptr.numpy(), width, sources)
    datt = norm.new_empty(0, 0)
    if att is not None:
        datt = (accumulated(q) * dq).sum(dim=0) + (accumulated(k) * dk).sum(dim=0)
        dq, dk = dq.mul_(accumulated(att)), dk.mul_(accumulated(att))
    return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype), datt.to(q.dtype), dbias.to(q.dtype)


def _vectors(att: Tensor | None, norm: Tensor) -> Any:
    """GATv2's vectors; for other scores an empty array, of the dtype that the loops compute in."""
    return norm.new_empty(0, 0).numpy() if att is None else array(att)


@njit(nogil=True, cache=True, fastmath=FAST)
def _scores(i, begin, size, col, edges, q, k, att, bias, slope, scores):  # type: ignore[no-untyped-def]
    """``scores[h, n]`` of target ``i`` with the sources at its next ``size`` places."""
    if att.shape[0] > 0:
        leaky_scores(i, begin, size, col, edges, q, k, att, bias, slope, scores)
        return
    dots(i, begin, size, col, q, k, scores)
    if bias.shape[0] > 0:
        for n in range(size):
            for h in range(scores.shape[0]):
                scores[h, n] += bias[edges[n], h]


@njit(nogil=True, cache=True)
def _edges(begin, size, perm, edges):  # type: ignore[no-untyped-def]
    """The numbers of the edges at ``size`` places."""
    for n in range(size):
        edges[n] = begin + n if len(perm) == 0 else perm[begin + n]


@njit(nogil=True, cache=True, fastmath=FAST)
def _forward(first, last, rowptr, col, perm, q, k, v, att, bias, keep, slope, y, norm):  # type: ignore[no-untyped-def]
    heads = norm.shape[1]
    nothing, channels = y.dtype.type(0), y.shape[1] // heads
    scores, edges = np.empty((heads, BLOCK), y.dtype), np.empty(BLOCK, np.int64)
    top, total = np.empty(heads, y.dtype), np.empty(heads, y.dtype)
    for i in range(first, last):
        y[i], top[:], total[:] = 0, -np.inf, 0
        for begin in range(rowptr[i], rowptr[i + 1], BLOCK):
            size = min(rowptr[i + 1] - begin, BLOCK)
            _edges(begin, size, perm, edges)
            _scores(i, begin, size, col, edges, q, k, att, bias, slope, scores)
            for h in range(heads):
                most = top[h]
                for n in range(size):
                    most = max(most, scores[h, n])
                shift = most if most > -np.inf else nothing
                if most > top[h] and begin > rowptr[i]:
                    factor = exp(top[h] - shift)
                    total[h] *= factor
                    y[i, h * channels : (h + 1) * channels] *= factor
                top[h] = most
                total[h] += exponentials(scores[h], size, shift)
            if keep.shape[0] > 0:
                for n in range(size):
                    for h in range(heads):
                        scores[h, n] *= keep[edges[n], h]
            accumulate(i, begin, size, col, scores, v, y)
        for h in range(heads):
            norm[i, h] = np.inf
            if total[h] != 0:
                norm[i, h] = np.log(total[h]) + (top[h] if top[h] > -np.inf else nothing)
                y[i, h * channels : (h + 1) * channels] *= 1 / total[h]


@njit(nogil=True, cache=True, fastmath=FAST)
def _target_gradient(  # type: ignore[no-untyped-def]
    first, last, rowptr, col, perm, q, k, v, att, bias, keep, slope, y, norm, dy, dq, dbias, flow
):
    """The gradients of ``q`` and of the bias, and what sources need of each edge and head: the gradient of the score
    and the weight of the message."""
    heads = norm.shape[1]
    one, channels, d = dq.dtype.type(1), y.shape[1] // heads, dq.shape[1] // heads
    leak = dq.dtype.type(slope)
    scores, ds, edges = np.empty((heads, BLOCK), y.dtype), np.empty((heads, BLOCK), y.dtype), np.empty(BLOCK, np.int64)
    mean = np.empty(heads, y.dtype)
    for i in range(first, last):
        dq[i], mean[:] = 0, 0
        for h in range(heads):
            for c in range(h * channels, (h + 1) * channels):
                mean[h] += y[i, c] * dy[i, c]
        for begin in range(rowptr[i], rowptr[i + 1], BLOCK):
            size = min(rowptr[i + 1] - begin, BLOCK)
            _edges(begin, size, perm, edges)
            _scores(i, begin, size, col, edges, q, k, att, bias, slope, scores)
            dots(i, begin, size, col, dy, v, ds)
            for h in range(heads):
                exponentials(scores[h], size, norm[i, h])
                for n in range(size):
                    kept = keep[edges[n], h] if keep.shape[0] > 0 else one
                    ds[h, n] = scores[h, n] * (kept * ds[h, n] - mean[h])
                    flow[edges[n], h, 0], flow[edges[n], h, 1] = ds[h, n], scores[h, n] * kept
            if att.shape[0] > 0:
                accumulate_slopes(i, begin, size, col, edges, ds, q, k, bias, slope, dq)
            else:
                accumulate(i, begin, size, col, ds, k, dq)
            if bias.shape[0] > 0:
                for n in range(size):
                    for h in range(heads):
                        through = one
                        if att.shape[0] > 0:
                            through -= one
                            for c in range(d):
                                u = q[i, h * d + c] + k[col[begin + n], h * d + c] + bias[edges[n], h]
                                through += att[h, c] * (one if u > 0 else leak)
                        dbias[edges[n], h] = ds[h, n] * through


@njit(nogil=True, cache=True, fastmath=FAST)
def _source_gradient(  # type: ignore[no-untyped-def]
    first, last, rowptr, col, perm, q, k, additive, bias, slope, dy, flow, dk, dv
):
    heads = flow.shape[1]
    ds, p, edges = np.empty((heads, BLOCK), dk.dtype), np.empty((heads, BLOCK), dk.dtype), np.empty(BLOCK, np.int64)
    for j in range(first, last):
        dk[j], dv[j] = 0, 0
        for begin in range(rowptr[j], rowptr[j + 1], BLOCK):
            size = min(rowptr[j + 1] - begin, BLOCK)
            _edges(begin, size, perm, edges)
            for n in range(size):
                for h in range(heads):
                    ds[h, n], p[h, n] = flow[edges[n], h, 0], flow[edges[n], h, 1]
            accumulate(j, begin, size, col, p, dy, dv)
            if additive:
                accumulate_slopes(j, begin, size, col, edges, ds, k, q, bias, slope, dk)
            else:
                accumulate(j, begin, size, col, ds, q, dk)
