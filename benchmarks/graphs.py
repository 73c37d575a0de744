"""Graphs to measure on: Cora (from the folder ``$GRAPHLAB_DATA``), and power laws."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

CORA, MIDDLE, LARGE = "Cora", "power 100k/1M", "power 1M/10M"
POWER = {MIDDLE: (100_000, 1_000_000), LARGE: (1_000_000, 10_000_000)}
CHANNELS = (16, 64, 256)


@functools.cache
def graph(name: str) -> tuple[Tensor, int]:
    """``edge_index``, sorted by target and then by source, and the number of nodes."""
    if name == CORA:
        from graphlab.datasets import load

        data = load("cora")
        (source, target), nodes = data.edge_index, data.num_nodes
    else:
        source, target, nodes = _power(*POWER[name])
    order = (target * nodes + source).argsort()
    return torch.stack([source[order], target[order]]), nodes


def _power(nodes: int, edges: int) -> tuple[Tensor, Tensor, int]:
    generator = torch.Generator().manual_seed(0)
    cumulative = torch.arange(1, nodes + 1, dtype=torch.float64).pow(-0.6).cumsum(0)
    ends = [torch.rand(edges, generator=generator, dtype=torch.float64) * cumulative[-1] for _ in range(2)]
    source, target = (torch.randperm(nodes, generator=generator)[torch.searchsorted(cumulative, end)] for end in ends)
    return source, target, nodes


def gigabytes(nodes: int, edges: int, channels: int) -> float:
    """Of a product: rows read once, results written once, the indices."""
    return (8 * nodes * channels + 4 * (nodes + edges)) / 1e9
