"""A model of your own, by a dataclass and a ``forward``.

``graphlab train examples.own_model:linear-hops --dataset cora`` trains and judges it as every model for node
classification here; ``--set hops=4`` and ``--seeds 10`` work too. The run folder has curves, table and weights.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import SGConv

from graphlab.engine import model


@dataclass(frozen=True)
class Options:
    hops: int = 2
    dropout: float = 0.5


class LinearHops(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, options: Options) -> None:
        super().__init__()
        self.conv = SGConv(in_channels, out_channels, options.hops)
        self.dropout = options.dropout

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(functional.dropout(x, self.dropout, self.training), edge_index)


@model("linear-hops", protocol="node-classification", options=Options)
def linear_hops(options: Options, in_channels: int, out_channels: int) -> LinearHops:
    return LinearHops(in_channels, out_channels, options)
