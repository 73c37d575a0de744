r"""Sparse times dense: messages of neighbours, weighted and reduced.

.. math:: y_i = \bigoplus_{e: j \to i} w_e\, x_j

with :math:`\bigoplus` a sum, mean, minimum or maximum. Neither the gathered rows :math:`x_j` nor anything else of the
size of edges times channels is ever formed. The gradients are products of the same kind: for the sum

.. math:: \bar x_j = \sum_{e: j \to i} w_e\, \bar y_i, \qquad \bar w_e = \langle \bar y_i, x_j \rangle,

the second being :func:`~graphlab.ops.sddmm`; extrema pass gradients to the edge that attains them.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from graphlab.ops.adjacency import Adjacency, as_adjacency
from graphlab.ops.dispatch import implement
from graphlab.ops.library import ADJACENCY, accumulated, define, transposed

Reduce = Literal["sum", "mean", "min", "max"]


def spmm(adj: Any, x: Tensor, weight: Tensor | None = None, reduce: Reduce = "sum") -> Tensor:
    """Reduce over the edges into each node what their sources send.

    Args:
        adj: An :class:`~graphlab.ops.Adjacency`, an ``edge_index`` or ``(rowptr, col)``.
        x: Features of the sources, ``[num_sources, channels]``, or ``[num_sources, heads, channels]``.
        weight: Of the edges in their order, ``[num_edges]``, or ``[num_edges, heads]`` with heads; default 1.
        reduce: ``sum``, ``mean``, ``min`` or ``max``.

    Returns:
        ``[num_targets, (heads,) channels]`` in the dtype of ``x``; sums of half precision are accumulated in float32.
        A node without in-edges gets zeros. NaN reaches every node that it is sent to.

    Raises:
        ValueError: for sizes, dtypes or devices that do not fit, and for an unknown ``reduce``.
    """
    given, features, weights = _checked(adj, x, weight)
    y: Tensor
    if reduce in ("sum", "mean"):
        y = _spmm(*given, weights, features, None, reduce == "mean")
    elif reduce in ("min", "max"):
        y = _extremum(*given, weights, features, reduce == "max")[0]
    else:
        raise ValueError(f"reduce: expected sum, mean, min or max, got {reduce!r}")
    return y.view(y.shape[0], *x.shape[1:])


def spmm_arg(
    adj: Any, x: Tensor, weight: Tensor | None = None, reduce: Literal["min", "max"] = "max"
) -> tuple[Tensor, Tensor]:
    """As :func:`spmm`, and which edge attains each extremum: int64 of the shape of the result, -1 where there is none.

    Of several the first in the order of the edges into a node is meant.
    """
    given, features, weights = _checked(adj, x, weight)
    if reduce not in ("min", "max"):
        raise ValueError(f"reduce: expected min or max, got {reduce!r}")
    y, place = _extremum(*given, weights, features, reduce == "max")
    edge = place if given.perm is None else torch.where(place < 0, -1, given.perm[place.clamp(min=0).long()])
    shape = (y.shape[0], *x.shape[1:])
    return y.view(shape), edge.long().view(shape)


def _checked(adj: Any, x: Tensor, weight: Tensor | None) -> tuple[Adjacency, Tensor, Tensor | None]:
    """The adjacency, ``x`` as ``[num_sources, heads, channels]`` and ``weight`` as ``[num_edges, heads]``."""
    if x.dim() not in (2, 3) or not x.is_floating_point():
        raise ValueError(
            f"x: expected floating [num_sources, channels] or [num_sources, heads, channels], got {x.dtype} "
            f"{list(x.shape)}"
        )
    given = as_adjacency(adj, x.shape[0])
    if x.device != given.col.device:
        raise ValueError(f"x is on {x.device}, adj on {given.col.device}")
    if weight is None:
        return given, x.flatten(1).unsqueeze(1), None
    split = x.dim() == 3 and weight.dim() == 2
    heads = x.shape[1] if split else 1
    if weight.shape not in ((given.num_edges,), (given.num_edges, heads)):
        raise ValueError(
            f"weight: expected [{given.num_edges}]{f' or [{given.num_edges}, {x.shape[1]}]' if x.dim() == 3 else ''}, "
            f"got {list(weight.shape)}"
        )
    if weight.dtype != x.dtype or weight.device != x.device:
        raise ValueError(f"weight is {weight.dtype} on {weight.device}, x is {x.dtype} on {x.device}")
    return given, x if split else x.flatten(1).unsqueeze(1), weight if split else weight.reshape(-1, 1)


# ---- sums and means -----------------------------------------------------------------------------------------------


def _fake(*arguments: Any) -> Tensor:
    rowptr, x = arguments[0], arguments[7]
    result: Tensor = x.new_empty(rowptr.shape[0] - 1, x.shape[1], x.shape[2])
    return result


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *adj, weight, x, scale, mean = inputs
    ctx.save_for_backward(*adj, weight, x if weight is not None and weight.requires_grad else None, scale)
    ctx.num_sources, ctx.mean = x.shape[0], mean


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    *parts, weight, x, scale = ctx.saved_tensors
    adj = Adjacency(*parts)
    share = adj.rowptr.diff().clamp(min=1).to(accumulated(dy).dtype).reciprocal() if ctx.mean else None
    dx = dw = None
    if ctx.needs_input_grad[7]:
        dx = _spmm(*transposed(adj, ctx.num_sources), weight, dy.contiguous(), share, False)
        dx = dx if scale is None else (dx * scale.view(-1, 1, 1)).to(dy.dtype)
    if x is not None:
        dy = dy if share is None else (dy * share.view(-1, 1, 1)).to(dy.dtype)
        dw = torch.ops.graphlab.sddmm(*adj, dy, x if scale is None else (x * scale.view(-1, 1, 1)).to(x.dtype))
    return (*(None,) * 6, dw, dx, None, None)


_spmm = define(
    "spmm",
    f"({ADJACENCY}, Tensor? weight, Tensor x, Tensor? scale, bool mean) -> Tensor",
    _fake,
    _save,
    _backward,
)


@implement("spmm", "reference")
def reference(adj: Adjacency, weight: Tensor | None, x: Tensor, scale: Tensor | None, mean: bool) -> Tensor:
    """Gather, weigh, add: what every other implementation must equal; ``scale`` is a factor for each source."""
    y = x.new_zeros(adj.num_targets, *x.shape[1:], dtype=accumulated(x).dtype)
    y.index_add_(0, targets(adj), messages(adj, weight, x if scale is None else x * scale.view(-1, 1, 1)))
    if mean:
        y = y / adj.rowptr.diff().clamp(min=1).view(-1, 1, 1)
    return y.to(x.dtype)


def messages(adj: Adjacency, weight: Tensor | None, x: Tensor) -> Tensor:
    """``[num_edges, heads, channels]``: what each place sends."""
    message = accumulated(x)[adj.col.long()]
    if weight is None:
        return message
    ordered = weight if adj.perm is None else weight[adj.perm.long()]
    return message * accumulated(ordered).unsqueeze(-1)


def targets(adj: Adjacency) -> Tensor:
    """int64 ``[num_edges]``: the target at each place."""
    return torch.repeat_interleave(adj.rowptr.diff().long(), output_size=adj.num_edges)


# ---- extrema ------------------------------------------------------------------------------------------------------


def _extremum_fake(*arguments: Any) -> tuple[Tensor, Tensor]:
    rowptr, x = arguments[0], arguments[7]
    shape = (rowptr.shape[0] - 1, x.shape[1], x.shape[2])
    return x.new_empty(shape), rowptr.new_empty(shape)


def _extremum_save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *adj, weight, x, _ = inputs
    ctx.save_for_backward(*adj, weight, x, output[1])
    ctx.mark_non_differentiable(output[1])


def _extremum_backward(ctx: Any, dy: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    dx, dw = _extremum_gradient(*ctx.saved_tensors, dy.contiguous())
    return (*(None,) * 6, dw if ctx.saved_tensors[6] is not None else None, dx, None)


_extremum = define(
    "spmm_extremum",
    f"({ADJACENCY}, Tensor? weight, Tensor x, bool largest) -> (Tensor, Tensor)",
    _extremum_fake,
    _extremum_save,
    _extremum_backward,
)


def _gradient_fake(*arguments: Any) -> tuple[Tensor, Tensor]:
    weight, x = arguments[6:8]
    return torch.empty_like(x), x.new_empty(0) if weight is None else torch.empty_like(weight)


_extremum_gradient = define(
    "spmm_extremum_gradient",
    f"({ADJACENCY}, Tensor? weight, Tensor x, Tensor place, Tensor dy) -> (Tensor, Tensor)",
    _gradient_fake,
)


@implement("spmm_extremum", "reference")
def extremum_reference(adj: Adjacency, weight: Tensor | None, x: Tensor, largest: bool) -> tuple[Tensor, Tensor]:
    """The extremum and the first place that attains it (NaN counts as the extremum)."""
    message = messages(adj, weight, x)
    target = targets(adj).view(-1, 1, 1).expand_as(message)
    shape = (adj.num_targets, *x.shape[1:])
    y = message.new_zeros(shape).scatter_reduce(0, target, message, "amax" if largest else "amin", include_self=False)
    attained = y[targets(adj)]
    here = (message == attained) | (message.isnan() & attained.isnan())
    number = torch.arange(adj.num_edges, device=x.device).view(-1, 1, 1)
    place = torch.full(shape, adj.num_edges, device=x.device).scatter_reduce(
        0, target, torch.where(here, number, adj.num_edges), "amin"
    )
    return y.to(x.dtype), torch.where(place == adj.num_edges, -1, place).to(adj.rowptr.dtype)


@implement("spmm_extremum_gradient", "reference")
def extremum_gradient_reference(
    adj: Adjacency, weight: Tensor | None, x: Tensor, place: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor]:
    """Each gradient goes to the source, and the weight, of the edge that attained the extremum."""
    there = place >= 0
    at = place.clamp(min=0).long()
    source = adj.col.long()[at] if adj.num_edges else at
    dy = accumulated(torch.where(there, dy, 0))
    dx = dy.new_zeros(x.shape)
    if weight is None or adj.num_edges == 0:
        dx.scatter_add_(0, source, dy) if adj.num_edges else None
        return dx.to(x.dtype), x.new_zeros(0 if weight is None else weight.shape)
    edge = at if adj.perm is None else adj.perm.long()[at]
    heads = torch.arange(x.shape[1], device=x.device).view(1, -1, 1).expand_as(edge)
    dx.scatter_add_(0, source, torch.where(there, dy * accumulated(weight)[edge, heads], 0))
    sent = torch.where(there, accumulated(x).gather(0, source), 0)
    dw = dy.new_zeros(weight.shape).index_put((edge, heads), dy * sent, accumulate=True)
    return dx.to(x.dtype), dw.to(weight.dtype)
