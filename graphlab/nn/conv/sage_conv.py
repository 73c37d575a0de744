r"""GraphSAGE: :math:`W_1 x_i + W_2 \bigoplus_{j \to i} x_j` (Hamilton, Ying, Leskovec, NeurIPS 2017)."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric import nn

from graphlab.nn.conv.calls import obstacle
from graphlab.nn.conv.neighbours import reduced


class SAGEConv(nn.SAGEConv):  # type: ignore[misc]
    """``torch_geometric.nn.SAGEConv`` that never forms a message; left: aggregations other than sum, mean, min, max."""

    def obstacle(self) -> str | None:
        """Why PyTorch Geometric's own propagation is used, if it is."""
        return obstacle(self)

    def propagate(self, edge_index: Any, size: Any = None, **kwargs: Any) -> Tensor:
        y = None if self.obstacle() else reduced(self, edge_index, kwargs["x"], size)
        return super().propagate(edge_index, size=size, **kwargs) if y is None else y
