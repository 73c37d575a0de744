"""Overlaps of neighbour lists on a GPU: each entry of the list that is walked is looked up in the other by bisection.

The lists that are walked are the rows of :mod:`~graphlab.ops.kernels.triton_rows`, so that pairs of hubs are cut.
"""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from graphlab.ops.adjacency import Adjacency
from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.triton_rows import (
    Pieces,
    accumulator,
    blocks,
    columns,
    keep,
    launch,
    on_gpu,
    piece,
    pieces,
    tile,
    tuned,
)
from graphlab.ops.kernels.triton_spmm import add_partial, partial_sums, spmm
from graphlab.ops.library import accumulated
from graphlab.ops.overlap import chunks, prepared


@implement("overlap_counts", "triton", on_gpu)
def counts(adj: Adjacency, pairs: Tensor) -> Tensor:
    """Pieces add integers atomically: the sum does not depend on their order."""
    adj = prepared(adj, pairs)
    common, degree = pairs.new_zeros(pairs.shape[1]), adj.rowptr.diff().long()[pairs]
    walks, pointer = _walks(adj, pairs, 0)
    _launch(pieces(pointer)[0], adj, walks, pointer, count=common)
    return torch.stack([common, degree[0] - common, degree[1] - common], dim=1)


@implement("overlap_lists", "triton", on_gpu)
def lists(adj: Adjacency, pairs: Tensor) -> list[Tensor]:
    """Marks which entries of the first list are in the second, and the other way round, and collects them."""
    adj = prepared(adj, pairs)
    results = []
    for part, wanted in ((0, True), (1, False), (2, False)):
        walks, pointer = _walks(adj, pairs, max(part, 1))
        nodes = pairs.new_empty(int(pointer[-1]))
        shared = torch.empty_like(nodes, dtype=torch.bool)
        _launch(pieces(pointer)[0], adj, walks, pointer, nodes=nodes, shared=shared)
        chosen = shared if wanted else ~shared
        results += [torch.cat([pointer[:1], chosen.cumsum(0)])[pointer], nodes[chosen]]
    return results


@implement("overlap_pool", "triton", on_gpu)
def pool(adj: Adjacency, pairs: Tensor, x: Tensor, part: int) -> Tensor:
    adj = prepared(adj, pairs)
    walks, pointer = _walks(adj, pairs, part)
    first, *others = pieces(pointer)
    y = x.new_empty(pairs.shape[1], 1, x.shape[1])
    partial = partial_sums(first, y)
    _launch(first, adj, walks, pointer, x=x.contiguous(), y=y, partial=partial, inside=part == 0)
    add_partial(others, partial, y)
    return y.squeeze(1)


@implement("overlap_pool_gradient", "triton", on_gpu)
def pool_gradient(adj: Adjacency, pairs: Tensor, dy: Tensor, num_nodes: int, part: int) -> Tensor:
    """Products with the transposed lists of as many pairs at a time as are gathered."""
    adj, gradient = prepared(adj, pairs), accumulated(dy).unsqueeze(1)
    dx = gradient.new_zeros(num_nodes, 1, dy.shape[1])
    for chunk in chunks(adj, pairs):
        rowptr, nodes = lists(adj, pairs[:, chunk])[2 * part :][:2]
        turned = torch.ops.graphlab.transpose(rowptr, nodes, None, None, None, None, num_nodes)
        dx += spmm(Adjacency(*turned[:2]), None, gradient[chunk].contiguous(), None, False)
    return dx.squeeze(1).to(dy.dtype)


def _walks(adj: Adjacency, pairs: Tensor, part: int) -> tuple[list[Tensor], Tensor]:
    """Of each pair the node whose list is walked and the one whose list is searched; where each walk begins."""
    first, second = pairs
    degree = adj.rowptr.diff().long()
    turn = degree[second] < degree[first] if part == 0 else torch.full_like(first, part == 2, dtype=torch.bool)
    walked, searched = torch.where(turn, second, first), torch.where(turn, first, second)
    return [walked, searched], torch.cat([first.new_zeros(1), degree[walked].cumsum(0)])


def _launch(
    level: Pieces,
    adj: Adjacency,
    walks: list[Tensor],
    pointer: Tensor,
    count: Tensor | None = None,
    nodes: Tensor | None = None,
    shared: Tensor | None = None,
    x: Tensor | None = None,
    y: Tensor | None = None,
    partial: Tensor | None = None,
    inside: bool = True,
) -> None:
    channels = 1 if x is None else x.shape[1]
    tiles = tile(1, channels)
    launch(
        _find, level.number, blocks(1, channels, tiles), level.start, level.row, level.slot, level.number, adj.rowptr,
        adj.col, *walks, pointer, count, nodes, shared, x, y, partial, channels, inside,
        accumulator(pointer if x is None else x), **tiles,
    )  # fmt: skip


@tuned("channels")
def _find(  # type: ignore[no-untyped-def]
    start, row, slot, pieces, rowptr, col, walked, searched, pointer, count, nodes, shared, x, y, partial, channels,
    INSIDE: tl.constexpr, ACC: tl.constexpr, H: tl.constexpr, C: tl.constexpr, AREA: tl.constexpr, E: tl.constexpr,
    R: tl.constexpr,
):  # fmt: skip
    """``count`` of the common entries; ``nodes`` walked and whether they are ``shared``; the sum ``y`` of the rows of
    ``x`` of those that are, or (not ``INSIDE``) are not."""
    live, begin, end, pair, to = piece(start, row, slot, pieces, R)
    _, offset, exist = columns(tl.program_id(1), 1, channels, H, C)
    a = tl.load(walked + pair, mask=live, other=0)
    b = tl.load(searched + pair, mask=live, other=0)
    walk = tl.load(rowptr + a, mask=live, other=0) - tl.load(pointer + pair, mask=live, other=0)
    first = tl.load(rowptr + b, mask=live, other=0).to(tl.int64)
    last = tl.load(rowptr + b + 1, mask=live, other=0).to(tl.int64)
    common = tl.zeros([R], tl.int64)
    total = tl.zeros([R, H, C], ACC)
    for at in range(0, tl.max(end - begin), E):
        e = begin[:, None] + at + tl.arange(0, E)[None, :]
        valid = e < end[:, None]
        node = tl.load(col + walk[:, None] + e, mask=valid, other=0)
        low = first[:, None] + tl.zeros([R, E], tl.int64)
        high = last[:, None] + tl.zeros([R, E], tl.int64)
        left = tl.max(last - first)
        while left > 0:
            middle = (low + high) // 2
            searching = valid & (low < high)
            before = tl.load(col + middle, mask=searching, other=0) < node
            low = tl.where(searching & before, middle + 1, low)
            high = tl.where(searching & (before == 0), middle, high)
            left = left // 2
        within = valid & (low < last[:, None])
        hit = within & (tl.load(col + low, mask=within, other=-1) == node)
        common += tl.sum(hit.to(tl.int64), axis=1)
        if nodes is not None:
            tl.store(nodes + e, node.to(tl.int64), mask=valid)
            tl.store(shared + e, hit, mask=valid)
        if x is not None:
            chosen = (hit if INSIDE else valid & (hit == 0))[:, :, None, None] & exist[None, None, :, :]
            where = node.to(tl.int64)[:, :, None, None] * channels + offset[None, None, :, :]
            total += tl.sum(tl.load(x + where, mask=chosen, other=0).to(ACC), axis=1)
    if count is not None:
        tl.atomic_add(count + pair, common, mask=live & (common > 0))
    if x is not None:
        keep(total, y, partial, live, pair, to, channels, offset, exist)
