"""Scores of edges against the gathered rows of both ends."""

from __future__ import annotations

import functools

import torch

from benchmarks.graphs import CHANNELS, CORA, MIDDLE, gigabytes, graph
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


def _group(size: str, widths: tuple[int, ...]) -> dict[str, functools.partial[Row]]:
    names = {f"sddmm, {size}, {channels}": channels for channels in widths}
    return {name: functools.partial(row, name, size, channels) for name, channels in names.items()}


GROUPS = [_group(CORA, (64,)), _group(MIDDLE, CHANNELS)]
