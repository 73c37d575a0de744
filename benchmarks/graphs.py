"""Graphs to measure on: the size of Cora, and power laws."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

SIZES = {"cora-like": (2_708, 10_556), "power 100k/1M": (100_000, 1_000_000), "power 1M/10M": (1_000_000, 10_000_000)}
CHANNELS = (16, 64, 256)


@functools.cache
def graph(name: str) -> tuple[Tensor, int]:
    """``edge_index``, sorted by target and then by source, and the number of nodes."""
    nodes, edges = SIZES[name]
    generator = torch.Generator().manual_seed(0)
    cumulative = torch.arange(1, nodes + 1, dtype=torch.float64).pow(-0.6).cumsum(0)
    ends = [torch.rand(edges, generator=generator, dtype=torch.float64) * cumulative[-1] for _ in range(2)]
    source, target = (torch.randperm(nodes, generator=generator)[torch.searchsorted(cumulative, end)] for end in ends)
    order = (target * nodes + source).argsort()
    return torch.stack([source[order], target[order]]), nodes


def gigabytes(nodes: int, edges: int, channels: int) -> float:
    """Of a product: rows read once, results written once, the indices."""
    return (8 * nodes * channels + 4 * (nodes + edges)) / 1e9
