"""Baselines that read parameters as numbers: StatNN and an MLP (specification of neural_graphs, 2.10)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphlab.nn.models.neural_graphs.graphs import Graphs, read
from graphlab.nn.models.neural_graphs.statistics import check_numbers
from graphlab.nn.pretrained import Pretrained
from graphlab.weightgraph import WeightGraphBatch

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
STATISTICS = 2 + len(QUANTILES)


def layer_statistics(graphs: Graphs, layers: int) -> tuple[Tensor, Tensor]:
    """``[graphs, 7 * layers]`` each, of the weights and of the biases of each layer: mean, unbiased variance (0 of a
    single number), and the quantiles 0, 1/4, 1/2, 3/4 and 1, linear between numbers. Zeros where there is no layer.

    Args:
        graphs: In the order of whose networks as given the rows are.
        layers: Most layers of a network.

    Raises:
        ValueError: naming the network, if one has more layers, or if graphs do not say which values are parameters.
    """
    if graphs.filled is None or graphs.node_filled is None:
        raise ValueError("the graphs do not say which values are parameters; graph_data makes all that is read")
    if bool((graphs.depth > layers).any()):
        number = int((graphs.depth > layers).nonzero()[0])
        raise ValueError(
            f"network {int(graphs.order[number])} has {int(graphs.depth[number])} layers, expected at most {layers}"
        )
    numbers, keys = [], []
    for edges, values, layer, filled in zip(graphs.edges, graphs.values, graphs.edge_layer, graphs.filled, strict=True):
        receiver = edges.numbers()[1].to(values.device)
        key = (graphs.graph[receiver] * layers + layer).unsqueeze(-1).expand(values.shape)
        here = filled.expand(values.shape)
        numbers.append(values[here])
        keys.append(key[here])
    weights = _statistics(torch.cat(numbers), torch.cat(keys), len(graphs) * layers)
    key = graphs.graph * layers + graphs.node_layer - 1
    biases = _statistics(graphs.x[graphs.node_filled, 0], key[graphs.node_filled], len(graphs) * layers)
    first, second = (graphs.as_given(own.view(len(graphs), -1)) for own in (weights, biases))
    return first, second


def _statistics(numbers: Tensor, keys: Tensor, count: int) -> Tensor:
    """``[count, 7]``: of the numbers of each key."""
    by_size = numbers.argsort(stable=True)
    order = by_size[keys[by_size].argsort(stable=True)]
    numbers, keys = numbers[order], keys[order]
    sizes = torch.bincount(keys, minlength=count)
    some = sizes.clamp(min=1).to(numbers.dtype)
    mean = numbers.new_zeros(count).index_add(0, keys, numbers) / some
    spread = numbers.new_zeros(count).index_add(0, keys, (numbers - mean[keys]).square())
    first = sizes.cumsum(0) - sizes
    found = [mean, spread / (some - 1).clamp(min=1)]
    numbers = torch.cat([numbers, numbers.new_zeros(1)])
    for quantile in QUANTILES:
        place = quantile * (some - 1)
        low = place.floor()
        ends = (numbers[(first + end.long()).clamp(max=len(numbers) - 1)] for end in (low, place.ceil()))
        found.append(torch.lerp(*ends, place - low))
    return torch.stack(found, dim=1) * (sizes > 0).unsqueeze(1)


def _network(in_channels: int, hidden: int, out_channels: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_channels, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, out_channels),
    )


class StatNN(Pretrained):
    """A network of three layers on statistics of the parameters of each layer; see :func:`layer_statistics`.

    Unterthiner, Keysers, Gelly, Bousquet, Tolstikhin: "Predicting Neural Network Accuracy from Weights", 2020
    (arXiv 2002.11448), as Kofinas et al. compare with it.

    Args:
        max_hidden: Most hidden layers of a network.
        hidden: Units of both hidden layers.
        out_channels: Of the result.
        dropout: The probability.
    """

    def __init__(self, max_hidden: int, hidden: int = 1000, out_channels: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = max_hidden + 1
        self.hypernetwork = _network(2 * STATISTICS * self.layers, hidden, out_channels, dropout)

    def forward(self, graphs: WeightGraphBatch | Data) -> Tensor:
        """``[networks, out_channels]`` in the order in which the networks were given; as :meth:`NGGNN.forward`."""
        return cast(Tensor, self.hypernetwork(self.embed(graphs)))

    def embed(self, graphs: WeightGraphBatch | Data) -> Tensor:
        """``[networks, 14 (max_hidden + 1)]``: the statistics of weights, then those of biases."""
        given = read(graphs)
        check_numbers(given)
        return torch.cat(layer_statistics(given, self.layers), dim=1)


class WeightMLP(Pretrained):
    """A network of three layers on all parameters of networks of one architecture, neurons in the order that they have.

    Args:
        num_parameters: Of the networks.
        hidden: Units of both hidden layers.
        out_channels: Of the result.
        dropout: The probability.
    """

    def __init__(self, num_parameters: int, hidden: int = 1000, out_channels: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.network = _network(num_parameters, hidden, out_channels, dropout)

    def forward(self, graphs: WeightGraphBatch | Data) -> Tensor:
        """``[networks, out_channels]`` in the order in which the networks were given; as :meth:`NGGNN.forward`."""
        return cast(Tensor, self.network(self.embed(graphs)))

    def embed(self, graphs: WeightGraphBatch | Data) -> Tensor:
        """``[networks, num_parameters]``: the parameters themselves, weights by layer, then biases.

        Raises:
            ValueError: naming the network, for one with more or fewer, or that holds NaN or infinity.
        """
        given = read(graphs)
        check_numbers(given)
        if given.filled is None or given.node_filled is None:
            raise ValueError("the graphs do not say which values are parameters; graph_data makes all that is read")
        numbers, owner, place = [], [], []
        for edges, values, filled in zip(given.edges, given.values, given.filled, strict=True):
            sender, receiver = edges.numbers()
            here = filled.expand(values.shape)
            numbers.append(values[here])
            first = given.ptr[given.graph[receiver]]
            pair = (receiver - first) * (int(given.ptr.diff().max()) + 1) + sender - first
            slot = torch.arange(values.shape[-1], device=values.device)
            place.append((pair.unsqueeze(-1) * values.shape[-1] + slot)[here])
            owner.append(given.graph[receiver].unsqueeze(-1).expand(values.shape)[here])
        largest = max((int(own.max()) + 1 for own in place if len(own)), default=0)
        nodes = given.node_filled.nonzero().squeeze(1)
        numbers.append(given.x[nodes, 0])
        place.append(largest + nodes - given.ptr[given.graph[nodes]])
        owner.append(given.graph[nodes])
        owners = torch.cat(owner)
        sizes = torch.bincount(owners, minlength=len(given))
        wrong = (sizes != self.num_parameters).nonzero()
        if len(wrong):
            number = int(wrong[0])
            raise ValueError(
                f"network {int(given.order[number])} has {int(sizes[number])} parameters, expected "
                f"{self.num_parameters}"
            )
        by_place = torch.cat(place).argsort(stable=True)
        order = by_place[owners[by_place].argsort(stable=True)]
        return given.as_given(torch.cat(numbers)[order].view(len(given), -1))
