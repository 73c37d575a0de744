r"""GAT: :math:`\sum_{j \to i} p_{ij} W x_j`, where :math:`p` is the softmax over the edges into each node of
:math:`\mathrm{LeakyReLU}(\langle a_1, W x_i \rangle + \langle a_2, W x_j \rangle + \langle a_3, W_e e_{ij} \rangle)`
(Veličković et al., ICLR 2018, eq. 3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric import nn
from torch_geometric.utils import add_self_loops, remove_self_loops

from graphlab.nn.conv.attended import attended_adjacency, drawn, together
from graphlab.nn.conv.calls import obstacle, ordinary
from graphlab.nn.features import Features, SparseFeatures, dense, linear
from graphlab.ops.attention import gat_attention

FILLS = ("mean", "add", "sum")
"""Ways to give loops the features of the other edges, which commute with the linear map of these."""


class GATConv(nn.GATConv):  # type: ignore[misc]
    """``torch_geometric.nn.GATConv`` without a tensor of edges times channels, which also takes
    :class:`~graphlab.nn.features.SparseFeatures`."""

    def obstacle(self) -> str | None:
        """Why PyTorch Geometric's own layer is used, if it is."""
        if self.lin_edge is not None and isinstance(self.fill_value, str) and self.fill_value not in FILLS:
            return f"edge_dim={self.edge_dim} with fill_value={self.fill_value!r}"
        return obstacle(self, ("add", "sum"))

    def forward(
        self,
        x: Any,
        edge_index: Any,
        edge_attr: Tensor | None = None,
        size: Any = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        if isinstance(x, SparseFeatures) and (self.lin is None or self.res is not None):
            x = x.to_dense()
        source, target = x if isinstance(x, tuple | list) else (x, x)
        num_sources, num_targets = source.shape[0], target.shape[0]
        known = ordinary(self, edge_index, *dense(source), *dense(target))
        known = known and size in (None, (num_sources, num_targets))
        if self.lin is None and target is x:  # a bipartite layer that is given a single tensor
            known = False
        if self.obstacle() or not known or return_attention_weights is not None:
            # propagate_type: (x: OptPairTensor, alpha: Tensor)
            # edge_updater_type: (alpha: OptPairTensor, edge_attr: OptTensor)
            x = x.to_dense() if isinstance(x, SparseFeatures) else x
            return super().forward(x, edge_index, edge_attr, size, return_attention_weights)
        sent = received = self._heads(self.lin_src if self.lin is None else self.lin, source)
        if self.lin is None or target is not source:
            received = self._heads(self.lin_dst if self.lin is None else self.lin, target)
        alpha, beta = (received * self.att_dst).sum(dim=-1), (sent * self.att_src).sum(dim=-1)
        adj, order = attended_adjacency(self, edge_index, num_sources, num_targets)
        bias = None
        if edge_attr is not None and self.lin_edge is not None:
            bias = self._bias(edge_index, edge_attr, min(num_sources, num_targets))[order]
        keep = drawn(self, adj, alpha)
        y = gat_attention(adj, alpha, beta, sent.to(alpha.dtype), bias, keep, self.negative_slope)
        return together(self, y, target)

    def _heads(self, layer: Any, x: Features) -> Tensor:
        return linear(layer, x).view(-1, self.heads, self.out_channels)

    def _bias(self, edge_index: Tensor, edge_attr: Tensor, num_loops: int) -> Tensor:
        r"""The edges' terms :math:`\langle a_3, W_e e \rangle`, ``[num_edges, heads]``, loops included."""
        by_heads = self.lin_edge.weight.view(self.heads, self.out_channels, self.edge_dim)
        weight = (by_heads * self.att_edge[0].unsqueeze(2)).sum(dim=1)
        term: Tensor = (edge_attr.unsqueeze(1) if edge_attr.dim() == 1 else edge_attr) @ weight.t()
        if not self.add_self_loops:
            return term
        fill = self.fill_value
        if not isinstance(fill, str):
            fill = torch.as_tensor(fill, dtype=term.dtype, device=term.device).expand(self.edge_dim) @ weight.t()
        edges, kept = remove_self_loops(edge_index.as_subclass(Tensor).long(), term)
        result: Tensor = add_self_loops(edges, kept, fill, num_loops)[1]
        return result
