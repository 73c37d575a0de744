"""What models on neural graphs read off a drawing (specification of neural_graphs, 2.2, 2.5 and 2.9)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from graphlab.weightgraph.layouts.neural_graph.types import EdgeType, NodeType
from graphlab.weightgraph.pieces import View
from graphlab.weightgraph.wiring import Wiring


def linear_edges(wiring: Wiring) -> Tensor:
    """bool ``[E]``: edges that carry a linear weight in their first slot (published: ``mlp_edge_masks``)."""
    return wiring.edge_type == EdgeType.LINEAR


def last_map(wiring: Wiring) -> Tensor:
    """bool ``[N]``: the nodes of the last channels (published: ``spatial_embed_mask``)."""
    names = [own.name for own in wiring.nodes.values() if own.type == NodeType.CHANNEL][-1:]
    return wiring.node_column([own.name in names for own in wiring.nodes.values()]).bool()


def map_positions(wiring: Wiring) -> Tensor:
    """int64 ``[N]``: the position in its map of each node of a map that is flattened, -1 for all other nodes."""
    positions = torch.full((wiring.num_nodes,), -1)
    for block in wiring.blocks:
        if isinstance(block.values, View) and block.values.copies is not None:
            first, own = wiring.nodes[block.target].start, wiring.nodes[block.target].size
            axis = block.values.order.index(0)
            sizes = [block.shape[each] for each in block.target_axes]
            place = [1] * len(sizes)
            place[block.target_axes.index(axis)] = -1
            positions[first : first + own] = torch.arange(block.values.copies).view(place).expand(sizes).flatten()
    return positions


def fixed_edge_index(wiring: Wiring) -> Tensor:
    """int64 ``[2, edges]``: the ends of the edges that carry no parameter, such as residuals."""
    return wiring.edge_index()[:, wiring.edge_type == EdgeType.FIXED]


def degree_histogram(wirings: Iterable[Wiring]) -> Tensor:
    """int64 ``[largest in-degree + 1]``: how many nodes of all graphs have each in-degree, edges forward."""
    counts: list[Tensor] = []
    for wiring in wirings:
        degrees = torch.bincount(wiring.edge_index()[1], minlength=wiring.num_nodes)
        counts.append(torch.bincount(degrees))
    return torch.nn.utils.rnn.pad_sequence(counts).sum(1)


def both_ways(edge_index: Tensor) -> Tensor:
    """int64 ``[2, 2 E]``: the edges, then the same reversed."""
    return torch.cat([edge_index, edge_index.flip(0)], dim=1)


def both_ways_features(values: Tensor) -> Tensor:
    """``[..., 2 E, 3 slots]``: what edges carry both ways, given what they carry, ``[..., E, slots]``.

    That is ``[e_ij, e_ji, e_ij + e_ji]``. There being no edge from j to i beside that from i to j, it is ``[w, 0, w]``
    for the edge itself and ``[0, w, w]`` for the reversed one.
    """
    none = torch.zeros_like(values)
    return torch.cat([torch.cat([values, none, values], dim=-1), torch.cat([none, values, values], dim=-1)], dim=-2)


def dense(edge_index: Tensor, values: Tensor, num_nodes: int, elsewhere: Tensor | None = None) -> Tensor:
    """``[*batch, N, N, channels]``: entry ``[i, j]`` holds what the edge from i to j carries.

    Args:
        edge_index: int64 ``[2, E]``, no edge twice.
        values: ``[*batch, E, channels]``.
        num_nodes: N.
        elsewhere: ``[channels]``, what stands where no edge is; default zeros.
    """
    size = (*values.shape[:-2], num_nodes, num_nodes, values.shape[-1])
    matrix = values.new_zeros(size) if elsewhere is None else elsewhere.expand(size).clone()
    source, target = edge_index
    matrix[..., source, target, :] = values
    return matrix


def nonzero_mask(matrix: Tensor, symmetric: bool) -> Tensor:
    """int64 ``[*batch, N, N, 1]``: the published mask, 1 where a dense ``[*batch, N, N, 1]`` of edge values is not 0.

    It leaves out an edge whose value happens to be 0; ``Wiring.edge_index`` has all edges.

    Args:
        symmetric: Mark the reversed edges, too.
    """
    mask = matrix != 0
    return (mask | mask.transpose(-2, -3) if symmetric else mask).long()
