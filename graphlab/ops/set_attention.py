r"""Attention of small sets to themselves with many narrow heads: all heads of a batch of sets at once.

.. math:: o_i = q_i + \sum_j \alpha_{ij} v_j, \qquad \alpha_{ij} = \mathrm{softmax}_j(s\, \langle q_i, k_j \rangle)

for each head, the core of a set attention block (Lee et al., "Set Transformer", ICML 2019) as DWSNets use it (Navon et
al., ICML 2023): sets of some tens of neurons, hundreds of heads of four features. Heads are the last axis, so that they
are the lanes of vector instructions; products of matrices so small are slower. Scores are never stored; the gradient
computes them again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphlab.ops.dispatch import implement
from graphlab.ops.library import define


def set_attention(projected: Tensor, blocks: int, scale: float) -> Tensor:
    """Attention of each set to itself, in ``blocks`` blocks of equally many heads.

    Args:
        projected: ``[batch, size, 3, channels, blocks * heads]``: queries, keys and values of each element, the heads
            of a block one after the other.
        blocks: How many.
        scale: ``s``.

    Returns:
        ``[blocks, batch, size, heads * channels]``: ``o``, of each block the heads one after the other. No second
        derivatives.

    Raises:
        ValueError: for another shape, or heads that are not as many in each block.
    """
    if projected.dim() != 5 or projected.shape[2] != 3 or not projected.is_floating_point():
        raise ValueError(
            f"projected: expected floating [batch, size, 3, channels, heads], got {projected.dtype} "
            f"{list(projected.shape)}"
        )
    if blocks < 1 or projected.shape[4] % blocks:
        raise ValueError(f"blocks: expected a divisor of {projected.shape[4]} heads, got {blocks}")
    result: Tensor = _set_attention(projected, blocks, scale)[0]
    return result


@implement("set_attention", "reference")
def reference(projected: Tensor, blocks: int, scale: float) -> tuple[Tensor, Tensor]:
    """The definition; and for the gradient, of each query the largest score, then 1 / the sum of exponentials:
    ``[2 * batch * size, heads]``."""
    q, k, v = (part.permute(0, 3, 1, 2).contiguous() for part in projected.unbind(2))
    if not projected.numel():
        return by_block(q, blocks), projected.new_zeros(2 * q.shape[0] * q.shape[2], q.shape[1])
    scores = q @ k.transpose(2, 3) * scale
    most = scores.amax(dim=-1, keepdim=True)
    exponentials = (scores - most).exp()
    share = 1 / exponentials.sum(dim=-1, keepdim=True)
    kept = torch.cat([most, share], dim=-1).permute(0, 2, 3, 1).reshape(-1, q.shape[1])
    return by_block(q + (exponentials * share) @ v, blocks), kept


def by_block(o: Tensor, blocks: int) -> Tensor:
    """``[blocks, batch, size, heads * channels]`` from ``[batch, blocks * heads, size, channels]``."""
    batch, heads, size, channels = o.shape
    return o.reshape(batch, blocks, heads // blocks, size, channels).permute(1, 0, 3, 2, 4).flatten(3)


def by_head(o: Tensor, heads: int) -> Tensor:
    """The inverse of :func:`by_block`."""
    return o.reshape(*o.shape[:3], heads, -1).permute(1, 0, 3, 2, 4).flatten(1, 2)


@implement("set_attention_gradient", "reference")
def gradient_reference(projected: Tensor, o: Tensor, kept: Tensor, d_o: Tensor, scale: float) -> Tensor:
    """The gradient of ``projected``, of scores that are computed again."""
    heads = projected.shape[4] // len(o)
    q, k, v = (part.permute(0, 3, 1, 2).contiguous() for part in projected.unbind(2))
    d_o, attended = by_head(d_o, heads), by_head(o, heads) - q
    alpha = (q @ k.transpose(2, 3) * scale).softmax(dim=-1)
    d_scores = alpha * (d_o @ v.transpose(2, 3) - (d_o * attended).sum(dim=-1, keepdim=True)) * scale
    d_projected = projected.new_empty(projected.shape)
    for part, own in enumerate((d_o + d_scores @ k, d_scores.transpose(2, 3) @ q, alpha.transpose(2, 3) @ d_o)):
        d_projected[:, :, part] = own.permute(0, 2, 3, 1)
    return d_projected


def _fake(projected: Tensor, blocks: int, scale: float) -> tuple[Tensor, Tensor]:
    batch, size, _, channels, heads = projected.shape
    o = projected.new_empty(blocks, batch, size, heads // blocks * channels)
    return o, projected.new_empty(2 * batch * size, heads)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(inputs[0], *output)
    ctx.mark_non_differentiable(output[1])
    ctx.scale = inputs[2]


def _backward(ctx: Any, d_o: Tensor, _d_kept: Tensor) -> tuple[Tensor | None, ...]:
    projected, o, kept = ctx.saved_tensors
    return _gradient(projected, o, kept, d_o, ctx.scale), None, None


def _gradient_fake(projected: Tensor, o: Tensor, kept: Tensor, d_o: Tensor, scale: float) -> Tensor:
    return projected.new_empty(projected.shape)


_set_attention = define(
    "set_attention",
    "(Tensor projected, SymInt blocks, float scale) -> (Tensor, Tensor)",
    _fake,
    _save,
    _backward,
    on_adjacency=False,
)
_gradient = define(
    "set_attention_gradient",
    "(Tensor projected, Tensor o, Tensor kept, Tensor d_o, float scale) -> Tensor",
    _gradient_fake,
    on_adjacency=False,
)
