r"""GATv2: as GAT with the scores :math:`\langle a, \mathrm{LeakyReLU}(W_r x_i + W_l x_j) \rangle` (Brody, Alon, Yahav,
ICLR 2022, eq. 7)."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric import nn

from graphlab.nn.conv.attended import attended_adjacency, drawn, together
from graphlab.nn.conv.calls import obstacle, ordinary
from graphlab.ops.attention import gatv2_attention


class GATv2Conv(nn.GATv2Conv):  # type: ignore[misc]
    """``torch_geometric.nn.GATv2Conv`` without a tensor of edges times channels; left: edge features."""

    def obstacle(self) -> str | None:
        """Why PyTorch Geometric's own layer is used, if it is."""
        if self.lin_edge is not None:
            return f"edge_dim={self.edge_dim}: the nonlinearity is applied to each channel of each edge"
        return obstacle(self, ("add", "sum"))

    def forward(
        self, x: Any, edge_index: Any, edge_attr: Tensor | None = None, return_attention_weights: bool | None = None
    ) -> Any:
        source, target = x if isinstance(x, tuple | list) else (x, x)
        if self.obstacle() or not ordinary(self, edge_index, source, target) or return_attention_weights is not None:
            # propagate_type: (x: PairTensor, alpha: Tensor)
            # edge_updater_type: (x: PairTensor, edge_attr: OptTensor)
            return super().forward(x, edge_index, edge_attr, return_attention_weights)
        shape = (-1, self.heads, self.out_channels)
        sent = self.lin_l(source).view(shape)
        received = sent if self.share_weights and target is source else self.lin_r(target).view(shape)
        adj, _ = attended_adjacency(self, edge_index, len(source), len(target))
        att = self.att[0].to(sent.dtype)
        y = gatv2_attention(adj, received, sent, att, drawn(self, adj, sent), self.negative_slope)
        return together(self, y, target)
