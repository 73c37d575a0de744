"""What models need that read parameters as they are: standardised numbers, and changes instead of parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphlab.datasets.zoos import Zoo
from graphlab.datasets.zoos.architectures import siren_architecture
from graphlab.weightgraph import WeightGraphBatch
from graphlab.weightgraph.parts import Part


class Standardised(nn.Module):
    """A model that is given SIRENs, drawn by ``neural_graph``, with weights and biases of mean 0 and deviation 1.

    ``(value - mean) / std`` with a mean and a deviation for the weights, and others for the biases, of each layer, over
    the networks given: hidden neurons remain interchangeable, as they would not with statistics of each entry.

    Args:
        model: Takes a batch.
        networks: To take the statistics of.

    Raises:
        ValueError: if they are no SIRENs of one layout, or all of a layer's numbers are equal.
    """

    weights: Tensor
    biases: Tensor

    def __init__(self, model: nn.Module, networks: Zoo) -> None:
        super().__init__()
        self.model = model
        found = siren_statistics(networks)
        for name in ("weights", "biases"):
            self.register_buffer(name, torch.tensor([found[f"{name}_mean"], found[f"{name}_std"]]))

    def forward(self, batch: WeightGraphBatch) -> Any:
        """What the model gives for the standardised batch."""
        return self.model(self.standardise(batch))

    def standardise(self, batch: WeightGraphBatch) -> WeightGraphBatch:
        def of_edges(part: Part) -> Tensor:
            mean, std = self.weights[:, part.layer].unsqueeze(-1).unbind()
            standard: Tensor = (part.values - mean) / std
            return standard

        assert batch.x is not None  # biases
        layer = batch.per_node(lambda wiring: wiring.node_column([own.layer for own in wiring.nodes.values()]))
        mean, std = self.biases[:, (layer - 1).clamp(min=0)].unsqueeze(-1).unbind()
        x = torch.where(layer.unsqueeze(1) > 0, (batch.x - mean) / std, 0)
        changed = batch.edge_map(of_edges)
        return changed.with_values([part.values for part in changed.parts], x)


class Edited(nn.Module):
    """Networks changed by what a model says of each of their parameters: ``theta + gamma f(theta)``, gamma learned.

    Lim, Maron, Law, Lorraine, Lucas: Graph Metanetworks for Processing Diverse Neural Architectures, ICLR 2024.

    Args:
        model: From a batch to a batch of the same edges and nodes with one value each.
        gamma: At first.
    """

    def __init__(self, model: nn.Module, gamma: float = 0.01) -> None:
        super().__init__()
        self.model = model
        self.gamma = nn.Parameter(torch.tensor(gamma))

    def forward(self, batch: WeightGraphBatch) -> WeightGraphBatch:
        """The batch with changed parameters as values."""
        change: WeightGraphBatch = self.model(batch)
        values = [own.values + self.gamma * new.values for own, new in zip(batch.parts, change.parts, strict=True)]
        if batch.x is None or change.x is None:
            return batch.with_values(values)
        return batch.with_values(values, batch.x + self.gamma * change.x)


def siren_statistics(networks: Zoo) -> dict[str, list[float]]:
    """``weights_mean``, ``weights_std``, ``biases_mean`` and ``biases_std`` of SIRENs of one layout, a number a layer.

    Raises:
        ValueError: if they are no such networks, or all numbers of a layer are equal.
    """
    depth = len(siren_architecture(networks).layout) - 1
    found: dict[str, list[float]] = {}
    for name, kind in (("weights", "weight"), ("biases", "bias")):
        tensors = [networks.stacked()[f"{layer}.{kind}"] for layer in range(depth)]
        found[f"{name}_mean"] = [float(own.mean()) for own in tensors]
        found[f"{name}_std"] = [float(own.std(correction=0)) for own in tensors]
        for layer, std in enumerate(found[f"{name}_std"]):
            if std == 0:
                raise ValueError(f"{networks.name}: all {name} of layer {layer} are equal; they cannot be standardised")
    return found
