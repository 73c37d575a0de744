"""What GAT's and GATv2's attention have in common: self-loops, dropout of edges, how heads are put together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.utils import add_self_loops, remove_self_loops

from graphlab.ops.adjacency import Adjacency, adjacency, remembered


def attended_adjacency(conv: Any, edge_index: Tensor, num_sources: int, num_targets: int) -> tuple[Adjacency, Tensor]:
    """The edges that a layer attends to; with ``add_self_loops`` the given ones but loops, then one loop a node.

    Returns:
        Their adjacency, in whose order they are numbered, and ``[num_edges]``: which of them is at each place. Both
        are made once for each ``edge_index`` that is given again.
    """
    size = (num_sources, num_targets)

    def made() -> tuple[Adjacency, Tensor]:
        with torch.inference_mode(False):
            edges = edge_index.as_subclass(Tensor).long()
            if conv.add_self_loops:
                edges = add_self_loops(remove_self_loops(edges)[0], num_nodes=min(size))[0]
            order = edges[1].argsort(stable=True)
            return adjacency(edges[:, order], size), order

    return remembered(edge_index, ("attended", size, conv.add_self_loops), made)


def drawn(conv: Any, adj: Adjacency, x: Tensor) -> Tensor | None:
    """Factors of dropout, ``[num_edges, heads]``: 0 or ``1 / (1 - p)``."""
    if not conv.training or conv.dropout == 0:
        return None
    return functional.dropout(x.new_ones(adj.num_edges, conv.heads), conv.dropout)


def together(conv: Any, y: Tensor, x: Tensor) -> Tensor:
    """Heads ``[num_targets, heads, channels]`` side by side or their mean, the residual of ``x``, the bias."""
    y = y.flatten(1) if conv.concat else y.mean(dim=1)
    if conv.res is not None:
        y = y + conv.res(x)
    return y if conv.bias is None else y + conv.bias
