r"""The pass over edges of a residual block, by hand: what is made of a tile lies in a few buffers that stay in cache.

With :math:`\bar e = \mathrm{LN}(e)`, terms :math:`p_j, s_j` of sources and :math:`q_i` of targets

.. math:: e'_k = \mathrm{relu}(A \bar e_k + p_j + q_i), \qquad m_k = \mathrm{relu}(B e'_k + s_j), \qquad
    e_k \leftarrow e_k + V f(e'_k) + v

It gives what :func:`~graphlab.nn.models.gmn.passes.edge_pass` gives of the block's function, with
fewer results on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphlab.nn.models.gmn.ends import Tile
from graphlab.nn.models.gmn.graph import Edges
from graphlab.nn.models.gmn.passes import Result, blank, edge_tiles

aten = torch.ops.aten


def residual_pass(
    edges: Edges,
    states: Tensor,
    source: Tensor,
    target: Tensor,
    norm: torch.nn.LayerNorm,
    inner: Tensor,
    message: Tensor | None,
    outer: torch.nn.Linear,
    silu: bool,
    overwrite: bool = False,
) -> Result:
    """New states ``[*edges, h]``, and the sums of the messages to each node ``[N, h]``, if nodes are updated.

    Args:
        edges: Which.
        states: ``[*edges, h]``.
        source: ``[N, 2 h]``: ``p``, then ``s``; without messages ``[N, h]``.
        target: ``[N, h]``: ``q``.
        norm, inner, message, outer: The layer norm, ``A``, ``B`` (``None`` without messages), ``V`` with ``v``.
        silu: Whether ``f`` is SiLU; else ReLU.
        overwrite: New states may be written where the old ones are, if there is no gradient to compute.
    """
    given = (states, source, target, norm.weight, norm.bias, inner, outer.weight, outer.bias, message)
    if torch.is_grad_enabled() and any(own is not None and own.requires_grad for own in given):
        result: Result = _Residual.apply(edges, norm.eps, silu, *given)  # type: ignore[no-untyped-call]
        return result
    return _forward(edges, norm.eps, silu, given, overwrite)


class _Buffers:
    """Room for the intermediate results of one tile."""

    def __init__(self, states: Tensor, tiles: Sequence[Tile], count: int) -> None:
        most = max(states[tile].numel() for tile in tiles)
        self._all = [states.new_empty(most) for _ in range(count)]

    def like(self, flat: Tensor) -> list[Tensor]:
        return [own[: flat.numel()].view(flat.shape) for own in self._all]


def _forward(edges: Edges, eps: float, silu: bool, given: Sequence[Any], overwrite: bool = False) -> Result:
    states, source, target, scale, shift, inner, outer, bias, message = given
    width = states.shape[-1]
    a, v = inner.t().contiguous(), outer.t().contiguous()
    b = None if message is None else message.t().contiguous()
    new = states if overwrite else blank(states.shape, states)
    total = None if b is None else states.new_zeros(len(source), width)
    sources, targets = edges.source.spread(source), edges.target.spread(target)
    received = None if total is None else edges.target.spread(total)
    tiles = edge_tiles(states, width)
    buffers = _Buffers(states, tiles, 2)
    for tile in tiles:
        own = states[tile]
        flat, result = own.reshape(-1, width), new[tile].view(-1, width)
        u, z = buffers.like(flat)
        normed = torch.layer_norm(flat, (width,), scale, shift, eps)
        said = edges.source.read(sources, tile)
        torch.mm(normed, a, out=u)
        u.view(own.shape).add_(said[..., :width]).add_(edges.target.read(targets, tile))
        u.relu_()
        if b is not None and received is not None:
            torch.mm(u, b, out=z)
            z.view(own.shape).add_(said[..., width:])
            edges.target.add(received, z.relu_().view(own.shape), tile)
        torch.add(flat, bias, out=result)
        result.addmm_(aten.silu.out(u, out=normed) if silu else u, v)
    return new, total


class _Residual(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, edges: Edges, eps: float, silu: bool, *given: Tensor | None) -> Result:
        ctx.edges, ctx.eps, ctx.silu = edges, eps, silu
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*given)
        return _forward(edges, eps, silu, given)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_new: Tensor | None, d_total: Tensor | None) -> tuple[Any, ...]:
        if d_new is None and d_total is None:
            return (None,) * len(ctx.needs_input_grad)
        edges, given = ctx.edges, ctx.saved_tensors
        states, source, target, scale, shift, inner, outer, _, message = given
        width = states.shape[-1]
        a = inner.t().contiguous()
        b = None if message is None or d_total is None else message.t().contiguous()
        gradients: list[Any] = [None if own is None else blank(own.shape, own) for own in given]
        d_states, d_source, d_target, d_scale, d_shift, d_inner, d_outer, d_bias, d_message = gradients
        sources, targets = edges.source.spread(source), edges.target.spread(target)
        d_sources, d_targets = edges.source.spread(d_source), edges.target.spread(d_target)
        d_received = None if d_total is None else edges.target.spread(d_total)
        tiles = edge_tiles(states, width)
        buffers = _Buffers(states, tiles, 3)
        for tile in tiles:
            own, into = states[tile], d_states[tile].view(-1, width)
            flat = own.reshape(-1, width)
            u, z, du = buffers.like(flat)
            normed, mean, deviation = torch.native_layer_norm(flat, (width,), scale, shift, ctx.eps)
            said = edges.source.read(sources, tile)
            torch.mm(normed, a, out=u)
            u.view(own.shape).add_(said[..., :width]).add_(edges.target.read(targets, tile))
            u.relu_()
            given_back = None if d_new is None else d_new[tile].reshape(-1, width)
            if given_back is None:
                du.zero_()
            else:
                torch.mm(given_back, outer, out=du)
                d_outer.addmm_(given_back.t(), aten.silu.out(u, out=z) if ctx.silu else u)
                d_bias += given_back.sum(dim=0)
                if ctx.silu:
                    aten.silu_backward.grad_input(du, u, grad_input=du)
            if b is not None:
                torch.mm(u, b, out=z)
                z.view(own.shape).add_(said[..., width:])
                dz = edges.target.read(d_received, tile).expand(own.shape).reshape(-1, width)
                aten.threshold_backward.grad_input(dz, z, 0, grad_input=z)
                edges.source.add(d_sources[..., width:], z.view(own.shape), tile)
                d_message.addmm_(z.t(), u)
                du.addmm_(z, message)
            aten.threshold_backward.grad_input(du, u, 0, grad_input=du)
            edges.source.add(d_sources[..., :width], du.view(own.shape), tile)
            edges.target.add(d_targets, du.view(own.shape), tile)
            d_inner.addmm_(du.t(), normed)
            torch.mm(du, inner, out=z)
            through, *of_norm = aten.native_layer_norm_backward(
                z, flat, (width,), mean, deviation, scale, shift, [True, True, True]
            )
            d_scale += of_norm[0]
            d_shift += of_norm[1]
            if given_back is None:
                into.copy_(through)
            else:
                torch.add(through, given_back, out=into)
        return None, None, None, *gradients
