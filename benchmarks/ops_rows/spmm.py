"""Neighbour sums, means and maxima against PyG's ``SimpleConv``, torch-sparse and torch's CSR products."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.graphs import CHANNELS, SIZES, gigabytes, graph
from benchmarks.harness import Call, Row

GOALS = {16: (10.0, 2.0, 1.2), 64: (7.0, 2.0, 1.5), 256: (5.0, 2.0, 1.5)}
"""By channels: times faster than ``SimpleConv`` and torch-sparse in sums and means, than torch-sparse in extrema."""


def row(name: str, size: str, reduce: Any, channels: int) -> Row:
    from torch_geometric.nn import SimpleConv

    from graphlab.ops import adjacency, spmm

    edge_index, nodes = graph(size)
    adj, conv = adjacency(edge_index, nodes), SimpleConv(aggr=reduce)
    x = torch.randn(nodes, channels, requires_grad=True)
    peers: dict[str, Call] = {"PyG": lambda x: conv(x, edge_index)}
    if importlib.util.find_spec("torch_sparse"):
        from torch_sparse import SparseTensor

        matrix = SparseTensor(row=edge_index[1], col=edge_index[0], sparse_sizes=(nodes, nodes)).fill_cache_()
        peers["torch-sparse"] = lambda x: conv(x, matrix)
    if reduce == "sum":
        peers["torch CSR"] = _csr(adj, nodes)
    plain, sparse, extreme = GOALS[channels]
    sums = reduce in ("sum", "mean")
    goals = (
        {"PyG": 4.0 if size == "cora-like" else plain, "torch-sparse": sparse} if sums else {"torch-sparse": extreme}
    )
    size_ = gigabytes(nodes, edge_index.shape[1], channels)
    return Row(name, lambda x: spmm(adj, x, reduce=reduce), peers, (x,), size_, goals=goals)


def _csr(adj: Any, nodes: int) -> Call:
    """torch's own product, with the transpose at hand for its gradient."""
    ones = torch.ones(adj.num_edges)
    matrix = torch.sparse_csr_tensor(adj.rowptr, adj.col, ones, (nodes, nodes))
    turned = torch.sparse_csr_tensor(adj.t_rowptr, adj.t_col, ones, (nodes, nodes))

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
            return matrix @ x

        @staticmethod
        def backward(ctx: Any, dy: Tensor) -> Tensor:  # type: ignore[override]  # noqa: ARG004
            return turned @ dy

    product: Call = Product.apply
    return product


ROWS: dict[str, Callable[[], Row]] = {
    f"spmm {reduce}, {size}, {channels}": functools.partial(
        row, f"spmm {reduce}, {size}, {channels}", size, reduce, channels
    )
    for size in SIZES
    for reduce in ("sum", "mean", "max")
    for channels in CHANNELS
}
