r"""Symmetric normalisation of a graph with self-loops, as GCN, APPNP and DAGNN propagate on it.

.. math:: \hat A = D^{-1/2} (A + I) D^{-1/2}, \qquad D_{ii} = \sum_{e: j \to i} a_e \text{, loops included}

(Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017, eq. 2).
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphlab.ops.adjacency import Adjacency, adjacency, check_range, remembered


def symmetric_normalization(
    edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None = None, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    r"""The edges with one self-loop a node, and the weight :math:`d_j^{-1/2} a_{ij} d_i^{-1/2}` of each.

    A loop that is given keeps its weight (of several on a node the last counts), one that is missing weighs 1. Degrees
    sum over the edges into a node, also on a directed graph; a degree of 0 gives weights of 0. Repeated edges add.

    Args:
        edge_index: Integers ``[2, num_edges]``: source, then target.
        num_nodes: Of the graph.
        edge_weight: ``[num_edges]``, floating; default 1. Differentiable.
        dtype: Of the weights where ``edge_weight`` is not given.

    Returns:
        ``[2, num_others + num_nodes]``, the given edges but loops in their order, then a loop for each node; and the
        weights of these.

    Raises:
        ValueError: for shapes and nodes that do not fit, and for negative degrees.
    """
    if edge_index.dim() != 2 or edge_index.shape[0] != 2 or edge_index.dtype not in (torch.int32, torch.int64):
        raise ValueError(
            f"edge_index: expected integers [2, num_edges], got {edge_index.dtype} {list(edge_index.shape)}"
        )
    check_range("edge_index: a node", edge_index, num_nodes)
    if edge_weight is None:
        edge_weight = torch.ones(edge_index.shape[1], dtype=dtype, device=edge_index.device)
    if edge_weight.shape != edge_index.shape[1:] or not edge_weight.is_floating_point():
        raise ValueError(
            f"edge_weight: expected floating [{edge_index.shape[1]}], got {edge_weight.dtype} {list(edge_weight.shape)}"
        )
    source, target = edge_index.as_subclass(Tensor).long().unbind(0)
    loop = source == target
    place = loop.nonzero().squeeze(1)
    last = place.new_full((num_nodes,), -1).scatter_reduce_(0, source[place], place, "amax")
    loop_weight = edge_weight.new_ones(num_nodes)
    if place.numel():
        loop_weight = torch.where(last < 0, 1, edge_weight[last.clamp(min=0)])
    nodes = torch.arange(num_nodes, device=edge_index.device)
    source, target = torch.cat([source[~loop], nodes]), torch.cat([target[~loop], nodes])
    weight = torch.cat([edge_weight[~loop], loop_weight])
    degree = weight.new_zeros(num_nodes).scatter_add(0, target, weight)
    negative = (degree < 0).nonzero().squeeze(1)
    if negative.numel():
        raise ValueError(
            f"edge_weight: the degrees of {negative.numel()} nodes are negative, and normalisation takes their "
            f"roots: {', '.join(map(str, negative[:5].tolist()))}{', ...' if negative.numel() > 5 else ''}"
        )
    positive = degree > 0
    root = torch.where(positive, torch.where(positive, degree, 1).rsqrt(), 0)
    return torch.stack([source, target]), root[source] * weight * root[target]


def normalized_adjacency(
    edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None = None, dtype: torch.dtype = torch.float32
) -> tuple[Adjacency, Tensor]:
    """:func:`symmetric_normalization`, sorted for the primitives; done once for each graph that is given again.

    Args:
        edge_index, num_nodes, edge_weight, dtype: As there; the weights are constants here.

    Returns:
        The adjacency of ``num_nodes + ...`` edges in the order of their targets, and their weights in that order. Of an
        undirected graph the transpose is the adjacency itself.

    Raises:
        ValueError: as :func:`symmetric_normalization`, and for an ``edge_weight`` that requires gradients.
    """
    if edge_weight is not None and edge_weight.requires_grad:
        raise ValueError("edge_weight: a constant here, but it requires gradients")

    def make() -> tuple[Adjacency, Tensor, Tensor | None]:
        edges, weight = symmetric_normalization(edge_index, num_nodes, edge_weight, dtype)
        order = (edges[1] * num_nodes + edges[0]).argsort(stable=True)
        weight, adj = weight[order], adjacency(edges[:, order], num_nodes)
        if _is_symmetric(adj, weight):
            adj = Adjacency(adj.rowptr, adj.col, None, adj.rowptr, adj.col, None)
        return adj, weight, edge_weight

    version = None if edge_weight is None or edge_weight.is_inference() else edge_weight._version
    key = ("normalized", num_nodes, dtype, None if edge_weight is None else id(edge_weight), version)
    return remembered(edge_index, key, make)[:2]


def _is_symmetric(adj: Adjacency, weight: Tensor) -> bool:
    """Whether the transpose has the same edges and weights, both sorted by row and then column."""
    turned = adj.transposed
    same = torch.equal(adj.rowptr, turned.rowptr) and torch.equal(adj.col, turned.col)
    return same and (turned.perm is None or torch.equal(weight, weight[turned.perm.long()]))
