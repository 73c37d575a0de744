"""Overlaps of neighbour lists on a CPU: the shorter list is walked, the longer one searched or merged."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from graphlab.ops.adjacency import Adjacency
from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.compiled import FAST, array, on_cpu
from graphlab.ops.kernels.threads import LINE, over_rows
from graphlab.ops.library import accumulated
from graphlab.ops.overlap import chunks, prepared

Integers = np.ndarray[tuple[int], np.dtype[np.int64]]


@implement("overlap_counts", "numba", on_cpu)
def counts(adj: Adjacency, pairs: Tensor) -> Tensor:
    adj = prepared(adj, pairs)
    result = torch.empty(pairs.shape[1], 3, dtype=torch.int64)
    rowptr, col, ends, out = adj.rowptr.numpy(), adj.col.numpy(), pairs.numpy(), result.numpy()
    over_rows(_work(adj, pairs), 4, lambda first, last: _count(first, last, rowptr, col, ends, out))
    return result


@implement("overlap_lists", "numba", on_cpu)
def lists(adj: Adjacency, pairs: Tensor) -> list[Tensor]:
    adj = prepared(adj, pairs)
    sizes = counts(adj, pairs)
    rowptrs = torch.cat([sizes.new_zeros(1, 3), sizes.cumsum(0)]).t().contiguous()
    nodes = [torch.empty(int(rowptr[-1]), dtype=torch.int64) for rowptr in rowptrs]
    rowptr, col, ends, starts = adj.rowptr.numpy(), adj.col.numpy(), pairs.numpy(), rowptrs.numpy()
    common, first_only, second_only = (part.numpy() for part in nodes)

    def loop(first: int, last: int) -> None:
        _list(first, last, rowptr, col, ends, starts, common, first_only, second_only)

    over_rows(_work(adj, pairs), 4, loop)
    return [tensor for rowptr, part in zip(rowptrs, nodes, strict=True) for tensor in (rowptr.clone(), part)]


@implement("overlap_pool", "numba", on_cpu)
def pool(adj: Adjacency, pairs: Tensor, x: Tensor, part: int) -> Tensor:
    adj, values = prepared(adj, pairs), array(x)
    result = torch.zeros(pairs.shape[1], x.shape[1], dtype=accumulated(x[:0]).dtype)
    rowptr, col, ends, out = adj.rowptr.numpy(), adj.col.numpy(), pairs.numpy(), result.numpy()

    def loop(first: int, last: int) -> None:
        _sum(first, last, rowptr, col, ends, part, values, out)

    over_rows(_work(adj, pairs), x.shape[1], loop)
    return result.to(x.dtype)


@implement("overlap_pool_gradient", "numba", on_cpu)
def pool_gradient(adj: Adjacency, pairs: Tensor, dy: Tensor, num_nodes: int, part: int) -> Tensor:
    adj, gradient = prepared(adj, pairs), array(dy)
    dx = torch.zeros(num_nodes, dy.shape[1], dtype=accumulated(dy[:0]).dtype)
    for chunk in chunks(adj, pairs):
        _add_gradient(adj, pairs[:, chunk], gradient[chunk], dx, part)
    return dx.to(dy.dtype)


def _add_gradient(adj: Adjacency, pairs: Tensor, dy: Any, dx: Tensor, part: int) -> None:
    """Threads list the nodes of some pairs each, then share the channels out: rows of one node are added to in the
    order of the pairs."""
    rowptr, col, ends, out = adj.rowptr.numpy(), adj.col.numpy(), pairs.numpy(), dx.numpy()
    begin = _room(adj, pairs, part)
    nodes, counts = np.empty(begin[-1], col.dtype), np.empty(pairs.shape[1], np.int64)
    over_rows(begin, 4, lambda first, last: _members(first, last, begin, rowptr, col, ends, part, nodes, counts))
    step = LINE // dx.element_size()
    blocks = np.arange(-(-dx.shape[1] // step) + 1) * int(counts.sum())

    def loop(first: int, last: int) -> None:
        _add(begin, counts, nodes, dy, out, first * step, min(last * step, dx.shape[1]))

    over_rows(blocks, step, loop)


def _room(adj: Adjacency, pairs: Tensor, part: int) -> Integers:
    """Where the list of each pair begins, as long as the one that is walked for it."""
    if part == 0:
        return _work(adj, pairs)
    walked = adj.rowptr.diff()[pairs[part - 1]]
    return torch.cat([walked.new_zeros(1, dtype=torch.int64), walked.cumsum(0)]).numpy()


def _work(adj: Adjacency, pairs: Tensor) -> Integers:
    """Where each pair begins if pairs are as long as their shorter lists."""
    degree = adj.rowptr.diff()
    shorter = torch.minimum(degree[pairs[0]], degree[pairs[1]])
    return torch.cat([shorter.new_zeros(1, dtype=torch.int64), shorter.cumsum(0)]).numpy()


@njit(nogil=True, cache=True)
def _found(col, begin, end, node):  # type: ignore[no-untyped-def]
    """The first place from ``begin`` whose node is not smaller, in steps that double and then halve."""
    step, low = 1, begin
    while low + step < end and col[low + step] < node:
        low += step
        step *= 2
    high = min(low + step, end)
    while low < high:
        middle = (low + high) // 2
        if col[middle] < node:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, cache=True)
def _count(first, last, rowptr, col, pairs, out):  # type: ignore[no-untyped-def]
    for pair in range(first, last):
        a, b = pairs[0, pair], pairs[1, pair]
        size_a, size_b = rowptr[a + 1] - rowptr[a], rowptr[b + 1] - rowptr[b]
        short, long = (a, b) if size_a <= size_b else (b, a)
        place, end, common = rowptr[long], rowptr[long + 1], 0
        for e in range(rowptr[short], rowptr[short + 1]):
            place = _found(col, place, end, col[e])
            if place == end:
                break
            if col[place] == col[e]:
                common += 1
                place += 1
        out[pair, 0], out[pair, 1], out[pair, 2] = common, size_a - common, size_b - common


@njit(nogil=True, cache=True)
def _list(first, last, rowptr, col, pairs, starts, common, first_only, second_only):  # type: ignore[no-untyped-def]
    for pair in range(first, last):
        a, a_end = rowptr[pairs[0, pair]], rowptr[pairs[0, pair] + 1]
        b, b_end = rowptr[pairs[1, pair]], rowptr[pairs[1, pair] + 1]
        at, at_a, at_b = starts[0, pair], starts[1, pair], starts[2, pair]
        while a < a_end or b < b_end:
            if b == b_end or (a < a_end and col[a] < col[b]):
                first_only[at_a] = col[a]
                a, at_a = a + 1, at_a + 1
            elif a == a_end or col[b] < col[a]:
                second_only[at_b] = col[b]
                b, at_b = b + 1, at_b + 1
            else:
                common[at] = col[a]
                a, b, at = a + 1, b + 1, at + 1


@njit(nogil=True, cache=True)
def _sides(pair, rowptr, pairs, part):  # type: ignore[no-untyped-def]
    """The node whose list is walked, and the one whose list is searched."""
    a, b = pairs[0, pair], pairs[1, pair]
    if part == 2 or (part == 0 and rowptr[b + 1] - rowptr[b] < rowptr[a + 1] - rowptr[a]):
        return b, a
    return a, b


@njit(nogil=True, cache=True, fastmath=FAST)
def _sum(first, last, rowptr, col, pairs, part, x, y):  # type: ignore[no-untyped-def]
    """Add ``x`` of each node on a pair's list to the pair's ``y``."""
    for pair in range(first, last):
        walked, searched = _sides(pair, rowptr, pairs, part)
        place, end = rowptr[searched], rowptr[searched + 1]
        for e in range(rowptr[walked], rowptr[walked + 1]):
            node = col[e]
            place = _found(col, place, end, node)
            if (place < end and col[place] == node) == (part == 0):
                for c in range(x.shape[1]):
                    y[pair, c] += x[node, c]
            if part == 0 and place == end:
                break


@njit(nogil=True, cache=True)
def _members(first, last, begin, rowptr, col, pairs, part, nodes, counts):  # type: ignore[no-untyped-def]
    """Write the nodes on a pair's list from ``begin`` on, and their number."""
    for pair in range(first, last):
        walked, searched = _sides(pair, rowptr, pairs, part)
        place, end = rowptr[searched], rowptr[searched + 1]
        at = begin[pair]
        for e in range(rowptr[walked], rowptr[walked + 1]):
            node = col[e]
            place = _found(col, place, end, node)
            if (place < end and col[place] == node) == (part == 0):
                nodes[at] = node
                at += 1
            if part == 0 and place == end:
                break
        counts[pair] = at - begin[pair]


@njit(nogil=True, cache=True, fastmath=FAST)
def _add(begin, counts, nodes, dy, dx, low, high):  # type: ignore[no-untyped-def]
    """Add each pair's ``dy`` to ``dx`` of the nodes on its list; channels from ``low`` to ``high``."""
    for pair in range(counts.shape[0]):
        for at in range(begin[pair], begin[pair] + counts[pair]):
            for c in range(low, high):
                dx[nodes[at], c] += dy[pair, c]
