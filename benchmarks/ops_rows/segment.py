"""Several statistics of neighbours at once against one scatter each; softmax over segments against PyG's."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from benchmarks.graphs import CHANNELS, CORA, LARGE, MIDDLE, gigabytes, graph
from benchmarks.harness import Call, Row
from benchmarks.ops_rows.peers import fitting, installed


def stats(name: str, size: str, channels: int) -> Row:
    from torch_geometric.nn import aggr

    from graphlab.ops import adjacency, spmm_stats

    edge_index, nodes = graph(size)
    adj, (source, target) = adjacency(edge_index, nodes), edge_index
    layers = [aggr.MeanAggregation(), aggr.MinAggregation(), aggr.MaxAggregation(), aggr.StdAggregation()]

    def scatters(x: Tensor) -> Tensor:
        messages = x[source]
        return torch.stack([layer(messages, target, dim_size=nodes) for layer in layers], dim=1)

    megabytes = edge_index.shape[1] * channels * 4e-6
    peers: dict[str, tuple[Call, float]] = {"four scatters": (scatters, 6 * megabytes)}
    if installed("torch_scatter"):
        peers["torch-scatter"] = (_segments(adj, source), 4 * megabytes)
    kept, left_out = fitting(peers)
    return Row(
        name,
        lambda x: spmm_stats(adj, x),
        kept,
        (torch.randn(nodes, channels, requires_grad=True),),
        gigabytes(nodes, edge_index.shape[1], channels),
        tolerance=1e-3,
        exceptions=1e-5,  # the peers compute the variance as E[x^2] - E[x]^2, which is inexact near its floor
        goals={"four scatters": 4.0} if size == MIDDLE else {},
        left_out=left_out,
    )


def _segments(adj: Any, source: Tensor) -> Call:
    from torch_scatter import segment_csr

    rowptr = adj.rowptr.long()

    def call(x: Tensor) -> Tensor:
        messages = x.index_select(0, source)
        mean, least, most = (segment_csr(messages, rowptr, reduce=reduce) for reduce in ("mean", "min", "max"))
        variance = segment_csr(messages * messages, rowptr, reduce="mean") - mean * mean
        deviation = variance.clamp(min=1e-5).sqrt()
        return torch.stack([mean, least, most, deviation.masked_fill(variance <= 1e-5, 0)], dim=1)

    return call


def softmax(name: str, size: str) -> Row:
    from torch_geometric.utils import softmax as pyg

    from graphlab.ops import adjacency, segment_softmax

    edge_index, nodes = graph(size)
    rowptr = adjacency(edge_index, nodes).rowptr
    target = torch.repeat_interleave(rowptr.diff().long())
    scores = torch.randn(target.numel(), 4, requires_grad=True)
    peers: dict[str, Call] = {"PyG": lambda s: pyg(s, target, num_nodes=nodes)}
    if installed("torch_scatter"):
        from torch_scatter import scatter_softmax

        peers["torch-scatter"] = lambda s: scatter_softmax(s, target, dim=0, dim_size=nodes)
    return Row(name, lambda s: segment_softmax(s, rowptr), peers, (scores,), 2 * scores.numel() * 4 / 1e9)


def _group(size: str, widths: tuple[int, ...]) -> dict[str, functools.partial[Row]]:
    names = {f"statistics, {size}, {channels}": channels for channels in widths}
    rows = {name: functools.partial(stats, name, size, channels) for name, channels in names.items()}
    name = f"segment softmax, {size}"
    return rows | {name: functools.partial(softmax, name, size)}


GROUPS = [_group(CORA, (64,)), _group(MIDDLE, CHANNELS), _group(LARGE, (16, 64))]
