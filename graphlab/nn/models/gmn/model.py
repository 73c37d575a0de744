"""Graph metanetworks: whole models on networks."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphlab.nn.models.gmn.encoder import FeatureEncoder
from graphlab.nn.models.gmn.graph import Graph, read
from graphlab.nn.models.gmn.grit import GRIT
from graphlab.nn.models.gmn.mpnn import Activation, Aggregation, ResidualMPNN, check_name, check_sizes
from graphlab.nn.models.gmn.passes import Fold, started, sums, value_map
from graphlab.nn.models.gmn.plain import MPNN
from graphlab.nn.models.gmn.readout import Pool, Readout
from graphlab.nn.pretrained import Pretrained
from graphlab.weightgraph.batch import WeightGraphBatch
from graphlab.weightgraph.graph import WeightGraph

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
        return MPNN(
            node_in, edge_in, hidden, edge_out, edge_out, num_layers, dropout=dropout, aggregation=aggregation
        )
    if gnn_type == "identity":
        return Identity(node_in, edge_in)
    if not node_in == edge_in == hidden == edge_out:
        raise ValueError(f"grit has as many channels everywhere, got {node_in}, {edge_in}, {hidden}, {edge_out}")
    return GRIT(hidden, num_layers, num_heads, attention_dropout)


class _Reader(nn.Module):
    """What comes after the encoder, under the names of the published state."""

    def __init__(self, gnn: nn.Module, readout: Readout) -> None:
        super().__init__()
        self.gnn, self.readout = gnn, readout


class _Metanetwork(Pretrained):
    """What all graph metanetworks have: an encoder, or none, and how networks are read."""

    pre_encoder: FeatureEncoder | None

    def _set_encoder(self, slots: int, undirected: bool, normalize_depth: bool, encoder: FeatureEncoder | None) -> None:
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


class GMN(_Metanetwork):
    """A vector for each network: classes, accuracies, embeddings.

    Lim, Maron, Law, Lorraine, Lucas: Graph Metanetworks for Processing Diverse Neural Architectures, ICLR 2024
    (arXiv 2312.04501). The result does not depend on the order of hidden neurons: nodes of a layer are told apart by
    their edges only.

    Explicit graphs (:func:`~graphlab.nn.models.gmn.explicit`) and batches in block form give the same numbers; blocks
    need neither index tensors nor per-edge tensors within a layer.

    Args:
        hidden_dim: Channels of nodes and edges.
        num_gnn_layers: Layers of message passing; the last updates edges only.
        out_dim: Of the result.
        gnn_type: ``empnn_dit``: :class:`ResidualMPNN`; ``empnn``: :class:`MPNN`; ``grit``: :class:`GRIT`;
            ``identity``: no message passing.
        num_heads: Of ``grit``.
        undirected: Send messages along edges turned round as well.
        pool_type, readout_layers: See :class:`Readout`.
        pre_encoder: Whether nodes and edges are encoded by their labels; without, a node has a zero and an edge its
            value.
        pre_encoder_norms, pre_encoder_post_activation, pre_encoder_ff: ``norms``, ``post_activation`` and ``fourier``
            of :class:`FeatureEncoder`.
        activation, dropout, aggregation: Of the message passing.
        attention_dropout: Of ``grit``, in training.
        slots, num_node_types, num_edge_types: What the layout has; those of parameter graphs by default.
        normalize_depth: Divide layer numbers by the network's largest, so that deeper networks than those of the
            training look alike. Published without.

    Raises:
        ValueError: for sizes out of range and unknown names.
    """

    def __init__(
        self,
        hidden_dim: int,
        num_gnn_layers: int,
        out_dim: int,
        *,
        gnn_type: GNN = "empnn_dit",
        num_heads: int = 4,
        undirected: bool = False,
        pool_type: Pool = "ds",
        readout_layers: int = 2,
        pre_encoder: bool = True,
        pre_encoder_norms: bool = False,
        pre_encoder_post_activation: bool = False,
        pre_encoder_ff: bool = False,
        activation: Activation = "silu",
        dropout: float = 0.0,
        aggregation: Aggregation = "mean",
        attention_dropout: float = 0.2,
        slots: int = 1,
        num_node_types: int = 17,
        num_edge_types: int = 14,
        normalize_depth: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(hidden_dim=hidden_dim, num_gnn_layers=num_gnn_layers, out_dim=out_dim)
        check_name("pool_type", pool_type, Pool)
        encoder = FeatureEncoder(
            hidden_dim,
            norms=pre_encoder_norms,
            post_activation=pre_encoder_post_activation,
            fourier=pre_encoder_ff,
            slots=slots,
            num_node_types=num_node_types,
            num_edge_types=num_edge_types,
        )
        self._set_encoder(slots, undirected, normalize_depth, encoder if pre_encoder else None)
        gnn = network(
            gnn_type,
            self.node_in,
            self.edge_in,
            hidden_dim,
            hidden_dim,
            num_gnn_layers,
            num_heads=num_heads,
            activation=activation,
            dropout=dropout,
            aggregation=aggregation,
            attention_dropout=attention_dropout,
        )
        readout = Readout(gnn.node_out, gnn.edge_out, hidden_dim, out_dim, readout_layers, pool_type)
        self.gnn_w_readout = _Reader(gnn, readout)

    def forward(self, graph: Data | WeightGraphBatch) -> Tensor:
        """``[num_graphs, out_dim]``, in the given order of the networks. Accuracies are the published model's sigmoid of
        it, so that ``binary_cross_entropy_with_logits`` trains them.

        Raises:
            ValueError: as :meth:`read`.
        """
        return cast(Tensor, self.gnn_w_readout.readout(self.embed(graph)))

    def embed(self, graph: Data | WeightGraphBatch) -> Tensor:
        """``[num_graphs, channels]``: the pooled features that the result is made of.

        Raises:
            ValueError: as :meth:`read`.
        """
        read = self.read(graph)
        x, start = self.encode(read)
        along, readout = self.messages(read), self.gnn_w_readout.readout
        x, sums = self.gnn_w_readout.gnn(along, x, start, readout.edges)
        return readout.pooled(along, x, sums)


class GMNEditor(_Metanetwork):
    r"""New parameters of each network, :math:`\theta + \gamma\, \mathrm{GMN}(\theta)`, with a learned scalar
    :math:`\gamma`.

    Permuting the hidden neurons of a network permutes the result in the same way. Biases and norms are edges and get
    edited like weights.

    Args:
        hidden_dim, num_gnn_layers, gnn_type, undirected, pre_encoder, pre_encoder_norms, pre_encoder_post_activation,
            pre_encoder_ff, activation, dropout, aggregation, slots, num_node_types, num_edge_types, normalize_depth: As
            :class:`GMN`.
        scale: :math:`\gamma` to begin with.

    Raises:
        ValueError: for sizes out of range and unknown names.
    """

    def __init__(
        self,
        hidden_dim: int,
        num_gnn_layers: int,
        *,
        gnn_type: Literal["empnn_dit", "empnn"] = "empnn_dit",
        undirected: bool = True,
        pre_encoder: bool = True,
        pre_encoder_norms: bool = False,
        pre_encoder_post_activation: bool = False,
        pre_encoder_ff: bool = False,
        activation: Activation = "silu",
        dropout: float = 0.0,
        aggregation: Aggregation = "mean",
        slots: int = 1,
        num_node_types: int = 17,
        num_edge_types: int = 14,
        normalize_depth: bool = False,
        scale: float = 0.01,
    ) -> None:
        super().__init__()
        check_sizes(hidden_dim=hidden_dim, num_gnn_layers=num_gnn_layers)
        check_name("gnn_type", gnn_type, Literal["empnn_dit", "empnn"])
        encoder = FeatureEncoder(
            hidden_dim,
            norms=pre_encoder_norms,
            post_activation=pre_encoder_post_activation,
            fourier=pre_encoder_ff,
            slots=slots,
            num_node_types=num_node_types,
            num_edge_types=num_edge_types,
        )
        self._set_encoder(slots, undirected, normalize_depth, encoder if pre_encoder else None)
        self.gnn = network(
            gnn_type,
            self.node_in,
            self.edge_in,
            hidden_dim,
            slots,
            num_gnn_layers,
            activation=activation,
            dropout=dropout,
            aggregation=aggregation,
        )
        self.gamma = nn.Parameter(torch.tensor(scale))

    def changes(self, graph: Data | WeightGraphBatch) -> list[Tensor]:
        """``gamma * GMN(theta)`` for each part of the edges, ``[*edges, slots]``.

        Raises:
            ValueError: as :meth:`read`.
        """
        read = self.read(graph)
        _, outputs = self.gnn(self.messages(read), *self.encode(read))
        return [self.gamma * own for own in outputs[: len(read.edges)]]

    def forward(self, graph: Data | WeightGraphBatch) -> Data | WeightGraphBatch:
        """The graph with new values; what it held otherwise is shared. Gradients flow to the values.

        Raises:
            ValueError: as :meth:`read`.
        """
        changes = self.changes(graph)
        if isinstance(graph, WeightGraphBatch):
            pairs = zip(graph.parts, changes, strict=True)
            return graph.with_values([part.values + own[..., : part.values.shape[-1]] for part, own in pairs])
        (change,), edited = changes, copy.copy(graph)
        values, labels = edited.edge_attr.tensor_split([self.slots], dim=1)
        edited.edge_attr = torch.cat([values + change, labels], dim=1)
        return edited

    def edit(self, graphs: Sequence[WeightGraph], layout: str = "parameter_graph", **options: Any) -> list[WeightGraph]:
        """Networks with new parameters; the given ones are not touched.

        Args:
            graphs: Of any mix of architectures.
            layout, options: How they are drawn, see :meth:`WeightGraph.wiring`.

        Raises:
            ValueError: as :meth:`read`.
            WiringError: for a network that the layout cannot hold.
        """
        batch = WeightGraphBatch([(graph.wiring(layout, **options), graph.tensors) for graph in graphs])
        edited = cast(WeightGraphBatch, self(batch))
        pairs = zip(graphs, edited.state_dicts(), strict=True)
        return [WeightGraph(graph.structure, tensors, graph.module) for graph, tensors in pairs]
