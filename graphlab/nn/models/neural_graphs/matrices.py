"""Graphs as matrices of all ordered pairs of nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphlab.nn.models.neural_graphs.edges import Edges
from graphlab.nn.models.neural_graphs.graphs import Graphs


@dataclass(frozen=True, eq=False)
class Matrix:
    """Several graphs of one size, or padded to it.

    Attributes:
        graphs: int64 ``[B]``: which graphs.
        nodes: int64 ``[B, N]``: numbers of their nodes, -1 for padding.
        edges: int64: numbers of their edges, of all edges one after the other.
        places: int64, as many: where each lies in ``[B * N * N]``.
    """

    graphs: Tensor
    nodes: Tensor
    edges: Tensor
    places: Tensor

    def node_rows(self, x: Tensor, padding: Tensor) -> Tensor:
        """``[B, N, channels]``: the rows of ``x`` ``[num_nodes, channels]``, ``[channels]`` for padding."""
        if int(self.nodes.min()) >= 0:
            return x[self.nodes]
        return torch.where((self.nodes >= 0).unsqueeze(-1), x[self.nodes.clamp(min=0)], padding)

    def pairs(self, states: Tensor, elsewhere: Tensor) -> Tensor:
        """``[B, N, N, channels]``: what edges carry, and ``elsewhere`` ``[channels]`` where there is none.

        Edges between the same nodes add up, as far as they differ from that.
        """
        batch, size = self.nodes.shape
        states = states[self.edges] if len(self.edges) < len(states) else states
        matrix = elsewhere.expand(batch * size * size, -1)
        if len(self.places.unique()) == len(self.places):
            matrix = matrix.index_copy(0, self.places, states)
        else:
            matrix = matrix.index_add(0, self.places, states - elsewhere)
        return matrix.view(batch, size, size, -1)


def matrices(graphs: Graphs, edges: Sequence[Edges], padded: bool = False) -> list[Matrix]:
    """One for the graphs of each size, so that nothing is padded; or, ``padded``, one as large as the largest."""
    sizes, first = graphs.ptr.diff(), graphs.ptr[:-1]
    ends = [[end.flatten().to(sizes.device) for end in own.numbers()] for own in edges]
    sender, receiver = (torch.cat(own) for own in zip(*ends, strict=True))
    graph = graphs.graph[sender]
    source, target = sender - first[graph], receiver - first[graph]
    groups = [torch.arange(len(sizes), device=sizes.device)]
    if not padded:
        groups = [(sizes == size).nonzero().squeeze(1) for size in sizes.unique()]
    found = []
    for group in groups:
        size = int(sizes[group].max())
        place = torch.arange(size, device=sizes.device)
        nodes = torch.where(place < sizes[group].unsqueeze(1), first[group].unsqueeze(1) + place, -1)
        row = torch.full_like(sizes, -1)
        row[group] = torch.arange(len(group), device=sizes.device)
        here = (row[graph] >= 0).nonzero().squeeze(1)
        places = (row[graph[here]] * size + source[here]) * size + target[here]
        found.append(Matrix(group, nodes, here, places))
    return found
