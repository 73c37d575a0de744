r"""Sums of modulated messages without the messages.

.. math:: z_{ic} = \sum_j \Big(\sum_k G_{ck} e_{ijk}\Big) q_{jc} = \sum_k G_{ck} M_{ikc}, \qquad
    M_{ikc} = \sum_j e_{ijk}\, q_{jc}

is linear in the edge states :math:`e`, in what senders say :math:`q`, and in the weight :math:`G`. :math:`M` of a few
receivers is one matrix product, half of what :math:`[\gamma \mid \beta]` alone would cost, and the gradients are
products too: with :math:`H_{cik} = \bar z_{ic} G_{ck}`

.. math:: \bar e_{ijk} = \sum_c q_{jc} H_{cik}, \qquad \bar q_{jc} = \sum_{ik} e_{ijk} H_{cik}, \qquad
    \bar G_{ck} = \sum_i \bar z_{ic} M_{ikc}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from graphlab.ops.block_tiles import CUDA_TILE, TILE, define_block
from graphlab.ops.dispatch import implement
from graphlab.ops.library import accumulated


@implement("block_film_sum", "reference")
def reference(edge: Tensor, sender: Tensor, weight: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """``M`` of as many receivers at a time as a tile holds."""
    sender, weight = accumulated(sender), accumulated(weight)
    receivers, channels = edge.shape[3 - axis], edge.shape[3]
    result = sender.new_empty(len(edge), receivers, len(weight))
    pooled = sender.new_empty(len(edge), receivers, channels)
    for at in _tiles(edge, len(weight), axis):
        part = _part(edge, at, axis)
        pooled[at] = accumulated(part).sum(dim=axis)
        result[at] = (_moments(accumulated(part), sender[at[0]], axis) * weight.t()).sum(dim=2)
    return result, pooled


@implement("block_film_sum_gradient", "reference")
def gradient_reference(
    edge: Tensor, sender: Tensor, weight: Tensor, axis: int, dz: Tensor, d_pooled: Tensor, need_edge: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """``M`` again, and two products with ``H``."""
    q, factor = accumulated(sender), accumulated(weight)
    d_edge = edge.new_empty(edge.shape) if need_edge else edge.new_empty(0)
    dq, d_factor = torch.zeros_like(q), torch.zeros_like(factor)
    for at in _tiles(edge, len(weight), axis):
        part, here, batch = accumulated(_part(edge, at, axis)), q[at[0]], at[0]
        d_factor += (_moments(part, here, axis) * dz[at].unsqueeze(2)).sum(dim=(0, 1)).t()
        into = _part(d_edge, at, axis) if need_edge else None
        if axis == 1:
            h = (factor.unsqueeze(1) * dz[at].transpose(1, 2).unsqueeze(3)).flatten(2)
            dq[batch].baddbmm_(part.flatten(2), h.transpose(1, 2))
            _product(d_pooled[at].reshape(len(part), 1, -1), here, h, into, axis)
        else:
            h = (factor * dz[at].unsqueeze(3)).flatten(0, 1)
            for n, edges in enumerate(part):
                dq[batch][n].addbmm_(edges, h.view(len(part), -1, *h.shape[1:])[n].transpose(1, 2))
            _product(d_pooled[at].flatten(0, 1).unsqueeze(1), _repeated(here, part.shape[1]), h, into, axis)
    return d_edge, dq.to(sender.dtype), d_factor.to(weight.dtype)


def _tiles(edge: Tensor, width: int, axis: int) -> Iterator[tuple[slice, slice]]:
    """Ranges of the batch and of receivers, all senders of each."""
    receivers = edge.shape[3 - axis]
    each = max(1, edge.shape[3] * max(width, edge.shape[axis]))
    limit = CUDA_TILE if edge.is_cuda else 2 * TILE
    r = max(1, min(receivers, limit // each))
    b = max(1, limit // (each * r)) if r == receivers else 1
    for first in range(0, len(edge), b):
        for row in range(0, receivers, r):
            yield slice(first, min(first + b, len(edge))), slice(row, min(row + r, receivers))


def _part(edge: Tensor, at: tuple[slice, slice], axis: int) -> Tensor:
    """All edges of some receivers, as they lie."""
    return edge[at[0], :, at[1]] if axis == 1 else edge[at]


def _moments(edge: Tensor, sender: Tensor, axis: int) -> Tensor:
    """``[b, r, channels of the edges, channels of the senders]``: ``M``."""
    b, receivers, channels = len(edge), edge.shape[3 - axis], edge.shape[3]
    if axis == 1:
        moments = torch.bmm(edge.flatten(2).transpose(1, 2), sender)
    else:
        moments = torch.bmm(edge.flatten(0, 1).transpose(1, 2), _repeated(sender, receivers))
    return moments.view(b, receivers, channels, -1)


def _repeated(sender: Tensor, receivers: int) -> Tensor:
    """``[b * r, s, channels]``: the senders for each receiver; without a copy if ``b`` is 1."""
    return sender.unsqueeze(1).expand(-1, receivers, -1, -1).flatten(0, 1)


def _product(bias: Tensor, left: Tensor, right: Tensor, into: Tensor | None, axis: int) -> None:
    """Write ``bias + left @ right`` where gradients of edges belong, if anywhere."""
    if into is None:
        return
    view = into.flatten(2) if axis == 1 else into.flatten(0, 1)
    if into.dtype == left.dtype:
        torch.baddbmm(bias, left, right, out=view)
    else:
        view.copy_(torch.baddbmm(bias, left, right))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.axis = inputs[3]


def _backward(ctx: Any, dz: Tensor, d_pooled: Tensor) -> tuple[Tensor | None, ...]:
    d_edge, *others = _gradient(*ctx.saved_tensors, ctx.axis, dz, d_pooled, ctx.needs_input_grad[0])
    return (d_edge if ctx.needs_input_grad[0] else None, *others, None)


def _fake(edge: Tensor, sender: Tensor, weight: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    like, receivers = accumulated(sender), edge.shape[3 - axis]
    return like.new_empty(edge.shape[0], receivers, weight.shape[0]), like.new_empty(
        edge.shape[0], receivers, edge.shape[3]
    )


def _gradient_fake(
    edge: Tensor, sender: Tensor, weight: Tensor, axis: int, dz: Tensor, d_pooled: Tensor, need_edge: bool
) -> tuple[Tensor, Tensor, Tensor]:
    d_edge = edge.new_empty(edge.shape) if need_edge else edge.new_empty(0)
    return d_edge, torch.empty_like(sender), torch.empty_like(weight)


film_sum = define_block(
    "block_film_sum",
    "(Tensor edge, Tensor sender, Tensor weight, int axis) -> (Tensor, Tensor)",
    _fake,
    _save,
    _backward,
)
_gradient = define_block(
    "block_film_sum_gradient",
    "(Tensor edge, Tensor sender, Tensor weight, int axis, Tensor dz, Tensor d_pooled, bool need_edge) "
    "-> (Tensor, Tensor, Tensor)",
    _gradient_fake,
)
