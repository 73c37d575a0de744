"""Several statistics of neighbours at once against one scatter each; softmax over segments against PyG's."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.graphs import CHANNELS, SIZES, gigabytes, graph
from benchmarks.harness import Row


def stats(name: str, size: str, channels: int) -> Row:
    from torch_geometric.nn import aggr

    from graphlab.ops import adjacency, spmm_stats

    edge_index, nodes = graph(size)
    adj, (source, target) = adjacency(edge_index, nodes), edge_index
    layers = [aggr.MeanAggregation(), aggr.MinAggregation(), aggr.MaxAggregation(), aggr.StdAggregation()]

    def scatters(x: Tensor) -> Tensor:
        messages = x[source]
        return torch.stack([layer(messages, target, dim_size=nodes) for layer in layers], dim=1)

    x = torch.randn(nodes, channels, requires_grad=True)
    return Row(
        name,
        lambda x: spmm_stats(adj, x),
        {"four scatters": scatters},
        (x,),
        gigabytes(nodes, edge_index.shape[1], channels),
        tolerance=1e-3,  # PyG computes the variance as E[x^2] - E[x]^2
        goals={"four scatters": 4.0},
    )


def softmax(name: str, size: str) -> Row:
    from torch_geometric.utils import softmax as pyg

    from graphlab.ops import adjacency, segment_softmax

    edge_index, nodes = graph(size)
    rowptr = adjacency(edge_index, nodes).rowptr
    target = torch.repeat_interleave(rowptr.diff().long())
    scores = torch.randn(target.numel(), 4, requires_grad=True)
    return Row(
        name,
        lambda s: segment_softmax(s, rowptr),
        {"PyG": lambda s: pyg(s, target, num_nodes=nodes)},
        (scores,),
        2 * scores.numel() * 4 / 1e9,
    )


ROWS: dict[str, Callable[[], Row]] = {
    **{
        f"statistics, {size}, {channels}": functools.partial(stats, f"statistics, {size}, {channels}", size, channels)
        for size in SIZES
        for channels in CHANNELS
    },
    **{f"segment softmax, {size}": functools.partial(softmax, f"segment softmax, {size}", size) for size in SIZES},
}
