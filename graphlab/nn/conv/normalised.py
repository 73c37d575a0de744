r"""The adjacency that GCN and APPNP propagate on: :math:`D^{-1/2} (A + I) D^{-1/2}`, as PyTorch Geometric normalises.

The edges are sorted once for each ``edge_index`` that is given again, and their weights computed once for each
``edge_weight`` that does not require gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from graphlab.nn.features import Features
from graphlab.ops.adjacency import Adjacency, adjacency, as_adjacency, remembered
from graphlab.ops.spmm import Reduce, spmm


def normalised(
    conv: Any, edge_index: Tensor, edge_weight: Tensor | None, x: Features, improved: bool = False
) -> tuple[Adjacency, Tensor | None]:
    """The adjacency of a layer and the weights of its edges, in their order.

    Args:
        conv: Has ``normalize``, ``add_self_loops`` and ``cached``, as ``torch_geometric.nn.GCNConv``.
        edge_index: ``[2, num_edges]``.
        edge_weight: Floating ``[num_edges]``; differentiable.
        x: Features, whose number of nodes counts, and whose dtype the weights get if there is no ``edge_weight``.
        improved: Self-loops that are added weigh 2.

    Raises:
        ValueError: for edges that do not fit.
    """
    nodes = x.shape[0]
    if not conv.normalize:
        return as_adjacency(edge_index, nodes), edge_weight
    options = (improved, conv.add_self_loops, conv.flow, x.dtype)

    def norm() -> tuple[Tensor, Tensor]:
        plain = edge_index.as_subclass(Tensor).long()
        edges, weight = gcn_norm(plain, edge_weight, nodes, *options)
        return edges, weight

    if conv.cached:
        if conv._cached_edge_index is None:
            conv._cached_edge_index = norm()
        edges, weight = conv._cached_edge_index
        return as_adjacency(edges, nodes), weight

    def ordered() -> tuple[Adjacency, Tensor]:
        with torch.inference_mode(False), torch.no_grad():
            edges = norm()[0]
            order = (edges[1] * nodes + edges[0]).argsort(stable=True)
            return adjacency(edges[:, order], nodes), order

    adj, order = remembered(edge_index, ("looped", nodes, conv.add_self_loops), ordered)
    if edge_weight is not None and edge_weight.requires_grad:
        return adj, norm()[1][order]

    def weights() -> Tensor:
        with torch.inference_mode(False):
            return norm()[1][order]

    if edge_weight is None:
        return adj, remembered(edge_index, ("weights", nodes, options), weights)
    last: dict[str, tuple[Tensor, Tensor]] = remembered(edge_weight, ("weights", nodes, options), dict)
    if "of" not in last or last["of"][0] is not order:
        last["of"] = order, weights()
    return adj, last["of"][1]


def weighted(adj: Adjacency, x: Tensor, weight: Tensor | None, reduce: Reduce = "sum") -> Tensor:
    """:func:`~graphlab.ops.spmm` in the dtype of the product of features and weights, which differ under autocast."""
    if weight is not None:
        dtype = torch.promote_types(x.dtype, weight.dtype)
        x, weight = x.to(dtype), weight.to(dtype)
    return spmm(adj, x, weight, reduce)
