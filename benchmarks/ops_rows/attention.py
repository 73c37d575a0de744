"""Fused attention against PyTorch Geometric's layers with the same parameters, linear maps included."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.graphs import CHANNELS, CORA, LARGE, MIDDLE, gigabytes, graph
from benchmarks.harness import Row
from benchmarks.ops_rows.peers import fitting, installed, sparse_tensor

HEADS = 4
Layer = Callable[[Tensor], Tensor]


def gatv2(name: str, size: str, width: int) -> Row:
    from torch_geometric.nn import GATv2Conv

    from graphlab.ops import adjacency, gatv2_attention

    edge_index, nodes = graph(size)
    adj = adjacency(edge_index, nodes)
    layer = GATv2Conv(width, width // HEADS, HEADS, add_self_loops=False, bias=False)

    def ours(x: Tensor) -> Tensor:
        source, target = (linear(x).view(nodes, HEADS, -1) for linear in (layer.lin_l, layer.lin_r))
        return gatv2_attention(adj, target, source, layer.att[0]).flatten(1)

    return _row(name, ours, "GATv2Conv", layer, size, width)


def gat(name: str, size: str, width: int) -> Row:
    from torch_geometric.nn import GATConv

    from graphlab.ops import adjacency, gat_attention

    edge_index, nodes = graph(size)
    adj = adjacency(edge_index, nodes)
    layer = GATConv(width, width // HEADS, HEADS, add_self_loops=False, bias=False)

    def ours(x: Tensor) -> Tensor:
        h = layer.lin(x).view(nodes, HEADS, -1)
        return gat_attention(adj, (h * layer.att_dst).sum(-1), (h * layer.att_src).sum(-1), h).flatten(1)

    return _row(name, ours, "GATConv", layer, size, width)


def dot(name: str, size: str, width: int) -> Row:
    from torch_geometric.nn import TransformerConv

    from graphlab.ops import adjacency, graph_attention

    edge_index, nodes = graph(size)
    adj = adjacency(edge_index, nodes)
    layer = TransformerConv(width, width // HEADS, HEADS, root_weight=False, bias=False)
    linears = (layer.lin_query, layer.lin_key, layer.lin_value)

    def ours(x: Tensor) -> Tensor:
        return graph_attention(adj, *(linear(x).view(nodes, HEADS, -1) for linear in linears)).flatten(1)

    return _row(name, ours, "TransformerConv", layer, size, width)


def _row(name: str, ours: Layer, peer: str, layer: Callable[..., Tensor], size: str, width: int) -> Row:
    edge_index, nodes = graph(size)
    x = torch.randn(nodes, width, requires_grad=True)
    megabytes = 6 * edge_index.shape[1] * width * 4e-6
    peers = {peer: (lambda x: layer(x, edge_index), megabytes)}
    if peer == "GATv2Conv" and installed("torch_sparse"):
        matrix = sparse_tensor(edge_index, nodes)
        peers[f"{peer} on torch-sparse"] = (lambda x: layer(x, matrix), megabytes)
    kept, left_out = fitting(peers)
    judged = peer == "GATv2Conv" and size == MIDDLE
    return Row(
        name,
        ours,
        kept,
        (x,),
        gigabytes(nodes, edge_index.shape[1], width),
        goals={peer: 4.0} if judged else {},
        memory={peer: 0.25} if judged else {},
        left_out=left_out,
    )


def _group(size: str, widths: tuple[int, ...]) -> dict[str, functools.partial[Row]]:
    names = {f"{kind.__name__} attention, {size}, {width}": (kind, width) for width in widths for kind in KINDS}
    return {name: functools.partial(kind, name, size, width) for name, (kind, width) in names.items()}


KINDS = (gatv2, gat, dot)
GROUPS = [_group(CORA, (64,)), _group(MIDDLE, CHANNELS), _group(LARGE, (64,))]
