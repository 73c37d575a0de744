"""Standardisation by a data set's statistics, and the search for numbers that are none (neural_graphs, 2.2 and 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from graphlab.nn.models.neural_graphs.graphs import Graphs
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

    def standardised(self, graphs: Graphs) -> Graphs:
        """As :meth:`apply`, of graphs as models read them.

        Raises:
            ValueError: if a graph has another number of layers, or does not say which values are parameters.
        """
        depth = graphs.depth
        if bool((depth != len(self.weights_std)).any()):
            number = int((depth != len(self.weights_std)).nonzero()[0])
            raise ValueError(
                f"network {int(graphs.order[number])}: expected {len(self.weights_std)} layers, as there are "
                f"statistics, got {int(depth[number])}"
            )
        if graphs.filled is None or graphs.node_filled is None:
            raise ValueError("the graphs do not say which values are parameters; graph_data makes all that is read")
        mean, std = (self._table(graphs.x, own) for own in (self.weights_mean, self.weights_std))
        values = [
            torch.where(filled, (own - mean[layer].unsqueeze(-1)) / std[layer].unsqueeze(-1), own)
            for own, layer, filled in zip(graphs.values, graphs.edge_layer, graphs.filled, strict=True)
        ]
        mean, std = (self._table(graphs.x, own) for own in (self.biases_mean, self.biases_std))
        layer = (graphs.node_layer - 1).clamp(min=0)
        standard = (graphs.x - mean[layer].unsqueeze(1)) / std[layer].unsqueeze(1)
        return graphs.with_values(values, torch.where(graphs.node_filled.unsqueeze(1), standard, graphs.x))

    def restored(self, values: Tensor, layer: Tensor, biases: bool = False) -> Tensor:
        """``value * std + mean`` of values ``[*any, channels]`` of layers ``[*any]``."""
        mean, std = (
            (self.biases_mean, self.biases_std) if biases else (self.weights_mean, self.weights_std)
        )
        return values * self._table(values, std)[layer].unsqueeze(-1) + self._table(values, mean)[layer].unsqueeze(-1)

    @staticmethod
    def _table(like: Tensor, numbers: Sequence[float]) -> Tensor:
        return torch.tensor(list(numbers), dtype=like.dtype, device=like.device)


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


def check_numbers(graphs: Graphs) -> None:
    """See that every number that graphs carry is one.

    Raises:
        ValueError: naming the network and the layer of the first that is not.
    """
    if not graphs.x.isfinite().all():
        node = int(graphs.x.isfinite().all(dim=1).logical_not().nonzero()[0])
        network, layer = int(graphs.order[graphs.graph[node]]), int(graphs.node_layer[node]) - 1
        raise ValueError(f"network {network}: a bias of layer {layer} is NaN or infinite")
    for edges, values, layer in zip(graphs.edges, graphs.values, graphs.edge_layer, strict=True):
        if not values.isfinite().all():
            wrong = values.isfinite().all(dim=-1).logical_not()
            place = tuple(wrong.nonzero()[0])
            node = edges.numbers()[1][place]
            network, found = int(graphs.order[graphs.graph[node]]), int(layer.expand(wrong.shape)[place])
            raise ValueError(f"network {network}: a weight of layer {found} is NaN or infinite")
