"""From nodes and edges to a vector a network (specification of metanetworks, 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from graphlab.nn.models.gmn.graph import Graph
from graphlab.nn.models.gmn.passes import EdgeMap, composed, linear_map, value_map

Pool = Literal["ds", "node_edge_ds", "mean"]


class Readout(nn.Module):
    """Features of each edge (and node), their mean over a network, an MLP.

    Args:
        node_channels, edge_channels, hidden, out: Channels.
        num_layers: Linear maps after the mean, at least two (published: ``readout_layers``).
        pool: ``ds``, a linear map and a ReLU of each edge before the mean; ``node_edge_ds``, of nodes as well, and
            layer norms after; ``mean``, of the edges as they are.
    """

    def __init__(
        self, node_channels: int, edge_channels: int, hidden: int, out: int, num_layers: int = 2, pool: Pool = "ds"
    ) -> None:
        super().__init__()
        norms = pool == "node_edge_ds"
        self.channels = 2 * hidden if norms else edge_channels if pool == "mean" else hidden
        if pool == "ds":
            self.pre_pool = nn.Sequential(nn.Linear(edge_channels, hidden), nn.ReLU())
        elif norms:
            self.pre_pool_x = nn.Sequential(nn.Linear(node_channels, hidden), nn.ReLU())
            self.pre_pool_e = nn.Sequential(nn.Linear(edge_channels, hidden), nn.ReLU())
        modules: list[nn.Module] = [nn.LayerNorm(self.channels)] if norms else []
        for width in (self.channels, *(hidden,) * max(num_layers - 2, 0)):
            modules += [nn.Linear(width, hidden), nn.ReLU(), *([nn.LayerNorm(hidden)] if norms else [])]
        self.post_pool = nn.Sequential(*modules, nn.Linear(hidden, out))
        self.pool = pool

    def edges(self, before: nn.Linear | None = None) -> EdgeMap:
        """What the mean is taken of, given the edges' outputs, or what they are made of by a linear map."""
        if self.pool == "mean":
            return value_map(before)
        linear = cast(nn.Linear, (self.pre_pool if self.pool == "ds" else self.pre_pool_e)[0])
        return linear_map(*((linear.weight, linear.bias) if before is None else composed(before, linear)), relu=True)

    def pooled(self, graph: Graph, x: Tensor, sums: Sequence[Tensor]) -> Tensor:
        """``[num_graphs, channels]``: the means; zero for a network without edges.

        Args:
            graph: Whose edges were summed.
            x: ``[N, node_channels]``.
            sums: ``[N, ...]`` for each part of the edges: what :meth:`edges` made of them, summed at each node.
        """
        total = graph.per_graph(sum(sums[1:], start=sums[0]))
        edges = total / graph.per_graph(graph.degree()).clamp(min=1)
        if self.pool != "node_edge_ds":
            return edges
        nodes = graph.per_graph(self.pre_pool_x(x)) / graph.per_graph(x.new_ones(len(x), 1)).clamp(min=1)
        return torch.cat([nodes, edges], dim=1)

    def forward(self, pooled: Tensor) -> Tensor:
        """``[num_graphs, out]``."""
        return cast(Tensor, self.post_pool(pooled))
