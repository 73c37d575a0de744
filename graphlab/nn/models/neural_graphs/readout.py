"""From graphs to a row for each: the poolings of models on neural graphs (specification of neural_graphs, 2.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from graphlab.nn.models.neural_graphs.edges import DenseEdges, Edges
from graphlab.nn.models.neural_graphs.graphs import Graphs

Pooling = Literal["cat", "mean", "max", "mean_edge", "max_edge", "cls_token"]
Layer = Literal["last", "all"]


def outputs_of(graphs: Graphs) -> Tensor:
    """int64: the nodes of the last layer of each graph, in their order."""
    return (graphs.node_layer == graphs.depth[graphs.graph]).nonzero().squeeze(1)


def check_outputs(graphs: Graphs, num_outputs: int) -> None:
    """Raises ``ValueError``, naming the network, if one has another number of outputs."""
    found = torch.zeros_like(graphs.order).index_add(0, graphs.graph[outputs := outputs_of(graphs)], torch.ones_like(outputs))
    wrong = (found != num_outputs).nonzero()
    if len(wrong):
        number = int(wrong[0])
        raise ValueError(
            f"network {int(graphs.order[number])} has {int(found[number])} outputs; to concatenate them, all must have "
            f"{num_outputs}"
        )


def reduced(x: Tensor, graph: Tensor, count: int, largest: bool) -> Tensor:
    """``[count, channels]``: the sum, or the maximum, of the rows of ``x`` of each graph."""
    if not largest:
        return x.new_zeros(count, x.shape[1]).index_add(0, graph, x)
    index = graph.unsqueeze(1).expand_as(x)
    return x.new_full((count, x.shape[1]), -torch.inf).scatter_reduce(0, index, x, "amax")


def pool_nodes(graphs: Graphs, x: Tensor, nodes: Tensor | None, method: Pooling, padded: bool = False) -> Tensor:
    """``[graphs, width]``: the nodes beside one another (``cat``), their mean or their maximum.

    Args:
        graphs: Whose nodes these are.
        x: ``[len(nodes), channels]``.
        nodes: int64; ``None`` for all.
        method: ``cat``, ``mean`` or ``max``.
        padded: Count rows of zeros up to the largest graph, as the published code does with unlike networks.
    """
    graph = graphs.graph if nodes is None else graphs.graph[nodes]
    if method == "cat":
        return x.view(len(graphs), -1)
    sizes = torch.bincount(graph, minlength=len(graphs)).unsqueeze(1)
    found = reduced(x, graph, len(graphs), method == "max")
    fill = padded and nodes is None
    if method == "max":
        return torch.where(sizes < sizes.max(), found.clamp(min=0), found) if fill else found
    return found / (sizes.max() if fill else sizes)


def pool_edges(
    graphs: Graphs,
    edges: Sequence[Edges],
    states: Sequence[Tensor],
    layer: Layer,
    method: Pooling,
    padded: bool = False,
) -> Tensor:
    """``[graphs, channels]``: mean or maximum over the matrix of all pairs of nodes, zeros where no edge is.

    Args:
        graphs, edges, states: All edges and what they carry.
        layer: ``last`` for the columns of the outputs alone: the edges that lead to them.
        method: ``mean_edge`` or ``max_edge``.
        padded: Count zeros up to the size of the largest graph.
    """
    count, largest = len(graphs), method == "max_edge"
    outputs = outputs_of(graphs)
    wanted = torch.ones_like(graphs.graph, dtype=torch.bool)
    if layer == "last":
        wanted = torch.zeros_like(wanted).index_fill(0, outputs, True)
    found = []
    for own, state in zip(edges, states, strict=True):
        if isinstance(own, DenseEdges):
            grid = wanted.narrow(0, own.start, own.graphs * own.size).view(own.graphs, own.size)
            if not bool(grid[:, own.receivers].all()):
                if not bool(grid[:, own.receivers].any()):
                    continue
                here = grid[:, own.receivers]
                here = here.unsqueeze(2) if own.turned else here.unsqueeze(1)
                state = torch.where(here.unsqueeze(-1), state, 0)
            rows = state.amax(dim=(1, 2)) if largest else state.sum(dim=(1, 2))
            first = int(graphs.graph[own.start])
            graph = torch.arange(first, first + own.graphs, device=state.device)
        else:
            receiver = own.receiver.long()
            here = wanted[receiver].nonzero().squeeze(1)
            rows, graph = state[here], graphs.graph[receiver[here]]
        found.append(reduced(rows, graph, count, largest))
    sizes = graphs.ptr.diff().unsqueeze(1)
    rows_of = sizes.max() if padded else sizes
    if largest:
        return torch.stack([*found, found[0].new_zeros(found[0].shape)]).amax(dim=0)
    columns = rows_of
    if layer == "last":
        columns = torch.bincount(graphs.graph[outputs], minlength=count).unsqueeze(1)
    total = torch.stack(found).sum(dim=0)
    return total / (rows_of * columns)
