"""Networks in, networks out: the graph metanetwork that edits parameters."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphlab.nn.models.gmn.base import Metanetwork, network
from graphlab.nn.models.gmn.encoder import FeatureEncoder
from graphlab.nn.models.gmn.mpnn import Activation, Aggregation, check_name, check_sizes
from graphlab.weightgraph.batch import WeightGraphBatch
from graphlab.weightgraph.graph import WeightGraph


class GMNEditor(Metanetwork):
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
        self.set_encoder(slots, undirected, normalize_depth, encoder if pre_encoder else None)
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
        outputs = outputs[: len(read.edges)]
        return [self.gamma * edges.as_given(own) for edges, own in zip(read.edges, outputs, strict=True)]

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
