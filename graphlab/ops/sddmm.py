r"""Sampled dense-dense product: a score for each edge from the features at its ends.

.. math:: s_e = \langle q_i, k_j \rangle \quad\text{for each edge } e: j \to i

without gathering :math:`q_i` or :math:`k_j`. The gradients are :func:`~graphlab.ops.spmm` with the scores' gradients as
weights: :math:`\bar q_i = \sum_{e: j \to i} \bar s_e k_j` and the same over the transpose.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphlab.ops.adjacency import Adjacency, as_adjacency
from graphlab.ops.dispatch import implement
from graphlab.ops.library import ADJACENCY, accumulated, define, transposed
from graphlab.ops.spmm import targets


def sddmm(adj: Any, q: Tensor, k: Tensor) -> Tensor:
    """Inner products along edges.

    Args:
        adj: An :class:`~graphlab.ops.Adjacency`, an ``edge_index`` or ``(rowptr, col)``.
        q: Features of the targets, ``[num_targets, channels]`` or ``[num_targets, heads, channels]``.
        k: Features of the sources, ``[num_sources, (heads,) channels]``, of the same dtype.

    Returns:
        ``[num_edges]`` or ``[num_edges, heads]``, in the order of the edges.

    Raises:
        ValueError: for sizes, dtypes or devices that do not fit.
    """
    if q.dim() not in (2, 3) or q.shape[1:] != k.shape[1:] or not q.is_floating_point():
        raise ValueError(
            f"q, k: expected floating [num_nodes, (heads,) channels] alike, got {list(q.shape)} and {list(k.shape)}"
        )
    given = as_adjacency(adj, k.shape[0], q.shape[0])
    if q.shape[0] != given.num_targets:
        raise ValueError(f"q: expected {given.num_targets} rows, one a target, got {q.shape[0]}")
    if not (q.dtype == k.dtype and q.device == k.device == given.col.device):
        raise ValueError(f"q is {q.dtype} on {q.device}, k {k.dtype} on {k.device}, adj on {given.col.device}")
    if q.dim() == 3:
        scores: Tensor = _sddmm(*given, q, k)
        return scores
    return _sddmm(*given, q.unsqueeze(1), k.unsqueeze(1)).squeeze(1)  # type: ignore[no-any-return]


def _fake(*arguments: Any) -> Tensor:
    col, q = arguments[1], arguments[6]
    result: Tensor = q.new_empty(col.shape[0], q.shape[1])
    return result


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, ds: Tensor) -> tuple[Tensor | None, ...]:
    *parts, q, k = ctx.saved_tensors
    adj, spmm = Adjacency(*parts), torch.ops.graphlab.spmm
    ds = ds.contiguous()
    dq = spmm(*adj, ds, k, None, False) if ctx.needs_input_grad[6] else None
    dk = spmm(*transposed(adj, k.shape[0]), ds, q, None, False) if ctx.needs_input_grad[7] else None
    return (*(None,) * 6, dq, dk)


_sddmm = define("sddmm", f"({ADJACENCY}, Tensor q, Tensor k) -> Tensor", _fake, _save, _backward)


@implement("sddmm", "reference")
def reference(adj: Adjacency, q: Tensor, k: Tensor) -> Tensor:
    """Gather both ends and multiply."""
    scores = (accumulated(q)[targets(adj)] * accumulated(k)[adj.col.long()]).sum(dim=-1).to(q.dtype)
    if adj.perm is None:
        return scores
    return torch.empty_like(scores).index_copy_(0, adj.perm.long(), scores)
