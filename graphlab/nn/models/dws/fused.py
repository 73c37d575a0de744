"""Many maps at once: one product for all that reads an input, one attention for all heads over the same neurons.

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
from graphlab.ops.set_attention import set_attention

Job = tuple[Tensor, Sequence[nn.Module]]
NARROW = 16
"""Features of a head up to which heads are computed side by side."""


def apply_all(jobs: Sequence[Job]) -> list[list[Tensor]]:
    """``[[module(x) for module in modules] for x, modules in jobs]``, of modules of one kind.

    Args:
        jobs: Inputs ``[batch, *size, features]`` of equal batches and sizes, each with the modules that read it: all
            :func:`~graphlab.nn.models.dws.sets.mlp`, all :class:`SetLayer`, or both.
    """
    results: list[dict[int, Tensor]] = []
    attentions: list[tuple[int, int, Attention]] = []
    for number, (x, modules) in enumerate(jobs):
        inner = [module.set_layer if isinstance(module, SetLayer) else module for module in modules]
        mlps = {at: own for at, own in enumerate(inner) if isinstance(own, nn.Sequential)}
        sets = {at: own for at, own in enumerate(inner) if isinstance(own, DeepSets)}
        attentions += [(number, at, own.mab) for at, own in enumerate(inner) if isinstance(own, SelfAttention)]
        found = dict(zip(mlps, _mlps(list(mlps.values()), x), strict=True))
        found |= zip(sets, _deep_sets(list(sets.values()), x), strict=True)
        results.append(found)
    for width in {own.fc_o.in_features for *_, own in attentions}:
        chosen = [(number, at, own) for number, at, own in attentions if own.fc_o.in_features == width]
        inputs: dict[int, list[Attention]] = {}
        for number, _, own in chosen:
            inputs.setdefault(number, []).append(own)
        made = _attention([(jobs[number][0], blocks) for number, blocks in inputs.items()], width)
        for (number, at, _), result in zip(chosen, made.unbind(0), strict=True):
            results[number][at] = result
    return [[found[at] for at in range(len(modules))] for found, (_, modules) in zip(results, jobs, strict=True)]


def _mlps(modules: Sequence[nn.Sequential], x: Tensor) -> list[Tensor]:
    """Of the same input: their first linear maps at once, the others of equal sizes at once."""
    results: dict[int, Tensor] = {}
    for length in {len(module) for module in modules}:
        chosen = [at for at, module in enumerate(modules) if len(module) == length]
        firsts = [_linear(modules[at], 0) for at in chosen]
        weight = torch.cat([own.weight for own in firsts])
        biases: list[Tensor] = [own.bias for own in firsts if own.bias is not None]
        first = F.linear(x, weight, torch.cat(biases) if biases else None)
        split = torch.split(first, [own.out_features for own in firsts], dim=-1)
        parts = dict(zip(chosen, split, strict=True))
        for depth in range(2, length, 2):
            for width in {part.shape[-1] for part in parts.values()}:
                equal = [at for at in chosen if parts[at].shape[-1] == width]
                hidden = torch.stack([parts[at].flatten(end_dim=-2) for at in equal]).relu()
                made = _linears([_linear(modules[at], depth) for at in equal], hidden)
                parts |= zip(equal, made.view(-1, *x.shape[:-1], width).unbind(0), strict=True)
        results |= parts
    return [results[at] for at in range(len(modules))]


def _deep_sets(modules: Sequence[DeepSets], x: Tensor) -> list[Tensor]:
    if not modules:
        return []
    reduction = modules[0].reduction
    assert reduction is not None
    pooled = REDUCTIONS[reduction](x, -2, keepdim=True)
    each, whole = _mlps([own.Gamma for own in modules], x), _mlps([own.Lambda for own in modules], pooled)
    return [ours - theirs for ours, theirs in zip(each, whole, strict=True)]


def _attention(jobs: Sequence[tuple[Tensor, Sequence[Attention]]], width: int) -> Tensor:
    """``[m, batch, n, width]``: the attention of m blocks of one width, each to the set ``[batch, n, in]`` it reads."""
    blocks = [block for _, own in jobs for block in own]
    heads = blocks[0].num_heads
    if width // heads > NARROW:
        return torch.stack([block(x) for x, own in jobs for block in own])
    projected = torch.cat([_projected(x, own, heads) for x, own in jobs], dim=-1)
    o = set_attention(projected, len(blocks), 1 / sqrt(width)).flatten(1, 2)
    y = _linears([block.fc_o for block in blocks], o).relu() + o
    return y.view(len(blocks), *projected.shape[:2], width)


def _projected(x: Tensor, blocks: Sequence[Attention], heads: int) -> Tensor:
    """``[batch, n, 3, channels, blocks * heads]``: queries, keys and values, heads last."""
    layers = [layer for name in ("fc_q", "fc_k", "fc_v") for layer in (getattr(block, name) for block in blocks)]
    weight, bias = torch.stack([own.weight for own in layers]), torch.stack([own.bias for own in layers])

    def heads_last(own: Tensor) -> Tensor:
        return own.view(3, len(blocks), heads, -1, own.shape[2]).permute(0, 3, 1, 2, 4).flatten(end_dim=3)

    y = F.linear(x, heads_last(weight), heads_last(bias.unsqueeze(2)).squeeze(1))
    return y.view(*x.shape[:2], 3, -1, len(blocks) * heads)


def _linear(module: nn.Sequential, at: int) -> nn.Linear:
    layer = module[at]
    assert isinstance(layer, nn.Linear)
    return layer


def _linears(layers: Sequence[nn.Linear], x: Tensor) -> Tensor:
    """``[m, rows, out]``: linear maps of equal sizes, each of its own input ``[m, rows, in]``."""
    weight = torch.stack([layer.weight for layer in layers]).transpose(1, 2)
    biases: list[Tensor] = [layer.bias for layer in layers if layer.bias is not None]
    return torch.baddbmm(torch.stack(biases).unsqueeze(1), x, weight) if biases else torch.bmm(x, weight)
