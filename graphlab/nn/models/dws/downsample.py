"""A layer for networks with many inputs, which are mapped to a few before and back after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from graphlab.nn.models.dws.layer import DWSLayer
from graphlab.nn.models.dws.sets import DeepSets, SetLayer
from graphlab.weightgraph.mlp_weights import MLPWeights


class DownSampledDWSLayer(DWSLayer):
    """:class:`DWSLayer` on ``W_0`` of ``width`` inputs in the place of ``d_0``.

    The rows of ``W_0`` are what each neuron of the first hidden layer has of features: ``down_sample`` and ``up_sample``
    are :class:`DeepSets` over these neurons, from ``d_0`` to ``width`` features and back. One linear map of the entries of
    the original ``W_0`` is added to the result; with ``add_layer_skip`` it is that of all entries.

    Args:
        dims: ``d_0, ..., d_L``.
        in_features, out_features: Of an entry.
        width: Inputs of the layer.
        options: Of :class:`DWSLayer`.

    Raises:
        ValueError: if ``width`` is not between 1 and ``d_0``, and as :class:`DWSLayer` does.
    """

    def __init__(self, dims: Sequence[int], in_features: int, out_features: int, width: int, **options: Any) -> None:
        if not 1 <= width <= dims[0]:
            raise ValueError(f"input_dim_downsample: expected 1 to {dims[0]} inputs, got {width}")
        super().__init__((width, *dims[1:]), in_features, out_features, **options)
        self.num_inputs = dims[0]
        self.skips_all = self.skip is not None
        self.skip = nn.Sequential(nn.Linear(in_features, out_features))
        self.down_sample = SetLayer(DeepSets(dims[0], width, None))
        self.up_sample = SetLayer(DeepSets(width, dims[0], None))

    def forward(self, x: MLPWeights) -> MLPWeights:
        first, *others = x.weights
        y = super().forward(MLPWeights((_inputs_mapped(self.down_sample, first), *others), x.biases))
        made, *rest = y.weights
        assert self.skip is not None
        return MLPWeights((_inputs_mapped(self.up_sample, made) + self.skip(first), *rest), y.biases)


def _inputs_mapped(sampler: SetLayer, weight: Tensor) -> Tensor:
    """``[B, k, d_1, f]`` from ``[B, d_0, d_1, f]``."""
    result: Tensor = sampler(weight.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
    return result
