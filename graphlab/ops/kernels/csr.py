"""Sums and means by torch's own sparse products on a CPU: Intel's library, for a torch built with it, without numba."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from graphlab.ops.adjacency import Adjacency
from graphlab.ops.dispatch import implement


def supports(adj: Adjacency, weight: Tensor | None, x: Tensor, scale: Tensor | None, mean: bool) -> bool:
    """Single and double precision."""
    return x.is_cpu and x.dtype in (torch.float32, torch.float64)


def spmm(adj: Adjacency, weight: Tensor | None, x: Tensor, scale: Tensor | None, mean: bool) -> Tensor:
    """A product for each head; a mean divides the sums."""
    return by_heads(product, adj, weight, x, scale, mean)


if torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
    implement("spmm", "csr", supports)(spmm)


def product(adj: Adjacency, values: Tensor, x: Tensor) -> Tensor:
    """The matrix of these entries times ``[num_sources, channels]``."""
    if adj.num_edges == 0 or x.numel() == 0:
        return x.new_zeros(adj.num_targets, x.shape[1])
    size = (adj.num_targets, x.shape[0])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        matrix = torch.sparse_csr_tensor(adj.rowptr, adj.col, values, size, check_invariants=False)
    return matrix @ x


def by_heads(
    multiply: Callable[[Adjacency, Tensor, Tensor], Tensor],
    adj: Adjacency,
    weight: Tensor | None,
    x: Tensor,
    scale: Tensor | None,
    mean: bool,
) -> Tensor:
    """``spmm`` by products of a matrix that has one value an edge."""
    x = x.detach() if scale is None else x.detach() * scale.detach().view(-1, 1, 1)
    y = x.new_empty(adj.num_targets, *x.shape[1:])
    if weight is None:
        y.flatten(1).copy_(multiply(adj, x.new_ones(adj.num_edges), x.flatten(1)))
    else:
        values = (weight if adj.perm is None else weight[adj.perm.long()]).detach().t().contiguous()
        for head, value in enumerate(values):
            y[:, head] = multiply(adj, value, x[:, head].contiguous())
    return y / adj.rowptr.diff().clamp(min=1).view(-1, 1, 1) if mean else y
