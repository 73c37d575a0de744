"""A model of your own that reads trained networks: a set of weights, each with its layer, whatever the architecture.

``graphlab train examples.own_network_model:weight-set --task cnn-generalisation`` trains it to say how well classifiers
generalise; ``--task inr-classification`` to say which digit a network shows. The run folder has a picture beside
curves, table and weights.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphlab.datasets.zoos import Zoo
from graphlab.engine import model
from graphlab.weightgraph import WeightGraphBatch


@dataclass(frozen=True)
class Options:
    hidden: int = 64


class WeightSet(nn.Module):
    layout = "parameter_graph"  # an edge for each parameter, biases too

    def __init__(self, out_channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.encode = nn.Sequential(nn.Linear(2, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.decode = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, out_channels))

    def forward(self, batch: WeightGraphBatch) -> Tensor:
        total, count = torch.zeros(len(batch), self.hidden), torch.zeros(len(batch), 1)
        for part in batch.parts:  # a large block of all networks, or all small ones
            layer = part.layer.expand(part.values.shape[:-1]).unsqueeze(-1)
            states = self.encode(torch.cat([part.values, layer], dim=-1)).flatten(end_dim=-2)
            owner = batch.batch[part.target].expand(part.values.shape[:-1]).flatten()
            total = total.index_add(0, owner, states)
            count = count.index_add(0, owner, torch.ones(len(owner), 1))
        return self.decode(total / count)


@model("weight-set", protocol=("cnn-generalisation", "inr-classification", "sine-ssl"), options=Options)
def weight_set(options: Options, networks: Zoo, out_channels: int) -> WeightSet:  # noqa: ARG001
    return WeightSet(out_channels, options.hidden)
