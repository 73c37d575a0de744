r"""APPNP: :math:`z_0 = x`, :math:`z_{k+1} = (1 - \alpha) \hat A z_k + \alpha x` (Gasteiger et al., 2019, eq. 4)."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional
from torch_geometric import nn

from graphlab.nn.conv.calls import REDUCE, obstacle, ordinary
from graphlab.nn.conv.normalised import normalised, weighted


class APPNP(nn.APPNP):  # type: ignore[misc]
    """``torch_geometric.nn.APPNP`` that normalises a graph once and keeps no step for the gradient.

    Raises:
        ValueError: for dropout, which is of edge weights, where there are none.
    """

    def obstacle(self) -> str | None:
        """Why PyTorch Geometric's own layer is used, if it is."""
        return obstacle(self)

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:
        if self.obstacle() or not ordinary(self, edge_index, x, edge_weight=edge_weight):
            # propagate_type: (x: Tensor, edge_weight: OptTensor)
            result: Tensor = super().forward(x, edge_index, edge_weight)
            return result
        adj, weight = normalised(self, edge_index, edge_weight, x)
        if weight is None and self.dropout > 0 and self.training:
            raise ValueError("APPNP: there are no edge weights to drop out; give edge_weight, or normalize=True")
        restart, h = self.alpha * x, x
        for _ in range(self.K):
            drawn = weight if weight is None else functional.dropout(weight, self.dropout, self.training)
            h = restart.add(weighted(adj, h, drawn, REDUCE[self.aggr]), alpha=1 - self.alpha)
        return h
