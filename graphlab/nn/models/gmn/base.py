"""What graph metanetworks have in common: how networks are read and encoded, and message passing by name."""

from __future__ import annotations

import functools
from typing import Any, Literal

from torch import Tensor, nn
from torch_geometric.data import Data

from graphlab.nn.models.gmn.encoder import FeatureEncoder
from graphlab.nn.models.gmn.graph import Graph, read
from graphlab.nn.models.gmn.grit import GRIT
from graphlab.nn.models.gmn.mpnn import Activation, Aggregation, ResidualMPNN, check_name
from graphlab.nn.models.gmn.passes import Fold, started, sums, value_map
from graphlab.nn.models.gmn.plain import MPNN
from graphlab.nn.pretrained import Pretrained
from graphlab.weightgraph.batch import WeightGraphBatch

GNN = Literal["empnn_dit", "empnn", "grit", "identity"]


class Identity(nn.Module):
    """No message passing at all: nodes and edges as the encoder made them."""

    def __init__(self, node_channels: int, edge_channels: int) -> None:
        super().__init__()
        self.node_out, self.edge_out = node_channels, edge_channels

    def forward(self, graph: Graph, x: Tensor, start: Fold, send: Fold | None = None) -> tuple[Tensor, list[Tensor]]:
        """See :meth:`ResidualMPNN.forward`."""
        states = started(graph, start(None))
        return x, states if send is None else sums(graph, states, send(None))


def network(
    gnn_type: GNN,
    node_in: int,
    edge_in: int,
    hidden: int,
    edge_out: int,
    num_layers: int,
    *,
    num_heads: int = 4,
    activation: Activation = "silu",
    dropout: float = 0.0,
    aggregation: Aggregation = "mean",
    attention_dropout: float = 0.2,
) -> ResidualMPNN | MPNN | GRIT | Identity:
    """A message-passing network by its published name.

    Raises:
        ValueError: for an unknown name, and for channels that it cannot have.
    """
    check_name("gnn_type", gnn_type, GNN)
    if gnn_type == "empnn_dit":
        options: dict[str, Any] = {"activation": activation, "dropout": dropout, "aggregation": aggregation}
        return ResidualMPNN(node_in, edge_in, hidden, edge_out, num_layers, **options)
    if gnn_type == "empnn":
        return MPNN(node_in, edge_in, hidden, edge_out, edge_out, num_layers, dropout=dropout, aggregation=aggregation)
    if gnn_type == "identity":
        return Identity(node_in, edge_in)
    if not node_in == edge_in == hidden == edge_out:
        raise ValueError(f"grit has as many channels everywhere, got {node_in}, {edge_in}, {hidden}, {edge_out}")
    return GRIT(hidden, num_layers, num_heads, attention_dropout)


class Metanetwork(Pretrained):
    """What all graph metanetworks have: an encoder, or none, and how networks are read."""

    pre_encoder: FeatureEncoder | None

    def set_encoder(self, slots: int, undirected: bool, normalize_depth: bool, encoder: FeatureEncoder | None) -> None:
        self.slots, self.undirected, self.normalize_depth = slots, undirected, normalize_depth
        self.pre_encoder = encoder
        self.node_in = 1 if encoder is None else encoder.hidden
        self.edge_in = slots if encoder is None else encoder.hidden

    def read(self, graph: Data | WeightGraphBatch) -> Graph:
        """The networks as one graph, without reversed edges.

        Raises:
            ValueError: for graphs that the model was not made for, and for values that are not finite, naming network
                and layer.
        """
        own = read(graph, self.slots, self.normalize_depth)
        weight = next(self.parameters())
        if (own.nodes.dtype, own.nodes.device) != (weight.dtype, weight.device):
            raise ValueError(
                f"the networks are {own.nodes.dtype} on {own.nodes.device}, the model is {weight.dtype} on "
                f"{weight.device}: graph.to(...) or model.to(...) brings them together"
            )
        return own

    def encode(self, graph: Graph) -> tuple[Tensor, Fold]:
        """First features of the nodes ``[N, node_in]``, and how those of the edges are made."""
        if self.pre_encoder is None:
            return graph.nodes.new_zeros(graph.num_nodes, 1), value_map
        return self.pre_encoder.nodes(graph), functools.partial(self.pre_encoder.edges, graph)

    def messages(self, graph: Graph) -> Graph:
        """The graph with all edges along which messages go."""
        return graph.both_ways() if self.undirected else graph
