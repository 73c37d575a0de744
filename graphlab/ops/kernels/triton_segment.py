"""Segment softmax on a GPU: the maximum and the sum of each segment in one reading, the probabilities in another."""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from graphlab.ops.adjacency import Adjacency
from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.triton_rows import (
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
from graphlab.ops.kernels.triton_spmm import add
from graphlab.ops.library import accumulated


@implement("softmax", "triton", on_gpu)
def softmax(adj: Adjacency, scores: Tensor) -> Tensor:
    heads, kind = scores.shape[1], accumulated(scores[:0]).dtype
    given, p, tiles = scores.contiguous(), torch.empty_like(scores), tile(1, heads)
    top, total = (torch.empty(adj.num_targets, heads, dtype=kind, device=p.device) for _ in range(2))
    values, count = given, None
    levels = pieces(adj.rowptr)
    for level in levels:
        partial = [top.new_empty(level.partial, heads) if level.partial else None for _ in range(2)]
        launch(
            _normaliser, level.number, blocks(1, heads, tiles), level.start, level.row, level.slot, level.number,
            values, count, top, total, *partial, heads, accumulator(p), **tiles,
        )  # fmt: skip
        if partial[0] is not None:
            values, count = partial[0], partial[1]
    first = levels[0]
    launch(
        _probabilities, first.number, blocks(1, heads, tiles), first.start, first.row, first.slot, first.number, given,
        top, total, p, heads, accumulator(p), **tiles,
    )  # fmt: skip
    return p


@tuned("heads")
def _normaliser(  # type: ignore[no-untyped-def]
    start, row, slot, pieces, scores, count, top, total, top_partial, total_partial, heads,
    ACC: tl.constexpr, H: tl.constexpr, C: tl.constexpr, AREA: tl.constexpr, E: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    """The maximum of a segment's scores and the sum of the exponentials of their differences from it.

    Partial results count as a score, the maximum, that occurs ``count`` times.
    """
    live, begin, end, i, to = piece(start, row, slot, pieces, R)
    _, offset, inside = columns(tl.program_id(1), 1, heads, H, C)
    most, sum = tl.full([R, E, H, C], float("-inf"), ACC), tl.zeros([R, E, H, C], ACC)
    for at in range(0, tl.max(end - begin), E):
        e = begin[:, None] + at + tl.arange(0, E)[None, :]
        mask = (e < end[:, None])[:, :, None, None] & inside[None, None, :, :]
        where = e[:, :, None, None] * heads + offset[None, None, :, :]
        score = tl.load(scores + where, mask=mask, other=float("-inf")).to(ACC)
        larger = tl.maximum(most, score)
        shift = tl.where(larger == float("-inf"), 0, larger)
        weight = tl.exp(score - shift)
        if count is not None:
            weight *= tl.load(count + where, mask=mask, other=0)
        sum = sum * tl.exp(most - shift) + weight
        most = larger
    larger = tl.max(most, axis=1)
    shift = tl.where(larger == float("-inf"), 0, larger)
    result = tl.sum(sum * tl.exp(most - shift[:, None, :, :]), axis=1)
    keep(larger, top, top_partial, live, i, to, heads, offset, inside)
    keep(result, total, total_partial, live, i, to, heads, offset, inside)


@tuned("heads")
def _probabilities(  # type: ignore[no-untyped-def]
    start, row, slot, pieces, scores, top, total, p, heads,
    ACC: tl.constexpr, H: tl.constexpr, C: tl.constexpr, AREA: tl.constexpr, E: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    live, begin, end, i, _ = piece(start, row, slot, pieces, R)
    _, offset, inside = columns(tl.program_id(1), 1, heads, H, C)
    of = i[:, None, None, None] * heads + offset[None, None, :, :]
    exists = live[:, None, None, None] & inside[None, None, :, :]
    most = tl.load(top + of, mask=exists, other=0)
    sum = tl.load(total + of, mask=exists, other=1)
    shift = tl.where(most == float("-inf"), 0, most)
    share = 1 / tl.where(sum == 0, 1, sum)
    for at in range(0, tl.max(end - begin), E):
        e = begin[:, None] + at + tl.arange(0, E)[None, :]
        mask = (e < end[:, None])[:, :, None, None] & inside[None, None, :, :]
        where = e[:, :, None, None] * heads + offset[None, None, :, :]
        score = tl.load(scores + where, mask=mask, other=0).to(ACC)
        tl.store(p + where, (tl.exp(score - shift) * share).to(p.dtype.element_ty), mask=mask)


@implement("softmax_gradient", "triton", on_gpu)
def softmax_gradient(adj: Adjacency, p: Tensor, dp: Tensor) -> Tensor:
    heads, tiles, first = p.shape[1], tile(1, p.shape[1]), pieces(adj.rowptr)[0]
    weight, gradient, ds = p.contiguous(), dp.contiguous(), torch.empty_like(p)
    mean = add(adj.rowptr, (None,) * 6, (accumulated(weight) * accumulated(gradient)).unsqueeze(1), False)
    launch(
        _differences, first.number, blocks(1, heads, tiles), first.start, first.row, first.slot, first.number, weight,
        gradient, mean, ds, heads, accumulator(p), **tiles,
    )  # fmt: skip
    return ds


@tuned("heads")
def _differences(  # type: ignore[no-untyped-def]
    start, row, slot, pieces, p, dp, mean, ds, heads,
    ACC: tl.constexpr, H: tl.constexpr, C: tl.constexpr, AREA: tl.constexpr, E: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    live, begin, end, i, _ = piece(start, row, slot, pieces, R)
    _, offset, inside = columns(tl.program_id(1), 1, heads, H, C)
    exists = live[:, None, None, None] & inside[None, None, :, :]
    centre = tl.load(mean + i[:, None, None, None] * heads + offset[None, None, :, :], mask=exists, other=0)
    for at in range(0, tl.max(end - begin), E):
        e = begin[:, None] + at + tl.arange(0, E)[None, :]
        mask = (e < end[:, None])[:, :, None, None] & inside[None, None, :, :]
        where = e[:, :, None, None] * heads + offset[None, None, :, :]
        weight = tl.load(p + where, mask=mask, other=0).to(ACC)
        gradient = tl.load(dp + where, mask=mask, other=0).to(ACC)
        tl.store(ds + where, (weight * (gradient - centre)).to(ds.dtype.element_ty), mask=mask)
