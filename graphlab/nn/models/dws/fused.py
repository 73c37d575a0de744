"""Many maps of the same vectors or sets at once: one product for all that reads an input, one attention for all heads.

The modules hold the parameters; :func:`apply_all` gives what each of them would.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphlab.nn.models.dws.places import REDUCTIONS
from graphlab.nn.models.dws.sets import Attention, DeepSets, SelfAttention, SetLayer


def apply_all(modules: Sequence[nn.Module], x: Tensor) -> list[Tensor]:
    """``[module(x) for module in modules]``, of the maps in :mod:`~graphlab.nn.models.dws.sets`."""
    modules = [module.set_layer if isinstance(module, SetLayer) else module for module in modules]
    results: dict[int, Tensor] = {}
    for kind, together in ((SelfAttention, _attentions), (DeepSets, _deep_sets), (nn.Sequential, _mlps)):
        chosen = [at for at, module in enumerate(modules) if isinstance(module, kind)]
        if chosen:
            results |= zip(chosen, together([modules[at] for at in chosen], x), strict=True)  # type: ignore[operator]
    return [results[at] for at in range(len(modules))]


def _linear(layers: Sequence[nn.Linear], x: Tensor) -> Tensor:
    """The outputs of linear maps of the same input, one after the other."""
    weight = torch.cat([layer.weight for layer in layers])
    bias = None if layers[0].bias is None else torch.cat([layer.bias for layer in layers])
    return F.linear(x, weight, bias)


def _linears(layers: Sequence[nn.Linear], x: Tensor) -> Tensor:
    """``[..., m, out]``: linear maps of equal widths, each of its own input ``[..., m, in]``."""
    flat = x.flatten(end_dim=-3).transpose(0, 1)
    weight = torch.stack([layer.weight for layer in layers]).transpose(1, 2)
    if layers[0].bias is None:
        y = torch.bmm(flat, weight)
    else:
        y = torch.baddbmm(torch.stack([layer.bias for layer in layers]).unsqueeze(1), flat, weight)
    return y.transpose(0, 1).unflatten(0, x.shape[:-2])


def _mlps(modules: Sequence[nn.Sequential], x: Tensor) -> list[Tensor]:
    results: dict[int, Tensor] = {}
    for length in {len(module) for module in modules}:
        chosen = [at for at, module in enumerate(modules) if len(module) == length]
        first = _linear([modules[at][0] for at in chosen], x)
        parts = dict(zip(chosen, first.split([modules[at][0].out_features for at in chosen], dim=-1), strict=True))
        for depth in range(2, length, 2):
            for width in {part.shape[-1] for part in parts.values()}:
                equal = [at for at in chosen if parts[at].shape[-1] == width]
                hidden = torch.stack([parts[at] for at in equal], dim=-2).relu()
                made = _linears([modules[at][depth] for at in equal], hidden)
                parts |= zip(equal, made.unbind(-2), strict=True)
        results |= parts
    return [results[at] for at in range(len(modules))]


def _deep_sets(modules: Sequence[DeepSets], x: Tensor) -> list[Tensor]:
    reduction = modules[0].reduction
    assert reduction is not None
    pooled = REDUCTIONS[reduction](x, -2, keepdim=True)
    each, whole = _mlps([own.Gamma for own in modules], x), _mlps([own.Lambda for own in modules], pooled)
    return [ours - theirs for ours, theirs in zip(each, whole, strict=True)]


def _attentions(modules: Sequence[SelfAttention], x: Tensor) -> list[Tensor]:
    results: dict[int, Tensor] = {}
    blocks = [module.mab for module in modules]
    for width in {block.fc_o.in_features for block in blocks}:
        chosen = [at for at, block in enumerate(blocks) if block.fc_o.in_features == width]
        together = _attention([blocks[at] for at in chosen], x)
        results |= zip(chosen, together.unbind(-2), strict=True)
    return [results[at] for at in range(len(modules))]


def _attention(blocks: Sequence[Attention], x: Tensor) -> Tensor:
    """``[..., n, m, out]``: attention of equal widths and numbers of heads, to the same set."""
    count, heads, width = len(blocks), blocks[0].num_heads, blocks[0].fc_o.in_features
    layers = [layer for name in ("fc_q", "fc_k", "fc_v") for layer in (getattr(block, name) for block in blocks)]
    projected = _linear(layers, x).unflatten(-1, (3, count * heads, width // heads))
    q, k, v = (part.transpose(-2, -3) for part in projected.unbind(-3))
    o = F.scaled_dot_product_attention(q, k, v, scale=1 / sqrt(width)) + q
    o = o.transpose(-2, -3).flatten(-2).unflatten(-1, (count, width))
    return o + _linears([block.fc_o for block in blocks], o).relu()
