"""Sums, means and extrema of neighbours against PyG's ``SimpleConv``, torch-sparse, torch-scatter and torch's CSR."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from benchmarks.graphs import CHANNELS, CORA, LARGE, MIDDLE, gigabytes, graph
from benchmarks.harness import Call, Row
from benchmarks.ops_rows.peers import fitting, installed, sparse_tensor

GOALS = {16: (10.0, 2.0, 1.2), 64: (7.0, 2.0, 1.5), 256: (5.0, 2.0, 1.5)}
"""By channels: times faster than ``SimpleConv`` and torch-sparse in sums and means, than torch-sparse in extrema."""
SPARSE = "PyG on torch-sparse"


def row(name: str, size: str, reduce: Any, channels: int) -> Row:
    from torch_geometric.nn import SimpleConv

    from graphlab.ops import adjacency, spmm

    edge_index, nodes = graph(size)
    adj, conv = adjacency(edge_index, nodes), SimpleConv(aggr=reduce)
    x = torch.randn(nodes, channels, requires_grad=True)
    sums, one = reduce in ("sum", "mean"), edge_index.shape[1] * channels * 4e-6
    peers: dict[str, tuple[Call, float]] = {"PyG": (lambda x: conv(x, edge_index), one * (2 if sums else 5))}
    if installed("torch_sparse"):
        matrix = sparse_tensor(edge_index, nodes)
        peers[SPARSE] = (lambda x: conv(x, matrix), 0.0)
    if installed("torch_scatter"):
        peers["torch-scatter"] = (_scatter(adj, edge_index[0], reduce), 2 * one)
    if sums:
        peers["torch CSR"] = (_csr(adj, nodes, reduce), 0.0)
    kept, left_out = fitting(peers)
    return Row(
        name,
        lambda x: spmm(adj, x, reduce=reduce),
        kept,
        (x,),
        gigabytes(nodes, edge_index.shape[1], channels),
        goals=_goals(size, sums, channels),
        left_out=left_out,
    )


def _goals(size: str, sums: bool, channels: int) -> dict[str, float]:
    plain, sparse, extreme = GOALS[channels]
    if size == MIDDLE:
        return {"PyG": plain, SPARSE: sparse} if sums else {SPARSE: extreme}
    return {"PyG": 4.0} if size == CORA and sums else {}


def _scatter(adj: Any, source: Tensor, reduce: str) -> Call:
    from torch_scatter import segment_csr

    rowptr = adj.rowptr.long()

    def call(x: Tensor) -> Tensor:
        y: Tensor = segment_csr(x.index_select(0, source), rowptr, reduce=reduce)
        return y

    return call


def _csr(adj: Any, nodes: int, reduce: str) -> Call:
    """torch's own product, with the transpose at hand for its gradient."""
    share = torch.ones(nodes) if reduce == "sum" else adj.rowptr.diff().clamp(min=1).float().reciprocal()
    targets = torch.repeat_interleave(adj.rowptr.diff().long())
    matrix = torch.sparse_csr_tensor(adj.rowptr, adj.col, share[targets], (nodes, nodes))
    turned = torch.sparse_csr_tensor(adj.t_rowptr, adj.t_col, share[adj.t_col.long()], (nodes, nodes))

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
            return matrix @ x

        @staticmethod
        def backward(ctx: Any, dy: Tensor) -> Tensor:  # type: ignore[override]  # noqa: ARG004
            return turned @ dy

    product: Call = Product.apply
    return product


def _group(size: str, cases: list[tuple[str, int]]) -> dict[str, functools.partial[Row]]:
    names = {f"spmm {reduce}, {size}, {channels}": (reduce, channels) for reduce, channels in cases}
    return {name: functools.partial(row, name, size, *case) for name, case in names.items()}


EVERY = [(reduce, channels) for reduce in ("sum", "mean", "min", "max") for channels in CHANNELS]
GROUPS = [
    _group(CORA, EVERY),
    _group(MIDDLE, EVERY),
    _group(LARGE, [("sum", channels) for channels in CHANNELS] + [("max", 64)]),
]
