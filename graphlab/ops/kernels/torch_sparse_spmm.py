"""Sums and means by torch-sparse, where it is installed."""

from __future__ import annotations

import torch
import torch_sparse
from torch import Tensor

from graphlab.ops.adjacency import Adjacency
from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.csr import by_heads


def supports(adj: Adjacency, weight: Tensor | None, x: Tensor, scale: Tensor | None, mean: bool) -> bool:
    """Single and double precision."""
    return x.dtype in (torch.float32, torch.float64)


@implement("spmm", "torch_sparse", supports)
def spmm(adj: Adjacency, weight: Tensor | None, x: Tensor, scale: Tensor | None, mean: bool) -> Tensor:
    """A product for each head; a mean divides the sums."""
    return by_heads(product, adj, weight, x, scale, mean)


def product(adj: Adjacency, values: Tensor, x: Tensor) -> Tensor:
    """The matrix of these entries times ``[num_sources, channels]``."""
    if adj.num_edges == 0 or x.numel() == 0:
        return x.new_zeros(adj.num_targets, x.shape[1])
    matrix = torch_sparse.SparseTensor(
        rowptr=adj.rowptr.long(),
        col=adj.col.long(),
        value=values,
        sparse_sizes=(adj.num_targets, x.shape[0]),
        is_sorted=True,
        trust_data=True,
    )
    y: Tensor = torch_sparse.matmul(matrix, x, reduce="sum")
    return y
