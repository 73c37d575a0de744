"""Standardisation by a data set's statistics, and the search for numbers that are none (neural_graphs, 2.2 and 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from torch import Tensor

from graphlab.weightgraph.pieces import View
from graphlab.weightgraph.wiring import Wiring


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of the weights and of the biases of each layer, a number each.

    Raises:
        ValueError: naming the layer, if the lists differ in length, a number is not finite or a deviation not positive.
    """

    weights_mean: Sequence[float]
    weights_std: Sequence[float]
    biases_mean: Sequence[float]
    biases_std: Sequence[float]

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in vars(self).items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"expected as many numbers of each kind as there are layers, got {lengths}")
        for name, values in vars(self).items():
            for layer, value in enumerate(values):
                if not isfinite(value) or (name.endswith("_std") and value <= 0):
                    wanted = "positive and finite" if name.endswith("_std") else "finite"
                    raise ValueError(f"{name} of layer {layer}: expected {wanted}, got {value}")

    def apply(self, wiring: Wiring, node_values: Tensor, edge_values: Tensor) -> tuple[Tensor, Tensor]:
        """``(value - mean) / std`` of all that is a parameter; fixed values and empty slots stay as they are.

        Args:
            wiring: Of as many layers as there are statistics.
            node_values: ``[*batch, N, 1]``.
            edge_values: ``[*batch, E, slots]``.

        Raises:
            ValueError: if the wiring has another number of layers.
        """
        depth = max(own.layer for own in wiring.nodes.values())
        if depth != len(self.weights_std):
            raise ValueError(f"expected statistics of {depth} layers, got those of {len(self.weights_std)}")
        node_values, edge_values = node_values.clone(), edge_values.clone()
        for own, part in wiring.node_parts(node_values):
            if isinstance(own.values, View):
                part.sub_(self.biases_mean[own.layer - 1]).div_(self.biases_std[own.layer - 1])
        for block, part in wiring.edge_parts(edge_values):
            if isinstance(block.values, View):
                places = slice(block.slots) if block.places is None else list(block.places)
                part[..., places] = (part[..., places] - self.weights_mean[block.layer]) / self.weights_std[block.layer]
        return node_values, edge_values


def check_finite(networks: Sequence[Mapping[str, Tensor]] | Mapping[str, Tensor]) -> None:
    """See that every number is one, lest a whole batch becomes NaN.

    Args:
        networks: The parameters by name: of several networks stacked on a first axis, or a list of networks.

    Raises:
        ValueError: naming the first network and the parameter that are not finite.
    """
    if isinstance(networks, Mapping):
        for name, stacked in networks.items():
            if not stacked.isfinite().all():
                number = int(stacked.isfinite().flatten(1).all(1).logical_not().nonzero()[0])
                raise ValueError(f"network {number}: {name} holds NaN or infinity")
        return
    for number, tensors in enumerate(networks):
        for name, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise ValueError(f"network {number}: {name} holds NaN or infinity")
