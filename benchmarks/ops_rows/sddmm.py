"""Scores of edges against the gathered rows of both ends."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from benchmarks.graphs import CHANNELS, SIZES, gigabytes, graph
from benchmarks.harness import Row


def row(name: str, size: str, channels: int) -> Row:
    from graphlab.ops import adjacency, sddmm

    edge_index, nodes = graph(size)
    adj, (source, target) = adjacency(edge_index, nodes), edge_index
    q, k = (torch.randn(nodes, channels, requires_grad=True) for _ in range(2))
    return Row(
        name,
        lambda q, k: sddmm(adj, q, k),
        {"gathers": lambda q, k: (q[target] * k[source]).sum(-1)},
        (q, k),
        gigabytes(nodes, edge_index.shape[1], channels),
    )


ROWS: dict[str, Callable[[], Row]] = {
    f"sddmm, {size}, {channels}": functools.partial(row, f"sddmm, {size}, {channels}", size, channels)
    for size in SIZES
    for channels in CHANNELS
}
