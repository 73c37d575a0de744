r"""PNA: several aggregations of :math:`W_1 x_i + W_2 x_j + b`, each scaled by several functions of the degree (Corso et
al., NeurIPS 2020, eqs. 5 to 8).

With a single layer before the aggregation a message is :math:`a_i + b_j`, a sum of a term of each end, so that

.. math:: \mathrm{sum}_j (a_i + b_j) = n_i a_i + \mathrm{sum}_j b_j, \qquad
          \mathrm{mean, min, max}_j (a_i + b_j) = a_i + \mathrm{mean, min, max}_j b_j, \qquad
          \mathrm{var, std}_j (a_i + b_j) = \mathrm{var, std}_j b_j

of which the right-hand sides are made of terms of nodes alone: :func:`~graphlab.ops.spmm_stats`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric import nn
from torch_geometric.nn import aggr

from graphlab.nn.conv.calls import obstacle, ordinary
from graphlab.ops.adjacency import Adjacency, as_adjacency
from graphlab.ops.stats import Stat, spmm_stats

STATS: dict[type, Stat] = {
    aggr.SumAggregation: "sum",
    aggr.MeanAggregation: "mean",
    aggr.MinAggregation: "min",
    aggr.MaxAggregation: "max",
    aggr.VarAggregation: "var",
    aggr.StdAggregation: "std",
}


class PNAConv(nn.PNAConv):  # type: ignore[misc]
    """``torch_geometric.nn.PNAConv`` without messages; left: edge features, several layers before the aggregation."""

    def obstacle(self) -> str | None:
        """Why PyTorch Geometric's own propagation is used, if it is."""
        if self.edge_dim is not None:
            return f"edge_dim={self.edge_dim}: each edge has a message of its own"
        if len(self.pre_nns[0]) > 1:
            return "pre_layers > 1: each edge has a message of its own"
        kinds = [type(part) for part in self.aggr_module.aggr.aggrs]
        for kind in kinds:
            if kind not in STATS or kinds.count(kind) > 1:
                return f"aggregators: {'not' if kind not in STATS else 'twice'} {kind.__name__}"
        return obstacle(self, (self.aggr,))

    def propagate(self, edge_index: Any, size: Any = None, **kwargs: Any) -> Tensor:
        x = kwargs["x"]  # [num_nodes, towers, channels]
        if self.obstacle() or not ordinary(self, edge_index, x.flatten(1)):
            y: Tensor = super().propagate(edge_index, size=size, **kwargs)
            return y
        adj = as_adjacency(edge_index, x.shape[0])
        own, sent = [], []
        for tower, (linear,) in enumerate(self.pre_nns):
            of_target, of_source = linear.weight.chunk(2, dim=1)
            own.append(functional.linear(x[:, tower], of_target, linear.bias))
            sent.append(functional.linear(x[:, tower], of_source))
        return self._scaled(adj, self._statistics(adj, torch.stack(own, dim=1), torch.stack(sent, dim=1)))

    def _statistics(self, adj: Adjacency, own: Tensor, sent: Tensor) -> Tensor:
        """``[num_nodes, towers, statistics * channels]``."""
        stats = [STATS[type(part)] for part in self.aggr_module.aggr.aggrs]
        found = list(spmm_stats(adj, sent, stats).unbind(1))
        degree = adj.rowptr.diff().view(-1, 1, 1)
        for place, stat in enumerate(stats):
            if stat not in ("var", "std"):
                found[place] = found[place] + own * (degree if stat == "sum" else degree > 0)
        return torch.cat(found, dim=2)

    def _scaled(self, adj: Adjacency, y: Tensor) -> Tensor:
        """``[num_nodes, towers, scalers * statistics * channels]``."""
        scaling = self.aggr_module
        degree = adj.rowptr.diff().view(-1, 1, 1).to(y.dtype)
        some = degree.clamp(min=1)
        factors = {
            "identity": 1,
            "amplification": (degree + 1).log() / scaling.avg_deg_log,
            "attenuation": scaling.avg_deg_log / (some + 1).log(),
            "linear": degree / scaling.avg_deg_lin,
            "inverse_linear": scaling.avg_deg_lin / some,
        }
        return torch.cat([y * factors[scaler] for scaler in scaling.scaler], dim=-1)
