"""Graphs with everything that kernels stumble over."""

from __future__ import annotations

import torch
from torch import Tensor

from graphlab.ops import Adjacency, adjacency


def edges(num_sources: int, num_targets: int, num_edges: int, seed: int = 0, ordered: bool = False) -> Tensor:
    """``[2, num_edges]``: a hub that gets a third of the edges, repeated edges, self-loops, nodes without edges."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(max(num_sources * 3 // 4, 1), (num_edges,), generator=generator)
    target = torch.randint(max(num_targets * 3 // 4, 1), (num_edges,), generator=generator)
    target[: num_edges // 3] = 0
    repeated = num_edges // 5
    source[num_edges - repeated :], target[num_edges - repeated :] = source[:repeated], target[:repeated]
    edge_index = torch.stack([source, target])
    return edge_index[:, target.argsort(stable=True)] if ordered else edge_index


def int64(adj: Adjacency) -> Adjacency:
    return Adjacency(*(None if part is None else part.long() for part in adj))


def graph(num_sources: int, num_targets: int, num_edges: int, seed: int = 0, ordered: bool = False) -> Adjacency:
    return adjacency(edges(num_sources, num_targets, num_edges, seed, ordered), (num_sources, num_targets))
