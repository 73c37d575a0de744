"""A vector for each network: the graph metanetwork with its readout."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch_geometric.data import Data

from graphlab.nn.models.gmn.base import GNN, Metanetwork, network
from graphlab.nn.models.gmn.encoder import FeatureEncoder
from graphlab.nn.models.gmn.mpnn import Activation, Aggregation, check_name, check_sizes
from graphlab.nn.models.gmn.readout import Pool, Readout
from graphlab.weightgraph.batch import WeightGraphBatch


class _Reader(nn.Module):
    """What comes after the encoder, under the names of the published state."""

    def __init__(self, gnn: nn.Module, readout: Readout) -> None:
        super().__init__()
        self.gnn, self.readout = gnn, readout


class GMN(Metanetwork):
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
        self.set_encoder(slots, undirected, normalize_depth, encoder if pre_encoder else None)
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
        """``[num_graphs, out_dim]``, in the given order of the networks. The published model ends in its sigmoid, so
        that ``binary_cross_entropy_with_logits`` trains them.

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
