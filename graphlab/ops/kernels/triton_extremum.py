"""Minima and maxima of neighbours on a GPU, with the place of each."""

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
    jit,
    keep,
    launch,
    on_gpu,
    piece,
    pieces,
    tile,
    tuned,
)
from graphlab.ops.library import accumulated


@implement("spmm_extremum", "triton", on_gpu)
def extremum(adj: Adjacency, weight: Tensor | None, x: Tensor, largest: bool) -> tuple[Tensor, Tensor]:
    values = (x.flatten(1).unsqueeze(1) if weight is None else x).contiguous()
    heads, channels = values.shape[1:]
    tiles, kind = tile(heads, channels), accumulated(x[:0]).dtype
    y = x.new_empty(adj.num_targets, heads, channels)
    place = adj.rowptr.new_empty(y.shape)
    given: tuple[Tensor | None, ...] = (adj.col, adj.perm, None if weight is None else weight.contiguous(), None)
    for level in pieces(adj.rowptr):
        shape = (level.partial, heads, channels)
        best = y.new_empty(shape, dtype=kind) if level.partial else None
        there = place.new_empty(shape) if level.partial else None
        launch(
            _extremum, level.number, blocks(heads, channels, tiles), level.start, level.row, level.slot, level.number,
            *given, values, y, place, best, there, heads, channels, largest, torch.iinfo(place.dtype).max,
            accumulator(x), **tiles,
        )  # fmt: skip
        if best is not None:
            values, given = best, (None, None, None, there)
    return y.view(adj.num_targets, *x.shape[1:]), place.view(adj.num_targets, *x.shape[1:])


@tuned("heads", "channels", area=2048)
def _extremum(  # type: ignore[no-untyped-def]
    start, row, slot, pieces, col, perm, weight, given, x, y, place, best, there, heads, channels,
    LARGEST: tl.constexpr, NOWHERE: tl.constexpr, ACC: tl.constexpr, H: tl.constexpr, C: tl.constexpr,
    AREA: tl.constexpr, E: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    """``given`` are the places of partial results; ``NOWHERE`` is after all places."""
    live, begin, end, i, to = piece(start, row, slot, pieces, R)
    h, offset, inside = columns(tl.program_id(1), heads, channels, H, C)
    width = heads * channels
    top = tl.full([R, E, H, C], float("-inf"), ACC)
    where = tl.full([R, E, H, C], NOWHERE, place.dtype.element_ty)
    for at in range(0, tl.max(end - begin), E):
        e = begin[:, None] + at + tl.arange(0, E)[None, :]
        valid = e < end[:, None]
        j = e
        if col is not None:
            j = tl.load(col + e, mask=valid, other=0).to(tl.int64)
        source = j[:, :, None, None] * width + offset[None, None, :, :]
        mask = valid[:, :, None, None] & inside[None, None, :, :]
        value = tl.load(x + source, mask=mask, other=0).to(ACC)
        if weight is not None:
            edge = e
            if perm is not None:
                edge = tl.load(perm + e, mask=valid, other=0).to(tl.int64)
            some = valid[:, :, None] & (h < heads)[None, None, :]
            w = tl.load(weight + edge[:, :, None] * heads + h[None, None, :], mask=some, other=0)
            value *= w.to(ACC)[:, :, :, None]
        here = e[:, :, None, None].to(where.dtype)
        if given is not None:
            here = tl.load(given + source, mask=mask, other=0)
        if not LARGEST:
            value = -value
        top, where = improve(top, where, value, here, mask, NOWHERE)
    most, first = first_extremum(top, where, NOWHERE)
    result = tl.where(first >= 0, most if LARGEST else -most, 0)
    keep(result, y, best, live, i, to, width, offset, inside)
    keep(first, place, there, live, i, to, width, offset, inside)


@jit
def improve(top, where, value, here, mask, NOWHERE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The larger of ``top`` and ``value``, and its place; the first NaN is larger than all."""
    better = ((value > top) | ((value != value) & (top == top)) | (where == NOWHERE)) & mask
    return tl.where(better, value, top), tl.where(better, here, where)


@jit
def first_extremum(top, where, NOWHERE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Of ``[R, E, H, C]`` the largest along ``E`` and the first place that attains it, -1 if there is none."""
    invalid = top != top
    first_invalid = tl.min(tl.where(invalid, where, NOWHERE), axis=1)
    most = tl.max(tl.where(invalid, float("-inf"), top), axis=1)
    first = tl.min(tl.where(top == most[:, None, :, :], where, NOWHERE), axis=1)
    most = tl.where(first_invalid < NOWHERE, float("nan"), most)
    first = tl.where(first_invalid < NOWHERE, first_invalid, first)
    return most, tl.where(first < NOWHERE, first, -1)
