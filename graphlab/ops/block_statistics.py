r"""The operator under :func:`~graphlab.ops.block_messages`: statistics of the messages that each receiver gets.

Tile by tile, messages over ``axis`` 1 (sources) or 2 (targets) are computed and merged into sum, squared deviations and
extrema (:mod:`.block_received` has the maths). The gradient computes the messages again. With :math:`\mu_i` the mean of
what receiver :math:`i` gets

.. math:: \bar m_{ij} = \bar t_i + 2 \bar q_i (m_{ij} - \mu_i)
    + [j = \arg\min_i]\, \overline{\min}_i + [j = \arg\max_i]\, \overline{\max}_i
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from graphlab.ops.block_tiles import (
    DEPTH,
    Tile,
    define_block,
    ends,
    message_gradient,
    message_of,
    projected,
    rows,
    tiles,
)
from graphlab.ops.dispatch import implement
from graphlab.ops.library import accumulated

TileStatistics = Callable[[Tensor, int, bool, bool], tuple[Tensor, ...]]
"""Sum, squared deviations, extrema and their first places over one axis of ``[b, s, t, channels]``."""


def plain_statistics(m: Tensor, axis: int, spread: bool, extrema: bool) -> tuple[Tensor, ...]:
    total = m.sum(dim=axis)
    deviations = (m - (total / m.shape[axis]).unsqueeze(axis)).square_().sum(dim=axis) if spread else total
    if not extrema:
        return total, deviations, total, total, total, total
    least, least_at = m.min(dim=axis)
    most, most_at = m.max(dim=axis)
    return total, deviations, least, most, least_at.int(), most_at.int()


def _tiles(edge: Tensor, width: int, axis: int) -> Iterator[tuple[Tile, tuple[slice, slice], slice]]:
    """Tiles of edges, and of each those who receive and those who send."""
    for tile in tiles(edge, width, DEPTH if axis == 1 else 1):
        yield tile, (tile[0], tile[3 - axis]), tile[axis]


@implement("block_statistics", "reference")
def reference(
    edge: Tensor,
    source: Tensor,
    target: Tensor,
    weight: Tensor,
    bias: Tensor,
    axis: int,
    message: str,
    spread: bool,
    extrema: bool,
    statistics: TileStatistics = plain_statistics,
) -> tuple[Tensor, ...]:
    """Compute the messages of a tile, reduce them, merge with what receivers got before; other implementations bring
    other ``statistics`` of a tile."""
    source, target, weight, bias = (accumulated(part) for part in (source, target, weight, bias))
    receiver = target if axis == 1 else source
    total = torch.zeros_like(receiver)
    deviations = torch.zeros_like(receiver) if spread else receiver.new_empty(0)
    least, most = (receiver.new_full(receiver.shape if extrema else (0,), sign * torch.inf) for sign in (1, -1))
    least_at, most_at = (torch.full_like(part, -1, dtype=torch.int32) for part in (least, most))
    for tile, at, senders in _tiles(edge, len(weight), axis):
        m = message_of(message, projected(edge, weight, bias, tile), ends(source, target, tile))
        part = statistics(m, axis, spread, extrema)
        before, now = senders.start, senders.stop - senders.start
        if spread:
            deviations[at] += part[1]
            if before:
                apart = part[0] / now - total[at] / before
                deviations[at] += apart.square_() * (before * now / (before + now))
        total[at] += part[0]
        if extrema:
            for found, place, new, new_at, sign in (
                (least, least_at, part[2], part[4], 1),
                (most, most_at, part[3], part[5], -1),
            ):
                better = (sign * new < sign * found[at]) | new.isnan() & ~found[at].isnan() | (place[at] < 0)
                found[at] = torch.where(better, new, found[at])
                place[at] = torch.where(better, new_at + before, place[at])
    return total, deviations, least, most, least_at, most_at


@implement("block_statistics_gradient", "reference")
def gradient_reference(
    edge: Tensor,
    source: Tensor,
    target: Tensor,
    weight: Tensor,
    bias: Tensor,
    axis: int,
    message: str,
    total: Tensor,
    least_at: Tensor,
    most_at: Tensor,
    d_total: Tensor,
    d_spread: Tensor,
    d_least: Tensor,
    d_most: Tensor,
    spread: bool,
    extrema: bool,
    need_edge: bool,
) -> tuple[Tensor, ...]:
    """Compute each tile's messages again, their gradients, and with two products those of states and weights."""
    given = (source, target, weight, bias)
    source, target, weight, bias = (accumulated(part) for part in given)
    d_edge = edge.new_empty(edge.shape) if need_edge else edge.new_empty(0)
    d_source, d_target, d_weight, d_bias = (torch.zeros_like(part) for part in (source, target, weight, bias))
    slope = 2 * d_spread if spread else d_total
    level = d_total - slope * (total / max(edge.shape[axis], 1)) if spread else d_total
    for tile, at, senders in _tiles(edge, len(weight), axis):
        z, s = projected(edge, weight, bias, tile), ends(source, target, tile)
        dm = level[at].unsqueeze(axis).expand_as(s)
        if spread:
            m = message_of(message, z if message == "film" else z.clone(), s)
            dm = torch.addcmul(dm, slope[at].unsqueeze(axis), m)
        if extrema:
            dm = dm.contiguous()
            for place, gradient in ((least_at[at], d_least[at]), (most_at[at], d_most[at])):
                here = (place >= senders.start) & (place < senders.stop)
                index = torch.where(here, place - senders.start, 0).long()
                dm.scatter_add_(axis, index.unsqueeze(axis), torch.where(here, gradient, 0).unsqueeze(axis))
        dz, ds = message_gradient(message, z, s, dm)
        d_source[tile[0], tile[1]] += ds.sum(dim=2)
        d_target[tile[0], tile[2]] += ds.sum(dim=1)
        dz = dz.reshape(-1, len(weight))
        d_bias += dz.sum(dim=0)
        d_weight.addmm_(dz.t(), rows(edge, tile))
        if need_edge:
            d_edge[tile] = (dz @ weight).view_as(d_edge[tile])
    gradients = (d_source, d_target, d_weight, d_bias)
    return d_edge, *(part.to(like.dtype) for part, like in zip(gradients, given, strict=True))


_INPUTS = "Tensor edge, Tensor source, Tensor target, Tensor weight, Tensor bias, int axis, str message"


def _fake(
    edge: Tensor, source: Tensor, target: Tensor, weight: Tensor, bias: Tensor, axis: int, message: str, *flags: bool
) -> tuple[Tensor, ...]:
    like = accumulated(target if axis == 1 else source)
    total = torch.empty_like(like)
    spread, least, most = (like.new_empty(like.shape if flag else (0,)) for flag in (*flags, flags[1]))
    return total, spread, least, most, *(torch.empty_like(part, dtype=torch.int32) for part in (least, most))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, axis, message, spread, extrema = inputs
    ctx.save_for_backward(*tensors, output[0], output[4], output[5])
    ctx.mark_non_differentiable(output[4], output[5])
    ctx.how, ctx.flags = (axis, message), (spread, extrema)


def _backward(ctx: Any, d_total: Tensor, d_spread: Tensor, d_least: Tensor, d_most: Tensor, *_: Any) -> tuple[Any, ...]:
    *tensors, total, least_at, most_at = ctx.saved_tensors
    gradients = _gradient(
        *tensors,
        *ctx.how,
        *(total, least_at, most_at, d_total, d_spread, d_least, d_most),
        *ctx.flags,
        ctx.needs_input_grad[0],
    )
    return (gradients[0] if ctx.needs_input_grad[0] else None, *gradients[1:], None, None, None, None)


def _gradient_fake(
    edge: Tensor, source: Tensor, target: Tensor, weight: Tensor, bias: Tensor, *others: Any
) -> tuple[Tensor, ...]:
    d_edge = edge.new_empty(edge.shape) if others[-1] else edge.new_empty(0)
    return d_edge, *(part.new_empty(part.shape) for part in (source, target, weight, bias))


block_statistics = define_block(
    "block_statistics",
    f"({_INPUTS}, bool spread, bool extrema) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _fake,
    _save,
    _backward,
)
_gradient = define_block(
    "block_statistics_gradient",
    f"({_INPUTS}, Tensor total, Tensor least_at, Tensor most_at, Tensor d_total, Tensor d_spread, Tensor d_least, "
    "Tensor d_most, bool spread, bool extrema, bool need_edge) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _gradient_fake,
)
