"""Multilayer perceptrons in the format of the published data: lists of stacked weights, the input unit first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from graphlab.weightgraph.layouts.layers import Linear
from graphlab.weightgraph.pieces import WiringError


def mlp_layers(layout: Sequence[int]) -> list[Linear]:
    """Linear layers ``0``, ``1``, ... between the sizes ``[n_0, ..., n_L]``."""
    return [Linear(str(number), *sizes) for number, sizes in enumerate(pairwise(layout))]


def input_first(layout: Sequence[int], weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> dict[str, Tensor]:
    """Views of stacked weights under the names and in the order of ``torch``.

    Args:
        layout: ``[n_0, ..., n_L]``.
        weights: ``[B, n_l, n_{l+1}, 1]`` for each layer.
        biases: ``[B, n_{l+1}, 1]`` for each layer; ``None`` stands for zeros.

    Returns:
        ``l.weight`` ``[B, n_{l+1}, n_l]`` and ``l.bias`` ``[B, n_{l+1}]`` for each layer l.

    Raises:
        WiringError: naming the layer, if there are more or fewer than the layout has or one has another shape.
    """
    sizes = list(pairwise(layout))
    if not len(weights) == len(biases) == len(sizes):
        raise WiringError(
            f"the layout {list(layout)} has {len(sizes)} layers, got {len(weights)} weights and {len(biases)} biases"
        )
    tensors: dict[str, Tensor] = {}
    for number, ((n_in, n_out), weight, bias) in enumerate(zip(sizes, weights, biases, strict=True)):
        batch = weights[0].shape[0]
        bias = weight.new_zeros(batch, n_out, 1) if bias is None else bias
        for what, tensor, shape in (("weight", weight, (batch, n_in, n_out, 1)), ("bias", bias, (batch, n_out, 1))):
            if tuple(tensor.shape) != shape:
                hint = "; torch's weights [out, in] must be transposed" if tensor.shape[1:3] == (n_out, n_in) else ""
                raise WiringError(
                    f"{what} of layer {number}: expected the shape {list(shape)}, got {list(tensor.shape)}{hint}"
                )
        tensors[f"{number}.weight"] = weight.squeeze(-1).transpose(1, 2)
        tensors[f"{number}.bias"] = bias.squeeze(-1)
    return tensors
