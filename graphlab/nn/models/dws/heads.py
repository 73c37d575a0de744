"""From features of all weights and biases to one vector a network (DWSNets, section 5, "invariant layers")."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphlab.nn.models.dws.places import REDUCTIONS, Reduction, places
from graphlab.nn.models.dws.sets import mlp
from graphlab.weightgraph.mlp_weights import MLPWeights, dims_of


class InvariantHead(nn.Module):
    """``M`` of every tensor, pooled over hidden neurons; what inputs and outputs index is kept apart.

    In the order: the weights between hidden layers, the first, the last, the biases; ``f (2 L - 3 + d_0 + 2 d_L)``
    features in all for L >= 2.

    Args:
        dims: ``d_0, ..., d_L``.
        in_features, out_features: Of an entry, and of the result.
        reduction: ``max``, ``mean`` or ``sum``.
        n_fc_layers: Linear maps of ``M``.
    """

    def __init__(
        self,
        dims: Sequence[int],
        in_features: int,
        out_features: int,
        reduction: Reduction = "max",
        n_fc_layers: int = 1,
    ) -> None:
        super().__init__()
        self.reduction = reduction
        self.places = places(dims_of(dims))
        self.layer = mlp(sum(place.fixed for place in self.places) * in_features, out_features, n_fc_layers)

    def forward(self, x: MLPWeights) -> Tensor:
        """``[B, out_features]``."""
        pooled = [
            place.pooled(place.as_set(tensor), (), self.reduction)
            for place, tensor in zip(self.places, x.tensors(), strict=True)
        ]
        first, *inner = pooled[: x.num_layers]
        result: Tensor = self.layer(torch.cat([*inner[:-1], first, *inner[-1:], *pooled[x.num_layers :]], dim=-1))
        return result


class NaiveInvariantHead(nn.Module):
    """``M`` of every tensor, pooled over all its axes: ``2 L f`` features. Inputs and outputs are not told apart."""

    def __init__(
        self,
        dims: Sequence[int],
        in_features: int,
        out_features: int,
        reduction: Reduction = "max",
        n_fc_layers: int = 1,
    ) -> None:
        super().__init__()
        self.reduction = reduction
        self.layer = mlp(2 * (len(dims_of(dims)) - 1) * in_features, out_features, n_fc_layers)

    def forward(self, x: MLPWeights) -> Tensor:
        """``[B, out_features]``."""
        pooled = [REDUCTIONS[self.reduction](tensor.flatten(1, -2), 1) for tensor in x.tensors()]
        result: Tensor = self.layer(torch.cat(pooled, dim=-1))
        return result
