"""Several statistics of neighbours on a GPU.

A program reads its entries once for sums and extrema and, for variances, once more from the cache for the squares of
the differences from the mean. Pieces of a row leave their number :math:`n_p`, sum, and sum of squares about their own
mean :math:`\\mu_p`; that of the row is :math:`\\sum_p s_p + n_p (\\mu_p - \\mu)^2` (Chan, Golub, LeVeque 1983).
"""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from graphlab.ops.adjacency import Adjacency
from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.triton_extremum import first_extremum, improve
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
from graphlab.ops.kernels.triton_spmm import add_partial, partial_sums, places
from graphlab.ops.library import accumulated, transposed
from graphlab.ops.stats import FLOOR, STATS, coefficients


@implement("stats", "triton", on_gpu)
def stats(adj: Adjacency, x: Tensor, stats: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    at = {f"AT_{name.upper()}": stats.index(number) if number in stats else -1 for number, name in enumerate(STATS)}
    channels, kind, tiles = x.shape[1], accumulated(x[:0]).dtype, tile(1, x.shape[1])
    y = x.new_empty(adj.num_targets, len(stats), channels)
    shape, empty = (adj.num_targets, channels), (0, 0)
    mean = x.new_empty(shape if max(at["AT_VAR"], at["AT_STD"]) >= 0 else empty, dtype=kind)
    least, most = (adj.rowptr.new_empty(shape if at[name] >= 0 else empty) for name in ("AT_MIN", "AT_MAX"))
    given: tuple[Tensor | None, ...] = (adj.col, x.contiguous(), None, None, None)
    for level in pieces(adj.rowptr):
        left: list[Tensor | None] = [None, None, None]
        if level.partial:
            shapes = ((level.partial,), (level.partial, 4, channels))
            left = [*(mean.new_empty(size) for size in shapes), least.new_empty(level.partial, 2, channels)]
        launch(
            _stats, level.number, blocks(1, channels, tiles), level.start, level.row, level.slot, level.number, *given,
            y, mean, least, most, *left, channels, len(stats), *at.values(), FLOOR, torch.iinfo(least.dtype).max,
            accumulator(x), **tiles,
        )  # fmt: skip
        given = (None, None, *left)
    return y, mean, least, most


@tuned("channels", area=2048)
def _stats(  # type: ignore[no-untyped-def]
    start, row, slot, pieces, col, x, number, parts, where, y, mean, least, most, to_number, to_parts, to_where,
    channels, K: tl.constexpr, AT_SUM: tl.constexpr, AT_MEAN: tl.constexpr, AT_MIN: tl.constexpr,
    AT_MAX: tl.constexpr, AT_VAR: tl.constexpr, AT_STD: tl.constexpr, FLOOR: tl.constexpr, NOWHERE: tl.constexpr,
    ACC: tl.constexpr, H: tl.constexpr, C: tl.constexpr, AREA: tl.constexpr, E: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    """``parts`` of a partial result are its sum, sum of squares, negative minimum and maximum."""
    live, begin, end, i, to = piece(start, row, slot, pieces, R)
    _, offset, inside = columns(tl.program_id(1), 1, channels, H, C)
    DEVIATES: tl.constexpr = AT_VAR >= 0 or AT_STD >= 0
    total = tl.zeros([R, E, H, C], ACC)
    count = tl.zeros([R, E], ACC)
    lowest = tl.full([R, E, H, C], float("-inf"), ACC)
    highest = tl.full([R, E, H, C], float("-inf"), ACC)
    at_lowest = tl.full([R, E, H, C], NOWHERE, least.dtype.element_ty)
    at_highest = tl.full([R, E, H, C], NOWHERE, least.dtype.element_ty)
    for at in range(0, tl.max(end - begin), E):
        e = begin[:, None] + at + tl.arange(0, E)[None, :]
        valid = e < end[:, None]
        mask = valid[:, :, None, None] & inside[None, None, :, :]
        if x is not None:
            j = tl.load(col + e, mask=valid, other=0).to(tl.int64)
            value = tl.load(x + j[:, :, None, None] * channels + offset[None, None, :, :], mask=mask, other=0).to(ACC)
            total += value
            count += tl.where(valid, 1.0, 0.0).to(ACC)
            low, high, here = -value, value, e[:, :, None, None].to(least.dtype.element_ty)
            there = here
        else:
            part = e[:, :, None, None] * (4 * channels) + offset[None, None, :, :]
            total += tl.load(parts + part, mask=mask, other=0)
            count += tl.load(number + e, mask=valid, other=0)
            low = tl.load(parts + part + 2 * channels, mask=mask & (AT_MIN >= 0), other=0)
            high = tl.load(parts + part + 3 * channels, mask=mask & (AT_MAX >= 0), other=0)
            spot = e[:, :, None, None] * (2 * channels) + offset[None, None, :, :]
            here = tl.load(where + spot, mask=mask & (AT_MIN >= 0), other=0)
            there = tl.load(where + spot + channels, mask=mask & (AT_MAX >= 0), other=0)
        if AT_MIN >= 0:
            lowest, at_lowest = improve(lowest, at_lowest, low, here, mask, NOWHERE)
        if AT_MAX >= 0:
            highest, at_highest = improve(highest, at_highest, high, there, mask, NOWHERE)
    sum = tl.sum(total, axis=1)
    n = tl.sum(count, axis=1)
    centre = sum / tl.maximum(n, 1)[:, None, None]
    if AT_SUM >= 0:
        _put(sum, y, live, i, to, AT_SUM, K, channels, offset, inside)
    if AT_MEAN >= 0:
        _put(centre, y, live, i, to, AT_MEAN, K, channels, offset, inside)
    if to_parts is not None:
        tl.store(to_number + to, n, mask=live & (to >= 0))
        _put(sum, to_parts, live, to, -1 - to, 0, 4, channels, offset, inside)
    if DEVIATES:
        square = tl.zeros([R, E, H, C], ACC)
        for at in range(0, tl.max(end - begin), E):
            e = begin[:, None] + at + tl.arange(0, E)[None, :]
            valid = e < end[:, None]
            mask = valid[:, :, None, None] & inside[None, None, :, :]
            if x is not None:
                j = tl.load(col + e, mask=valid, other=0).to(tl.int64)
                value = tl.load(x + j[:, :, None, None] * channels + offset[None, None, :, :], mask=mask, other=0)
                difference = tl.where(mask, value.to(ACC) - centre[:, None, :, :], 0)
                square += difference * difference
            else:
                part = e[:, :, None, None] * (4 * channels) + offset[None, None, :, :]
                size = tl.load(number + e, mask=valid, other=1)[:, :, None, None]
                value = tl.load(parts + part, mask=mask, other=0) / size
                difference = tl.where(mask, value - centre[:, None, :, :], 0)
                square += tl.load(parts + part + channels, mask=mask, other=0) + size * difference * difference
        squares = tl.sum(square, axis=1)
        variance = squares / tl.maximum(n, 1)[:, None, None]
        _put(centre, mean, live, i, to, 0, 1, channels, offset, inside)
        if AT_VAR >= 0:
            _put(variance, y, live, i, to, AT_VAR, K, channels, offset, inside)
        if AT_STD >= 0:
            deviation = tl.where(variance <= FLOOR, 0, tl.sqrt(variance))
            _put(deviation, y, live, i, to, AT_STD, K, channels, offset, inside)
        if to_parts is not None:
            _put(squares, to_parts, live, to, -1 - to, 1, 4, channels, offset, inside)
    if AT_MIN >= 0:
        low, here = first_extremum(lowest, at_lowest, NOWHERE)
        _put(tl.where(here >= 0, -low, 0), y, live, i, to, AT_MIN, K, channels, offset, inside)
        _put(here, least, live, i, to, 0, 1, channels, offset, inside)
        if to_parts is not None:
            _put(low, to_parts, live, to, -1 - to, 2, 4, channels, offset, inside)
            _put(here, to_where, live, to, -1 - to, 0, 2, channels, offset, inside)
    if AT_MAX >= 0:
        high, there = first_extremum(highest, at_highest, NOWHERE)
        _put(tl.where(there >= 0, high, 0), y, live, i, to, AT_MAX, K, channels, offset, inside)
        _put(there, most, live, i, to, 0, 1, channels, offset, inside)
        if to_parts is not None:
            _put(high, to_parts, live, to, -1 - to, 3, 4, channels, offset, inside)
            _put(there, to_where, live, to, -1 - to, 1, 2, channels, offset, inside)


@jit
def _put(  # type: ignore[no-untyped-def]
    value, to, live, row, unless, AT: tl.constexpr, K: tl.constexpr, channels, offset, inside
):
    """Write ``[R, H, C]`` as the ``AT``-th of ``K`` parts of rows, where ``unless`` is negative."""
    mask = (live & (unless < 0))[:, None, None] & inside[None, :, :]
    where = (row * K + AT)[:, None, None] * channels + offset[None, :, :]
    tl.store(to + where, value.to(to.dtype.element_ty), mask=mask)


@implement("stats_gradient", "triton", on_gpu)
def stats_gradient(
    adj: Adjacency, x: Tensor, y: Tensor, mean: Tensor, least: Tensor, most: Tensor, dy: Tensor, stats: list[int]
) -> Tensor:
    """Each source adds up what it gave to the statistics of its targets."""
    turned = transposed(adj, x.shape[0])
    level, steep = coefficients(adj, y, dy, stats)
    channels, dx, tiles = x.shape[1], torch.empty_like(x).unsqueeze(1), tile(1, x.shape[1])
    extrema: list[Tensor | None] = []
    for name, place in (("min", least), ("max", most)):
        wanted = STATS.index(name) in stats
        extrema += [place, dy[:, stats.index(STATS.index(name))].contiguous()] if wanted else [None, None]
    first, *others = pieces(turned.rowptr)
    partial = partial_sums(first, dx)
    launch(
        _gradient, first.number, blocks(1, channels, tiles), first.start, first.row, first.slot, first.number,
        turned.col, places(adj, x.shape[0]), x.contiguous(), level, steep, mean, *extrema, dx, partial, channels,
        accumulator(x), **tiles,
    )  # fmt: skip
    add_partial(others, partial, dx)
    return dx.squeeze(1)


@tuned("channels", area=1024)
def _gradient(  # type: ignore[no-untyped-def]
    start, row, slot, pieces, col, number, x, level, steep, mean, least, dleast, most, dmost, dx, partial, channels,
    ACC: tl.constexpr, H: tl.constexpr, C: tl.constexpr, AREA: tl.constexpr, E: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    live, begin, end, j, to = piece(start, row, slot, pieces, R)
    _, offset, inside = columns(tl.program_id(1), 1, channels, H, C)
    exists = live[:, None, None, None] & inside[None, None, :, :]
    mine = tl.load(x + j[:, None, None, None] * channels + offset[None, None, :, :], mask=exists, other=0).to(ACC)
    total = tl.zeros([R, E, H, C], ACC)
    for at in range(0, tl.max(end - begin), E):
        e = begin[:, None] + at + tl.arange(0, E)[None, :]
        valid = e < end[:, None]
        mask = valid[:, :, None, None] & inside[None, None, :, :]
        i = tl.load(col + e, mask=valid, other=0).to(tl.int64)
        where = i[:, :, None, None] * channels + offset[None, None, :, :]
        part = tl.load(level + where, mask=mask, other=0)
        if steep is not None:
            difference = mine - tl.load(mean + where, mask=mask, other=0)
            part += tl.where(mask, tl.load(steep + where, mask=mask, other=0) * difference, 0)
        here = e
        if number is not None:
            here = tl.load(number + e, mask=valid, other=0).to(tl.int64)
        if least is not None:
            attained = tl.load(least + where, mask=mask, other=-1) == here[:, :, None, None]
            part += tl.where(attained, tl.load(dleast + where, mask=mask, other=0).to(ACC), 0)
        if most is not None:
            attained = tl.load(most + where, mask=mask, other=-1) == here[:, :, None, None]
            part += tl.where(attained, tl.load(dmost + where, mask=mask, other=0).to(ACC), 0)
        total += part
    keep(tl.sum(total, axis=1), dx, partial, live, j, to, channels, offset, inside)
