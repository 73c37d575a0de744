r"""Statistics of the messages that nodes get, and new states of edges, of edges one by one.

The same messages as those of blocks (:mod:`graphlab.ops.block`), of edges that are given by their ends: with
:math:`p` of receivers, :math:`q` of senders and an affine map of the edge,

.. math:: m_e = \gamma_e \odot (p_{r(e)} + q_{s(e)}) + \beta_e, \quad \sigma(z_e) \odot (p_{r(e)} + q_{s(e)})
    \quad\text{or}\quad f(z_e + p_{r(e)} + q_{s(e)})

A network of few neurons has blocks that are smaller than the cost of a call: they are computed together here. On a CPU
no message exists beyond a tile of edges; the gradient computes them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from graphlab.ops.block import Activation, Message
from graphlab.ops.block_received import Aggregator, Received, checked
from graphlab.ops.block_tiles import activation_gradient, define_block
from graphlab.ops.dispatch import implement
from graphlab.ops.library import accumulated


def edge_messages(
    states: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    sender: Tensor,
    receiver: Tensor,
    sent: Tensor,
    own: Tensor,
    message: Message = "film",
    aggregators: Sequence[Aggregator] = ("mean",),
) -> Received:
    """What nodes get from edges, ``[num_nodes, channels]``; as :func:`~graphlab.ops.block_messages`.

    Args:
        states: ``[edges, edge_channels]``.
        weight, bias: ``W`` and ``b``: ``2 * channels`` rows for ``film``, else ``channels``.
        sender, receiver: int32 ``[edges]``.
        sent, own: The terms of a node as sender, and as receiver: ``[num_nodes, channels]``.
        message: Which function of these.
        aggregators: What the result will be asked for.

    Raises:
        ValueError: for shapes that do not fit.
    """
    wanted = set(checked(aggregators))
    _fits(states, weight, bias, sender, receiver, sent, own, 2 if message == "film" else 1)
    spread, extrema = bool(wanted & {"var", "std"}), bool(wanted & {"min", "max"})
    degree = torch.bincount(receiver, minlength=len(own)).unsqueeze(1).to(accumulated(own[:0]).dtype)
    found = _statistics(states, weight, bias, sender, receiver, sent, own, message, spread, extrema)
    total, deviations, least, most = found[:4]
    return Received(degree, total, deviations if spread else None, *((least, most) if extrema else (None, None)))


def edge_update(
    states: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    sender: Tensor,
    receiver: Tensor,
    sent: Tensor,
    own: Tensor,
    activation: Activation,
    out_weight: Tensor,
    out_bias: Tensor,
) -> Tensor:
    """``[edges, out_channels]``: ``W_2 f(W e + b + p + q) + b_2``; as :func:`~graphlab.ops.block_edge_update`.

    Args:
        states, weight, bias, sender, receiver, sent, own: As of :func:`edge_messages`.
        activation: ``f``.
        out_weight, out_bias: ``W_2`` ``[out_channels, channels]`` and ``b_2``.

    Raises:
        ValueError: for shapes that do not fit.
    """
    _fits(states, weight, bias, sender, receiver, sent, own, 1)
    result: Tensor = _update(states, weight, bias, sender, receiver, sent, own, activation, out_weight, out_bias)
    return result


def _fits(
    states: Tensor,
    weight: Tensor,
    bias: Tensor,
    sender: Tensor,
    receiver: Tensor,
    sent: Tensor,
    own: Tensor,
    parts: int,
) -> None:
    edges, rows = len(states), parts * own.shape[1]
    expected = {
        "weight": (weight, (rows, states.shape[-1])),
        "bias": (bias, (rows,)),
        "sender": (sender, (edges,)),
        "receiver": (receiver, (edges,)),
        "sent": (sent, tuple(own.shape)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name}: expected the shape {list(shape)}, got {list(tensor.shape)}")


# ---- statistics ---------------------------------------------------------------------------------------------------


def _message(message: str, z: Tensor, s: Tensor) -> Tensor:
    if message == "film":
        scale, shift = z.chunk(2, dim=1)
        return torch.addcmul(shift, scale, s)
    if message == "gate":
        return z.sigmoid() * s
    return _activated(message, z + s)


def _activated(activation: str, u: Tensor) -> Tensor:
    if activation == "linear":
        return u
    return functional.relu(u) if activation == "relu" else functional.silu(u)


def _message_gradient(message: str, z: Tensor, s: Tensor, dm: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of ``z`` and ``s``."""
    if message == "film":
        return torch.cat([dm * s, dm], dim=1), dm * z[:, : s.shape[1]]
    if message == "gate":
        gate = z.sigmoid()
        return dm * s * gate * (1 - gate), dm * gate
    ds = activation_gradient(message, z + s, dm)
    return ds, ds


@implement("edge_statistics", "reference")
def reference(
    states: Tensor,
    weight: Tensor,
    bias: Tensor,
    sender: Tensor,
    receiver: Tensor,
    sent: Tensor,
    own: Tensor,
    message: str,
    spread: bool,
    extrema: bool,
) -> tuple[Tensor, ...]:
    """Every message, and scatters."""
    m, rows = _messages(states, weight, bias, sender, receiver, sent, own, message)[2], receiver.long()
    total = m.new_zeros(own.shape).index_add_(0, rows, m)
    deviations = m.new_zeros(own.shape if spread else (0,))
    if spread:
        degree = torch.bincount(receiver, minlength=len(own)).clamp(min=1).unsqueeze(1)
        deviations.index_add_(0, rows, (m - (total / degree)[rows]).square())
    found = [total, deviations]
    places = []
    index, number = rows.unsqueeze(1).expand_as(m), torch.arange(len(m), device=m.device, dtype=torch.int32)
    for sign in (1, -1):
        best = m.new_full(own.shape if extrema else (0,), sign * torch.inf)
        at = torch.full_like(best, -1, dtype=torch.int32)
        if extrema:
            best = best.scatter_reduce(0, index, m, "amin" if sign > 0 else "amax")
            attained = torch.where(m == best[rows], number.unsqueeze(1), len(m)).to(torch.int32)
            at = torch.full_like(at, len(m)).scatter_reduce(0, index, attained, "amin")
            at = torch.where(at == len(m), -1, at)
        found.append(best)
        places.append(at)
    return (*found, *places)


def _messages(
    states: Tensor,
    weight: Tensor,
    bias: Tensor,
    sender: Tensor,
    receiver: Tensor,
    sent: Tensor,
    own: Tensor,
    message: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """What the edge says, what both ends say together, and the message."""
    z = torch.addmm(accumulated(bias), accumulated(states), accumulated(weight).t())
    s = accumulated(own)[receiver.long()] + accumulated(sent)[sender.long()]
    return z, s, _message(message, z, s)


def level_and_slope(
    receiver: Tensor, total: Tensor, d_total: Tensor, d_spread: Tensor, spread: bool
) -> tuple[Tensor, Tensor]:
    """``[num_nodes, channels]`` each: but for extrema, the gradient of a message is ``level + slope * message``."""
    if not spread:
        return d_total, torch.zeros_like(d_total)
    degree = torch.bincount(receiver, minlength=len(total)).clamp(min=1).unsqueeze(1)
    slope = 2 * d_spread
    return d_total - slope * (total / degree), slope


@implement("edge_statistics_gradient", "reference")
def gradient_reference(
    states: Tensor,
    weight: Tensor,
    bias: Tensor,
    sender: Tensor,
    receiver: Tensor,
    sent: Tensor,
    own: Tensor,
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
) -> tuple[Tensor, ...]:
    z, s, m = _messages(states, weight, bias, sender, receiver, sent, own, message)
    level, slope = level_and_slope(receiver, total, d_total, d_spread, spread)
    rows = receiver.long()
    dm = torch.addcmul(level[rows], slope[rows], m)
    if extrema and len(dm):
        for place, gradient in ((least_at, d_least), (most_at, d_most)):
            dm.scatter_add_(0, place.clamp(min=0).long(), torch.where(place >= 0, gradient, 0))
    dz, ds = _message_gradient(message, z, s, dm)
    gradients = (
        dz @ accumulated(weight),
        dz.t() @ accumulated(states),
        dz.sum(dim=0),
        ds.new_zeros(sent.shape).index_add_(0, sender.long(), ds),
        ds.new_zeros(own.shape).index_add_(0, rows, ds),
    )
    given = (states, weight, bias, sent, own)
    return tuple(part.to(like.dtype) for part, like in zip(gradients, given, strict=True))


_ENDS = "Tensor states, Tensor weight, Tensor bias, Tensor sender, Tensor receiver, Tensor sent, Tensor own"


def _fake(*arguments: Any) -> tuple[Tensor, ...]:
    own, spread, extrema = arguments[6], *arguments[8:]
    like = accumulated(own)
    deviations, least, most = (like.new_empty(own.shape if flag else (0,)) for flag in (spread, extrema, extrema))
    places = (torch.empty_like(part, dtype=torch.int32) for part in (least, most))
    return torch.empty_like(like), deviations, least, most, *places


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, message, spread, extrema = inputs
    ctx.save_for_backward(*tensors, output[0], *output[4:])
    ctx.mark_non_differentiable(*output[4:])
    ctx.how = message, spread, extrema


def _backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
    *tensors, total, least_at, most_at = ctx.saved_tensors
    message, *flags = ctx.how
    given = (part.contiguous() for part in gradients[:4])
    found = _statistics_gradient(*tensors, message, total, least_at, most_at, *given, *flags)
    return (*found[:3], None, None, *found[3:], None, None, None)


def _gradient_fake(*arguments: Any) -> tuple[Tensor, ...]:
    return tuple(part.new_empty(part.shape) for part in (*arguments[:3], *arguments[5:7]))


_statistics = define_block(
    "edge_statistics",
    f"({_ENDS}, str message, bool spread, bool extrema) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _fake,
    _save,
    _backward,
)
_statistics_gradient = define_block(
    "edge_statistics_gradient",
    f"({_ENDS}, str message, Tensor total, Tensor least_at, Tensor most_at, Tensor d_total, Tensor d_spread, "
    "Tensor d_least, Tensor d_most, bool spread, bool extrema) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _gradient_fake,
)


# ---- update -------------------------------------------------------------------------------------------------------


@implement("edge_update", "reference")
def update_reference(
    states: Tensor,
    weight: Tensor,
    bias: Tensor,
    sender: Tensor,
    receiver: Tensor,
    sent: Tensor,
    own: Tensor,
    activation: str,
    out_weight: Tensor,
    out_bias: Tensor,
) -> Tensor:
    h = _messages(states, weight, bias, sender, receiver, sent, own, activation)[2]
    return torch.addmm(accumulated(out_bias), h, accumulated(out_weight).t()).to(states.dtype)


@implement("edge_update_gradient", "reference")
def update_gradient_reference(
    states: Tensor,
    weight: Tensor,
    bias: Tensor,
    sender: Tensor,
    receiver: Tensor,
    sent: Tensor,
    own: Tensor,
    activation: str,
    out_weight: Tensor,
    out_bias: Tensor,
    d_result: Tensor,
) -> tuple[Tensor, ...]:
    z, s, h = _messages(states, weight, bias, sender, receiver, sent, own, activation)
    d = accumulated(d_result)
    du = activation_gradient(activation, z + s, d @ accumulated(out_weight))
    gradients = (
        du @ accumulated(weight),
        du.t() @ accumulated(states),
        du.sum(dim=0),
        du.new_zeros(sent.shape).index_add_(0, sender.long(), du),
        du.new_zeros(own.shape).index_add_(0, receiver.long(), du),
        d.t() @ h,
        d.sum(dim=0),
    )
    given = (states, weight, bias, sent, own, out_weight, out_bias)
    return tuple(part.to(like.dtype) for part, like in zip(gradients, given, strict=True))


def _update_save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.activation, out_weight, out_bias = inputs
    ctx.save_for_backward(*tensors, out_weight, out_bias)


def _update_backward(ctx: Any, d_result: Tensor) -> tuple[Any, ...]:
    *tensors, out_weight, out_bias = ctx.saved_tensors
    found = _update_gradient(*tensors, ctx.activation, out_weight, out_bias, d_result.contiguous())
    return (*found[:3], None, None, *found[3:5], None, *found[5:])


def _update_gradient_fake(*arguments: Any) -> tuple[Tensor, ...]:
    return tuple(part.new_empty(part.shape) for part in (*arguments[:3], *arguments[5:7], *arguments[8:10]))


_update = define_block(
    "edge_update",
    f"({_ENDS}, str activation, Tensor out_weight, Tensor out_bias) -> Tensor",
    lambda states, *others: states.new_empty(states.shape[0], others[-2].shape[0]),
    _update_save,
    _update_backward,
)
_update_gradient = define_block(
    "edge_update_gradient",
    f"({_ENDS}, str activation, Tensor out_weight, Tensor out_bias, Tensor d_result) -> ({', '.join(['Tensor'] * 7)})",
    _update_gradient_fake,
)
