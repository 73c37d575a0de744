r"""Node features that are mostly zeros, kept as their non-zero entries.

.. math:: Y = X W^\top + b, \qquad Y_i = b + \sum_{f:\, X_{if} \ne 0} X_{if}\, W_{:,f}

is a sum over the edges of the graph that joins each node to its features: :func:`~graphlab.ops.spmm`. Dropping out the
non-zero entries alone gives the distribution of dropping out all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphlab.ops.adjacency import Adjacency, adjacency, remembered
from graphlab.ops.spmm import spmm

DENSITY = 0.1
"""The share of non-zero entries up to which they are multiplied alone; on one core that pays up to 0.3 (measured)."""


@dataclass(frozen=True, eq=False)
class SparseFeatures:
    """``X`` of the shape ``[num_nodes, num_features]``: an edge to a node from each feature that it has.

    Attributes:
        adj: Rows are nodes, columns are features.
        value: ``[num_nonzero]``, in the order of the rows.
    """

    adj: Adjacency
    value: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """``(num_nodes, num_features)``."""
        return self.adj.num_targets, self.adj.transposed.num_targets

    @property
    def dtype(self) -> torch.dtype:
        return self.value.dtype

    def to_dense(self) -> Tensor:
        """``[num_nodes, num_features]``."""
        node = torch.repeat_interleave(self.adj.rowptr.diff())
        return self.value.new_zeros(self.shape).index_put_((node, self.adj.col.long()), self.value)


Features = Tensor | SparseFeatures


def sparse_features(x: Tensor) -> Features:
    """Features in the form in which they are multiplied fastest; found out once for each tensor that is given again.

    Args:
        x: ``[num_nodes, num_features]``, dense or sparse (COO or CSR).

    Returns:
        ``x`` itself if it is dense and more than ``DENSITY`` of it is not zero, or it requires gradients.

    Raises:
        ValueError: for another shape, another sparse layout, sparse features that require gradients, and integers.
    """
    if x.dim() != 2 or not x.is_floating_point():
        raise ValueError(f"x: expected floating [num_nodes, num_features], got {x.dtype} {list(x.shape)}")
    if x.layout is torch.strided and (x.requires_grad or torch.compiler.is_compiling()):
        return x
    if x.requires_grad:
        raise ValueError("x: sparse features are constants here, but they require gradients; give them dense")
    if x.layout not in (torch.strided, torch.sparse_coo, torch.sparse_csr):
        raise ValueError(f"x: expected a dense tensor, or a sparse one of COO or CSR, got {x.layout}")
    found = remembered(x, "features", lambda: _found(x))
    return x if found is None else found


def _found(x: Tensor) -> SparseFeatures | None:
    if x.layout is torch.strided:
        if int(torch.count_nonzero(x)) > DENSITY * x.numel():
            return None
        node, feature = x.nonzero().unbind(1)
        value = x[node, feature]
    else:
        entries = x.to_sparse(layout=torch.sparse_coo).coalesce()
        (node, feature), value = entries.indices().unbind(0), entries.values().clone()
    return SparseFeatures(adjacency(torch.stack([feature, node]), (x.shape[1], x.shape[0])), value)


def dense(x: Features) -> list[Tensor]:
    """The features in a list if they are dense, else none."""
    return [x] if isinstance(x, Tensor) else []


def dropout(x: Features, p: float, training: bool) -> Features:
    """Each entry zero with probability ``p`` in ``[0, 1)`` and divided by ``1 - p`` otherwise, if ``training``.

    On a CPU this draws uniform numbers, which takes a quarter of the time of PyTorch's own (measured).
    """
    if not training or p == 0:
        return x
    if isinstance(x, SparseFeatures):
        return SparseFeatures(x.adj, _dropped(x.value, p))
    return _dropped(x, p)


def _dropped(x: Tensor, p: float) -> Tensor:
    return x * torch.rand_like(x).ge_(p).div_(1 - p) if x.is_cpu else functional.dropout(x, p)


def linear(layer: nn.Linear, x: Features) -> Tensor:
    """``layer(x)`` of a linear layer, PyTorch's or PyTorch Geometric's: ``[num_nodes, out_channels]``."""
    if isinstance(x, Tensor):
        y: Tensor = layer(x)
        return y
    product = spmm(x.adj, layer.weight.t(), x.value)
    return product if layer.bias is None else product + layer.bias
