"""Sparse products on a GPU: a program gathers several entries of several rows at a time, and adds in registers."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphlab.ops.adjacency import Adjacency, identity, remembered
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
from graphlab.ops.library import accumulated, transposed

# ---- sums ---------------------------------------------------------------------------------------------------------


@implement("spmm", "triton", on_gpu)
def spmm(adj: Adjacency, weight: Tensor | None, x: Tensor, scale: Tensor | None, mean: bool) -> Tensor:
    values = x.flatten(1).unsqueeze(1) if weight is None else x
    y = add(adj.rowptr, (adj.col, adj.perm, weight, scale, None, None), values, mean)
    return y.view(adj.num_targets, *x.shape[1:])


def add(rowptr: Tensor, edges: tuple[Tensor | None, ...], x: Tensor, mean: bool) -> Tensor:
    """Sums of rows of ``x`` ``[num_sources, heads, channels]``.

    Args:
        rowptr: Of the rows.
        edges: At each place ``col`` and ``perm``; ``weight`` of the edges; ``scale`` of the sources; if ``place`` is
            given, of the shape of ``x``, only what is equal to ``number`` there counts (``None``: to the place itself).
        x: What is added.
        mean: Whether to divide by the lengths of the rows.
    """
    y = x.new_empty(rowptr.numel() - 1, *x.shape[1:])
    given = [None if part is None else part.contiguous() for part in edges]
    first, *others = pieces(rowptr)
    partial = _add_pieces(first, given, rowptr if mean else None, x.contiguous(), y)
    add_partial(others, partial, y, rowptr if mean else None)
    return y


def add_partial(levels: list[Pieces], partial: Tensor | None, y: Tensor, rowptr: Tensor | None = None) -> None:
    """Add up what the pieces of cut rows left; with ``rowptr`` divide by the lengths of the rows."""
    for level in levels:
        assert partial is not None
        partial = _add_pieces(level, [None] * 6, rowptr, partial, y)


def partial_sums(level: Pieces, y: Tensor) -> Tensor | None:
    """Where the pieces of cut rows leave their sums, in the dtype in which they are added."""
    return y.new_empty(level.partial, *y.shape[1:], dtype=accumulated(y[:0]).dtype) if level.partial else None


def _add_pieces(level: Pieces, edges: list[Any], rowptr: Tensor | None, x: Tensor, y: Tensor) -> Tensor | None:
    heads, channels = x.shape[1:]
    tiles, partial = tile(heads, channels), partial_sums(level, y)
    launch(
        _add, level.number, blocks(heads, channels, tiles), level.start, level.row, level.slot, level.number, *edges,
        rowptr, x, y, partial, heads, channels, accumulator(x), **tiles,
    )  # fmt: skip
    return partial


@tuned("heads", "channels")
def _add(  # type: ignore[no-untyped-def]
    start, row, slot, pieces, col, perm, weight, scale, place, number, rowptr, x, y, partial, heads, channels,
    ACC: tl.constexpr, H: tl.constexpr, C: tl.constexpr, AREA: tl.constexpr, E: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    live, begin, end, i, to = piece(start, row, slot, pieces, R)
    h, offset, inside = columns(tl.program_id(1), heads, channels, H, C)
    width = heads * channels
    total = tl.zeros([R, E, H, C], ACC)
    for at in range(0, tl.max(end - begin), E):
        e = begin[:, None] + at + tl.arange(0, E)[None, :]
        valid = e < end[:, None]
        j = e
        if col is not None:
            j = tl.load(col + e, mask=valid, other=0).to(tl.int64)
        where = j[:, :, None, None] * width + offset[None, None, :, :]
        mask = valid[:, :, None, None] & inside[None, None, :, :]
        value = tl.load(x + where, mask=mask, other=0).to(ACC)
        if weight is not None:
            edge = e
            if perm is not None:
                edge = tl.load(perm + e, mask=valid, other=0).to(tl.int64)
            there = valid[:, :, None] & (h < heads)[None, None, :]
            w = tl.load(weight + edge[:, :, None] * heads + h[None, None, :], mask=there, other=0)
            value *= w.to(ACC)[:, :, :, None]
        if scale is not None:
            value *= tl.load(scale + j, mask=valid, other=0).to(ACC)[:, :, None, None]
        if place is not None:
            mine = e
            if number is not None:
                mine = tl.load(number + e, mask=valid, other=0).to(tl.int64)
            value = tl.where(tl.load(place + where, mask=mask, other=-1) == mine[:, :, None, None], value, 0)
        total += value
    result = tl.sum(total, axis=1)
    if rowptr is not None:
        degree = tl.load(rowptr + i + 1, mask=live, other=1) - tl.load(rowptr + i, mask=live, other=0)
        share = tl.where(to < 0, tl.maximum(degree, 1), 1)
        result = result / share.to(ACC)[:, None, None]
    keep(result, y, partial, live, i, to, width, offset, inside)


# ---- scores -------------------------------------------------------------------------------------------------------


@implement("sddmm", "triton", on_gpu)
def sddmm(adj: Adjacency, q: Tensor, k: Tensor) -> Tensor:
    return products(adj, q, k, None)


def products(adj: Adjacency, q: Tensor, k: Tensor, place: Tensor | None) -> Tensor:
    """``[num_edges, heads]``: inner products, of the channels whose ``place`` is the edge's if that is given."""
    scores = q.new_empty(adj.num_edges, q.shape[1])
    heads, channels = q.shape[1:]
    tiles, level = tile(heads, channels), pieces(adj.rowptr)[0]
    launch(
        _products, level.number, triton.cdiv(heads, tiles["H"]), level.start, level.row, level.slot, level.number,
        adj.col, adj.perm, place, q.contiguous(), k.contiguous(), scores, heads, channels, accumulator(q), **tiles,
    )  # fmt: skip
    return scores


@tuned("heads", "channels", area=2048)
def _products(  # type: ignore[no-untyped-def]
    start, row, slot, pieces, col, perm, place, q, k, scores, heads, channels,
    ACC: tl.constexpr, H: tl.constexpr, C: tl.constexpr, AREA: tl.constexpr, E: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    _, begin, end, i, _ = piece(start, row, slot, pieces, R)
    h = tl.program_id(1) * H + tl.arange(0, H)
    width = heads * channels
    for at in range(0, tl.max(end - begin), E):
        e = begin[:, None] + at + tl.arange(0, E)[None, :]
        valid = e < end[:, None]
        j = tl.load(col + e, mask=valid, other=0).to(tl.int64)
        total = tl.zeros([R, E, H], ACC)
        for first in range(0, channels, C):
            c = first + tl.arange(0, C)
            offset = h[:, None] * channels + c[None, :]
            inside = (h < heads)[:, None] & (c < channels)[None, :]
            mine = i[:, None, None, None] * width + offset[None, None, :, :]
            some = (begin < end)[:, None, None, None] & inside[None, None, :, :]
            theirs = j[:, :, None, None] * width + offset[None, None, :, :]
            mask = valid[:, :, None, None] & inside[None, None, :, :]
            value = tl.load(q + mine, mask=some, other=0).to(ACC) * tl.load(k + theirs, mask=mask, other=0).to(ACC)
            if place is not None:
                value = tl.where(tl.load(place + mine, mask=some, other=-1) == e[:, :, None, None], value, 0)
            total += tl.sum(value, axis=3)
        edge = e
        if perm is not None:
            edge = tl.load(perm + e, mask=valid, other=0).to(tl.int64)
        there = valid[:, :, None] & (h < heads)[None, None, :]
        tl.store(scores + edge[:, :, None] * heads + h[None, None, :], total.to(scores.dtype.element_ty), mask=there)


# ---- gradient of extrema ------------------------------------------------------------------------------------------


@implement("spmm_extremum_gradient", "triton", on_gpu)
def extremum_gradient(
    adj: Adjacency, weight: Tensor | None, x: Tensor, place: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor]:
    """Each source asks of each of its edges whether it attained the extremum: no two programs add to one value."""
    turned = transposed(adj, x.shape[0])
    dx = add(turned.rowptr, (turned.col, turned.perm, weight, None, place, places(adj, x.shape[0])), dy, False)
    if weight is None:
        return dx, x.new_empty(0)
    return dx, products(adj, dy, x, place)


def places(adj: Adjacency, num_sources: int) -> Tensor | None:
    """For each place of the transpose that of the same edge in the adjacency; ``None`` if they are the same."""
    turned = transposed(adj, num_sources)
    if adj.perm is None:
        return turned.perm

    def found(edges: Tensor) -> tuple[Any, Tensor]:
        inverse = torch.empty_like(edges)
        inverse[edges.long()] = torch.arange(edges.numel(), dtype=edges.dtype, device=edges.device)
        return (adj.rowptr, *adj[2:]), inverse if turned.perm is None else inverse[turned.perm.long()]

    edges = adj.perm
    return remembered(adj.col, ("places", num_sources, identity(adj)), lambda: found(edges))[1]
