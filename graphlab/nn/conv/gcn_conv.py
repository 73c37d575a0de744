r"""GCN: :math:`\hat A X W + b`, :math:`\hat A = D^{-1/2} (A + I) D^{-1/2}` (Kipf and Welling, ICLR 2017, eq. 2)."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric import nn

from graphlab.nn.conv.calls import REDUCE, obstacle, ordinary
from graphlab.nn.conv.normalised import normalised, weighted
from graphlab.nn.features import Features, dense, linear


class GCNConv(nn.GCNConv):  # type: ignore[misc]
    """``torch_geometric.nn.GCNConv`` that normalises a graph once, never forms a message, and also takes
    :class:`~graphlab.nn.features.SparseFeatures`."""

    def obstacle(self) -> str | None:
        """Why PyTorch Geometric's own layer is used, if it is."""
        return obstacle(self)

    def forward(self, x: Features, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:
        if self.obstacle() or not ordinary(self, edge_index, *dense(x), edge_weight=edge_weight):
            # propagate_type: (x: Tensor, edge_weight: OptTensor)
            result: Tensor = super().forward(x if isinstance(x, Tensor) else x.to_dense(), edge_index, edge_weight)
            return result
        adj, weight = normalised(self, edge_index, edge_weight, x, self.improved)
        y = weighted(adj, linear(self.lin, x), weight, REDUCE[self.aggr])
        return y if self.bias is None else y + self.bias
