"""Maps of vectors and of sets, which a layer on weight spaces is made of; names are those of the published weights."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphlab.nn.models.dws.places import REDUCTIONS, Reduction


def mlp(in_features: int, out_features: int, layers: int, bias: bool = True) -> nn.Sequential:
    """``layers`` linear maps, all ``out_features`` wide, with ReLU between."""
    modules: list[nn.Module] = [nn.Linear(in_features, out_features, bias)]
    for _ in range(layers - 1):
        modules += [nn.ReLU(), nn.Linear(out_features, out_features, bias)]
    return nn.Sequential(*modules)


class AttentionPool(nn.Module):
    """``sum_n softmax_n(<query, x_n>) x_n`` of a set ``[..., n, features]``: ``[..., 1, features]``."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.query).softmax(dim=-1).unsqueeze(-2) @ x


class DeepSets(nn.Module):
    """``Gamma(x_n) - Lambda(pool(x))`` of each element of a set ``[..., n, in_features]``.

    Args:
        in_features, out_features: Of an element.
        reduction: How the set is pooled; ``None`` for :class:`AttentionPool`.
        layers: Linear maps in ``Gamma`` and in ``Lambda``, which has no bias.
    """

    def __init__(self, in_features: int, out_features: int, reduction: Reduction | None, layers: int = 1) -> None:
        super().__init__()
        self.reduction = reduction
        self.Gamma = mlp(in_features, out_features, layers)
        self.Lambda = mlp(in_features, out_features, layers, bias=False)
        self.attn = AttentionPool(in_features) if reduction is None else None

    def forward(self, x: Tensor) -> Tensor:
        pooled = REDUCTIONS[self.reduction](x, -2, keepdim=True) if self.reduction else self.attn(x)  # type: ignore[misc]
        result: Tensor = self.Gamma(x) - self.Lambda(pooled)
        return result


class Attention(nn.Module):
    """``o + relu(W_o o + b_o)``, where ``o = concat_h(q_h + softmax(q_h k_h^T / sqrt(F)) v_h)``, F all features."""

    def __init__(self, in_features: int, out_features: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.fc_q, self.fc_k, self.fc_v = (nn.Linear(in_features, out_features) for _ in range(3))
        self.fc_o = nn.Linear(out_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            fc(x).unflatten(-1, (self.num_heads, -1)).transpose(-2, -3) for fc in (self.fc_q, self.fc_k, self.fc_v)
        )
        attended = F.scaled_dot_product_attention(q, k, v, scale=1 / sqrt(self.fc_o.in_features))
        o = (q + attended).transpose(-2, -3).flatten(-2)
        return o + self.fc_o(o).relu()


class SelfAttention(nn.Module):
    """:class:`Attention` of a set ``[..., n, in_features]`` to itself."""

    def __init__(self, in_features: int, out_features: int, num_heads: int) -> None:
        super().__init__()
        self.mab = Attention(in_features, out_features, num_heads)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.mab(x)
        return result


class SetLayer(nn.Module):
    """A map of sets, one level deeper in the names."""

    def __init__(self, inner: DeepSets | SelfAttention) -> None:
        super().__init__()
        self.set_layer = inner

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.set_layer(x)
        return result
