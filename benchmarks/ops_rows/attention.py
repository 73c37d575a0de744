"""Fused attention against PyTorch Geometric's layers with the same parameters, linear maps included."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.graphs import SIZES, gigabytes, graph
from benchmarks.harness import Row

HEADS, CHANNELS = 4, 16
WIDTH = HEADS * CHANNELS


def gatv2(name: str, size: str) -> Row:
    from torch_geometric.nn import GATv2Conv

    from graphlab.ops import adjacency, gatv2_attention

    edge_index, nodes = graph(size)
    adj = adjacency(edge_index, nodes)
    layer = GATv2Conv(WIDTH, CHANNELS, HEADS, add_self_loops=False, bias=False)

    def ours(x: Tensor) -> Tensor:
        source, target = (linear(x).view(nodes, HEADS, CHANNELS) for linear in (layer.lin_l, layer.lin_r))
        return gatv2_attention(adj, target, source, layer.att[0]).flatten(1)

    return _row(name, ours, "GATv2Conv", lambda x: layer(x, edge_index), nodes, edge_index, {"GATv2Conv": 4.0})


def gat(name: str, size: str) -> Row:
    from torch_geometric.nn import GATConv

    from graphlab.ops import adjacency, gat_attention

    edge_index, nodes = graph(size)
    adj = adjacency(edge_index, nodes)
    layer = GATConv(WIDTH, CHANNELS, HEADS, add_self_loops=False, bias=False)

    def ours(x: Tensor) -> Tensor:
        h = layer.lin(x).view(nodes, HEADS, CHANNELS)
        return gat_attention(adj, (h * layer.att_dst).sum(-1), (h * layer.att_src).sum(-1), h).flatten(1)

    return _row(name, ours, "GATConv", lambda x: layer(x, edge_index), nodes, edge_index, {})


def dot(name: str, size: str) -> Row:
    from torch_geometric.nn import TransformerConv

    from graphlab.ops import adjacency, graph_attention

    edge_index, nodes = graph(size)
    adj = adjacency(edge_index, nodes)
    layer = TransformerConv(WIDTH, CHANNELS, HEADS, root_weight=False, bias=False)
    linears = (layer.lin_query, layer.lin_key, layer.lin_value)

    def ours(x: Tensor) -> Tensor:
        return graph_attention(adj, *(linear(x).view(nodes, HEADS, CHANNELS) for linear in linears)).flatten(1)

    return _row(name, ours, "TransformerConv", lambda x: layer(x, edge_index), nodes, edge_index, {})


def _row(
    name: str,
    ours: Callable[[Tensor], Tensor],
    peer: str,
    layer: Callable[[Tensor], Tensor],
    nodes: int,
    edge_index: Tensor,
    goals: dict[str, float],
) -> Row:
    x = torch.randn(nodes, WIDTH, requires_grad=True)
    return Row(name, ours, {peer: layer}, (x,), gigabytes(nodes, edge_index.shape[1], WIDTH), goals=goals)


ROWS: dict[str, Callable[[], Row]] = {
    f"{kind.__name__} attention, {size}": functools.partial(kind, f"{kind.__name__} attention, {size}", size)
    for size in SIZES
    for kind in (gatv2, gat, dot)
}
