r"""The operator under :func:`~graphlab.ops.block_edge_update`: new states of edges, a tile at a time.

.. math:: e'_{ij} = W_2\, h_{ij} + b_2, \qquad h_{ij} = f(u_{ij}), \qquad u_{ij} = W e_{ij} + b + p_i + q_j

Of :math:`u` and :math:`h` no more exists than a tile; the gradient computes them again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphlab.ops.block_tiles import activated, activation_gradient, define_block, ends, projected, rows, tiles
from graphlab.ops.dispatch import implement
from graphlab.ops.library import accumulated


def _width(weight: Tensor, out_weight: Tensor | None) -> int:
    return len(weight) if out_weight is None else len(out_weight)


@implement("block_edge_update", "reference")
def reference(
    edge: Tensor,
    source: Tensor,
    target: Tensor,
    weight: Tensor,
    bias: Tensor,
    activation: str,
    out_weight: Tensor | None,
    out_bias: Tensor | None,
) -> Tensor:
    """``[batch, n_source, n_target, width]``: the definition, for a tile at a time."""
    source, target, weight, bias = (accumulated(part) for part in (source, target, weight, bias))
    result = edge.new_empty(*edge.shape[:3], _width(weight, out_weight))
    for tile in tiles(edge, max(len(weight), result.shape[3])):
        h = activated(activation, projected(edge, weight, bias, tile).add_(ends(source, target, tile)))
        if out_weight is not None and out_bias is not None:
            h = torch.addmm(accumulated(out_bias), h.view(-1, len(weight)), accumulated(out_weight).t())
        result[tile] = h.view(result[tile].shape)
    return result


@implement("block_edge_update_gradient", "reference")
def gradient_reference(
    edge: Tensor,
    source: Tensor,
    target: Tensor,
    weight: Tensor,
    bias: Tensor,
    activation: str,
    out_weight: Tensor | None,
    out_bias: Tensor | None,
    d_result: Tensor,
    need_edge: bool,
) -> tuple[Tensor, ...]:
    given = (source, target, weight, bias, edge.new_empty(0) if out_weight is None else out_weight)
    source, target, weight, bias, second = (accumulated(part) for part in given)
    d_edge = edge.new_empty(edge.shape) if need_edge else edge.new_empty(0)
    gradients = [torch.zeros_like(part) for part in (source, target, weight, bias, second)]
    d_source, d_target, d_weight, d_bias, d_second = gradients
    d_second_bias = second.new_zeros(0 if out_weight is None else len(second))
    linear = activation == "linear" and out_weight is None
    for tile in tiles(edge, max(len(weight), d_result.shape[3])):
        dh = accumulated(d_result[tile])
        u = dh if linear else projected(edge, weight, bias, tile).add_(ends(source, target, tile))
        if out_weight is not None:
            flat = dh.reshape(-1, len(second))
            h = activated(activation, u.clone()).view(-1, len(weight))
            d_second.addmm_(flat.t(), h)
            d_second_bias += flat.sum(dim=0)
            dh = torch.mm(flat, second, out=h).view_as(u)
        du = activation_gradient(activation, u, dh)
        d_source[tile[0], tile[1]] += du.sum(dim=2)
        d_target[tile[0], tile[2]] += du.sum(dim=1)
        du = du.reshape(-1, len(weight))
        d_bias += du.sum(dim=0)
        d_weight.addmm_(du.t(), rows(edge, tile))
        if need_edge:
            d_edge[tile] = (du @ weight).view_as(d_edge[tile])
    cast = (part.to(like.dtype) for part, like in zip(gradients, given, strict=True))
    return d_edge, *cast, d_second_bias.to(edge.dtype)


_INPUTS = (
    "Tensor edge, Tensor source, Tensor target, Tensor weight, Tensor bias, str activation, Tensor? out_weight, "
    "Tensor? out_bias"
)


def _fake(
    edge: Tensor, source: Tensor, target: Tensor, weight: Tensor, bias: Tensor, activation: str, *out: Tensor | None
) -> Tensor:
    return edge.new_empty(*edge.shape[:3], _width(weight, out[0]))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, activation, out_weight, out_bias = inputs
    ctx.save_for_backward(*tensors, out_weight, out_bias)
    ctx.activation = activation


def _backward(ctx: Any, d_result: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, out_weight, out_bias = ctx.saved_tensors
    need_edge = ctx.needs_input_grad[0]
    d_edge, *inner, d_second, d_bias = _gradient(*tensors, ctx.activation, out_weight, out_bias, d_result, need_edge)
    outer = (None, None) if out_weight is None else (d_second, d_bias)
    return (d_edge if need_edge else None, *inner, None, *outer)


def _gradient_fake(edge: Tensor, *others: Any) -> tuple[Tensor, ...]:
    parts = (*others[:4], edge.new_empty(0) if others[5] is None else others[5])
    d_edge = edge.new_empty(edge.shape) if others[-1] else edge.new_empty(0)
    width = 0 if others[5] is None else others[5].shape[0]
    return d_edge, *(part.new_empty(part.shape) for part in parts), edge.new_empty(width)


block_update = define_block("block_edge_update", f"({_INPUTS}) -> Tensor", _fake, _save, _backward)
_gradient = define_block(
    "block_edge_update_gradient",
    f"({_INPUTS}, Tensor d_result, bool need_edge) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _gradient_fake,
)
