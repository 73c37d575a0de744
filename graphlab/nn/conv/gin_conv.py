r"""GIN: :math:`\mathrm{MLP}((1 + \epsilon) x_i + \sum_{j \to i} x_j)` (Xu, Hu, Leskovec, Jegelka, ICLR 2019)."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric import nn

from graphlab.nn.conv.calls import obstacle
from graphlab.nn.conv.neighbours import reduced


class GINConv(nn.GINConv):  # type: ignore[misc]
    """``torch_geometric.nn.GINConv`` that never forms a message; left: aggregations other than sum, mean, min, max."""

    def obstacle(self) -> str | None:
        """Why PyTorch Geometric's own propagation is used, if it is."""
        return obstacle(self)

    def propagate(self, edge_index: Any, size: Any = None, **kwargs: Any) -> Tensor:
        y = None if self.obstacle() else reduced(self, edge_index, kwargs["x"], size)
        return super().propagate(edge_index, size=size, **kwargs) if y is None else y
