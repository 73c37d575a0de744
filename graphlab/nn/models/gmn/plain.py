"""Message passing that updates edges, without residual branches (specification of metanetworks, 2.2)."""

from __future__ import annotations

import functools

import torch.nn.functional as F
from torch import Tensor, nn

from graphlab.nn.models.gmn.ends import Tile
from graphlab.nn.models.gmn.graph import Edges, Graph
from graphlab.nn.models.gmn.mpnn import Aggregation, Conv, aggregated, check_name, check_sizes
from graphlab.nn.models.gmn.norm import batch_norm
from graphlab.nn.models.gmn.passes import EdgeFunction, Fold, Result, edge_pass, started, sums, whole_pass


class MPNN(nn.Module):
    """Layers of the edge and node updates of a residual block alone, the last without ReLU (published: ``empnn``).

    A single layer updates edges only.

    Args:
        node_in, edge_in: Channels of nodes and edges.
        hidden: Channels within.
        node_out, edge_out: Channels of the outputs. With several layers they must agree, as published: both maps of the
            last node model have inputs of one width.
        num_layers: At least one.
        batch_norm: Batch normalisation of nodes and edges after all layers but the last.
        dropout: Probability, after all layers but the last.
        aggregation: ``mean``, ``sum`` or ``max`` of the messages to a node; zero without any.

    Raises:
        ValueError: for sizes out of range and unknown names.
    """

    def __init__(
        self,
        node_in: int,
        edge_in: int,
        hidden: int,
        node_out: int,
        edge_out: int,
        num_layers: int,
        *,
        batch_norm: bool = True,
        dropout: float = 0.0,
        aggregation: Aggregation = "mean",
    ) -> None:
        super().__init__()
        check_sizes(
            node_in=node_in, edge_in=edge_in, hidden=hidden, node_out=node_out, edge_out=edge_out, num_layers=num_layers
        )
        check_name("aggregation", aggregation, Aggregation)
        if num_layers > 1 and node_out != edge_out:
            raise ValueError(f"expected node_out and edge_out to agree, got {node_out} and {edge_out}")
        self.aggregation, self.dropout = aggregation, dropout
        self.node_out, self.edge_out = node_in if num_layers == 1 else node_out, edge_out
        last = num_layers - 1
        self.convs = nn.ModuleList(
            Conv(
                hidden if number else node_in,
                hidden if number else edge_in,
                edge_out if number == last else hidden,
                nodes=last > 0,
                last=number == last,
            )
            for number in range(num_layers)
        )
        norms = last if batch_norm else 0
        self.node_norms = nn.ModuleList(nn.BatchNorm1d(hidden) for _ in range(norms))
        self.edge_norms = nn.ModuleList(nn.BatchNorm1d(hidden) for _ in range(norms))

    def forward(self, graph: Graph, x: Tensor, start: Fold, send: Fold | None = None) -> tuple[Tensor, list[Tensor]]:
        """Nodes ``[N, node_out]`` and outputs of edges; see :meth:`ResidualMPNN.forward`."""
        states = started(graph, start(None))
        run = whole_pass if self.aggregation == "max" else functools.partial(edge_pass, num_nodes=graph.num_nodes)
        for number, conv in enumerate(self.convs):
            source, target = conv.terms(x)
            pairs = zip(graph.edges, states, strict=True)
            results = [run(_function(conv), edges, own, source, target) for edges, own in pairs]
            states = [new for new, _ in results if new is not None]
            if conv.node_model is not None:
                x = conv.node_model(x, aggregated(graph, [sent for _, sent in results], self.aggregation))
            if number < len(self.node_norms):
                (x,), states = batch_norm(self.node_norms[number], [x]), batch_norm(self.edge_norms[number], states)
            if self.dropout and self.training and number < len(self.convs) - 1:
                x, *states = (F.dropout(own, self.dropout) for own in (x, *states))
        if send is None:
            return x, states
        return x, sums(graph, states, send(None))


def _function(conv: Conv) -> EdgeFunction:
    def of(edges: Edges, tile: Tile, states: Tensor, source: Tensor, target: Tensor, *weights: Tensor) -> Result:
        return conv.update(states, source, target, *weights)

    return EdgeFunction(of, conv.weights, max(len(weight) for weight in conv.weights))
