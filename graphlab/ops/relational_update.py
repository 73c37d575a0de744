r"""New states of all pairs of nodes: two residual networks with norms after them, a tile of pairs at a time.

.. math:: h_{ij} = A e_{ij} + A' e_{ji} + s_i + t_j, \qquad
    y_{ij} = \mathrm{LN}_0(e_{ij} + d_{ij} \odot (L\, \mathrm{gelu}(h_{ij}) + l)), \qquad
    e_{ij}' = \mathrm{LN}_1(y_{ij} + d_{ij}' \odot (M_1\, \mathrm{gelu}(M_0 y_{ij}) + m))

(Diao, Loynd, ICLR 2023, eqs. 12 to 14, on ordered pairs.) Nothing as wide as :math:`h` exists beyond a tile; the gradient
computes the tiles again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphlab.ops.block_tiles import define_block
from graphlab.ops.dispatch import implement
from graphlab.ops.library import accumulated
from graphlab.ops.relational_attention import tiles

EPS = 1e-5


class PairNetwork(NamedTuple):
    """The parameters: ``A``, ``A'`` ``[hidden, channels]``; ``L``, ``l``; ``M_0`` ``[hidden, channels]``; ``M_1``, ``m``;
    weights and biases of both norms, empty for none."""

    own: Tensor
    other: Tensor
    first: Tensor
    first_bias: Tensor
    inner: Tensor
    second: Tensor
    second_bias: Tensor
    norm0: Tensor
    norm0_bias: Tensor
    norm1: Tensor
    norm1_bias: Tensor


def relational_update(
    edge: Tensor,
    turned: Tensor,
    source: Tensor,
    target: Tensor,
    network: PairNetwork,
    kept: Sequence[Tensor | None] = (None, None),
) -> Tensor:
    """``[B, rows, N, channels]``: the new states of some rows of pairs.

    Args:
        edge: ``[B, rows, N, channels]``: states.
        turned: The same: states of the pairs turned round.
        source: ``s``, ``[B, rows, hidden]``.
        target: ``t``, ``[B, N, hidden]``.
        network: The parameters.
        kept: ``d`` and ``d'``, the factors of dropout, of the shape of ``edge``; ``None`` for 1.

    Raises:
        ValueError: for shapes that do not fit.
    """
    batch, rows, nodes, channels = edge.shape
    hidden = len(network.own)
    expected = {
        "turned": (turned, edge.shape),
        "source": (source, (batch, rows, hidden)),
        "target": (target, (batch, nodes, hidden)),
        "own": (network.own, (hidden, channels)),
        "other": (network.other, (hidden, channels)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != tuple(shape):
            raise ValueError(f"{name}: expected the shape {list(shape)}, got {list(tensor.shape)}")
    result: Tensor = _update(edge, turned, source, target, *network, *kept)
    return result


def _norm(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The norm, and mean and inverse deviation for its gradient; ``x`` itself without weights."""
    if not len(weight):
        return x, x, x
    made: tuple[Tensor, Tensor, Tensor] = torch.native_layer_norm(x, [x.shape[-1]], weight, bias, EPS)
    return made


def _norm_gradient(
    d: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    if not len(weight):
        return d, weight, bias
    made: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_layer_norm_backward(
        d, x, [x.shape[-1]], mean, rstd, weight, bias, [True, True, True]
    )
    return made


def _dropped(x: Tensor, kept: Tensor | None) -> Tensor:
    return x if kept is None else x.mul_(kept.flatten(0, 1))


class _Tile(NamedTuple):
    """All that a tile's gradient needs, ``[pairs, ...]``."""

    e: Tensor
    turned: Tensor
    h: Tensor
    g: Tensor
    y0: Tensor
    norm0: tuple[Tensor, Tensor, Tensor]
    h1: Tensor
    g1: Tensor
    y1: Tensor
    norm1: tuple[Tensor, Tensor, Tensor]


def _computed(
    edge: Tensor, turned: Tensor, source: Tensor, target: Tensor, p: PairNetwork, kept: Sequence[Tensor | None]
) -> _Tile:
    """Of some rows of one network: ``[rows, N, channels]``, ``[rows, hidden]``, ``[N, hidden]``."""
    gelu = torch.nn.functional.gelu
    ends = (source.unsqueeze(1) + target).flatten(0, 1)
    e, back = accumulated(edge).flatten(0, 1), accumulated(turned).flatten(0, 1)
    h = torch.addmm(ends, e, p.own.t()).addmm_(back, p.other.t())
    g = gelu(h)
    y0 = _dropped(torch.addmm(p.first_bias, g, p.first.t()), kept[0]).add_(e)
    norm0 = _norm(y0, p.norm0, p.norm0_bias)
    h1 = norm0[0] @ p.inner.t()
    g1 = gelu(h1)
    y1 = _dropped(torch.addmm(p.second_bias, g1, p.second.t()), kept[1]).add_(norm0[0])
    return _Tile(e, back, h, g, y0, norm0, h1, g1, y1, _norm(y1, p.norm1, p.norm1_bias))


def _of_tile(kept: Sequence[Tensor | None], number: int, rows: slice) -> list[Tensor | None]:
    return [None if own is None else own[number, rows] for own in kept]


@implement("relational_update", "reference")
def reference(edge: Tensor, turned: Tensor, source: Tensor, target: Tensor, *others: Tensor | None) -> Tensor:
    p, kept = PairNetwork(*(accumulated(part) for part in others[:11] if part is not None)), others[11:]
    source, target = accumulated(source), accumulated(target)
    result = torch.empty(edge.shape, dtype=edge.dtype, device=edge.device)
    for number, rows in tiles(edge, len(p.own)):
        own = (edge[number, rows], turned[number, rows], source[number, rows], target[number])
        made = _computed(*own, p, _of_tile(kept, number, rows)).norm1[0]
        result[number, rows] = made.view(result[number, rows].shape)
    return result


@implement("relational_update_gradient", "reference")
def gradient_reference(
    d_result: Tensor, edge: Tensor, turned: Tensor, source: Tensor, target: Tensor, *others: Tensor | None
) -> tuple[Tensor, ...]:
    given = (edge, turned, source, target, *(part for part in others[:11] if part is not None))
    p, kept = PairNetwork(*(accumulated(part) for part in given[4:])), others[11:]
    source, target = accumulated(source), accumulated(target)
    d_edge, d_turned = (torch.empty(edge.shape, dtype=edge.dtype, device=edge.device) for _ in range(2))
    d_source, d_target = torch.empty_like(source), torch.zeros_like(target)
    total = PairNetwork(*(torch.zeros_like(part) for part in p))
    slope = torch.ops.aten.gelu_backward
    for number, rows in tiles(edge, len(p.own)):
        here = _of_tile(kept, number, rows)
        t = _computed(edge[number, rows], turned[number, rows], source[number, rows], target[number], p, here)
        d = accumulated(d_result[number, rows]).reshape(t.e.shape)
        d, d_weight, d_bias = _norm_gradient(d, t.y1, *t.norm1[1:], p.norm1, p.norm1_bias)
        total.norm1.add_(d_weight)
        total.norm1_bias.add_(d_bias)
        part = d if here[1] is None else d * here[1].flatten(0, 1)
        total.second.addmm_(part.t(), t.g1)
        total.second_bias.add_(part.sum(dim=0))
        d_h1 = slope(part @ p.second, t.h1)
        total.inner.addmm_(d_h1.t(), t.norm0[0])
        d = torch.addmm(d, d_h1, p.inner)
        d, d_weight, d_bias = _norm_gradient(d, t.y0, *t.norm0[1:], p.norm0, p.norm0_bias)
        total.norm0.add_(d_weight)
        total.norm0_bias.add_(d_bias)
        part = d if here[0] is None else d * here[0].flatten(0, 1)
        total.first.addmm_(part.t(), t.g)
        total.first_bias.add_(part.sum(dim=0))
        d_h = slope(part @ p.first, t.h)
        total.own.addmm_(d_h.t(), t.e)
        total.other.addmm_(d_h.t(), t.turned)
        shape = d_edge[number, rows].shape
        d_edge[number, rows] = torch.addmm(d, d_h, p.own).view(shape)
        d_turned[number, rows] = (d_h @ p.other).view(shape)
        d_ends = d_h.view(*shape[:2], -1)
        d_source[number, rows] = d_ends.sum(dim=1)
        d_target[number] += d_ends.sum(dim=0)
    gradients = (d_edge, d_turned, d_source, d_target, *total)
    return tuple(part.to(like.dtype) for part, like in zip(gradients, given, strict=True))


_INPUTS = (
    "Tensor edge, Tensor turned, Tensor source, Tensor target, Tensor own, Tensor other, Tensor first, "
    "Tensor first_bias, Tensor inner, Tensor second, Tensor second_bias, Tensor norm0, Tensor norm0_bias, "
    "Tensor norm1, Tensor norm1_bias, Tensor? kept0, Tensor? kept1"
)


def _fake(edge: Tensor, *others: Any) -> Tensor:
    return torch.empty(edge.shape, dtype=edge.dtype, device=edge.device)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, d_result: Tensor) -> tuple[Any, ...]:
    return (*_gradient(d_result, *ctx.saved_tensors), None, None)


_update = define_block("relational_update", f"({_INPUTS}) -> Tensor", _fake, _save, _backward)
_gradient = define_block(
    "relational_update_gradient",
    f"(Tensor d_result, {_INPUTS}) -> ({', '.join(['Tensor'] * 15)})",
    lambda d_result, *given: tuple(part.new_empty(part.shape) for part in given[:15]),
)
