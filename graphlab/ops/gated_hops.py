r"""Features sent along the edges several times, each hop weighed at each node by a learned gate.

.. math:: h_0 = x, \quad h_k = A h_{k-1}, \qquad s_{k,i} = \sigma(\langle h_{k,i}, w \rangle + b), \qquad
    y_i = \sum_{k=0}^{K} s_{k,i}\, h_{k,i}

(Liu, Gao, Ji, "Towards Deeper Graph Neural Networks", KDD 2020, eqs. 8 to 11). Hops are added up as they come: without
gradients none is kept, with gradients the :math:`K + 1` hops are and nothing else; the gates are computed again. The
gradient runs down the transpose from the last hop:

.. math:: t_{k,i} = s_{k,i} (1 - s_{k,i}) \langle h_{k,i}, \bar y_i \rangle, \qquad
    v_k = A^\top v_{k+1} + s_k \bar y + t_k w^\top, \qquad
    \bar x = v_0, \quad \bar w = \sum_{k,i} t_{k,i} h_{k,i}, \quad \bar b = \sum_{k,i} t_{k,i}.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from graphlab.ops.adjacency import Adjacency, as_adjacency
from graphlab.ops.dispatch import forced, implement, run
from graphlab.ops.library import ADJACENCY, define, transposed
from graphlab.ops.spmm import spmm

NARROW = 16
"""Fewer channels are padded to so many on a CPU: sparse products of fewer take up to 2.5 times as long (measured)."""


def gated_hops(
    adj: Any, x: Tensor, steps: int, gate: Tensor, bias: Tensor | None = None, weight: Tensor | None = None
) -> Tensor:
    """The gated sum of ``x`` and what arrives after 1, 2, ... steps.

    Args:
        adj: An :class:`~graphlab.ops.Adjacency`, an ``edge_index`` or ``(rowptr, col)`` of as many sources as targets.
        x: ``[num_nodes, channels]``.
        steps: How many; 0 gives ``x`` times its gate.
        gate: ``[channels]``, in the dtype of ``x``.
        bias: Of the gate, ``[1]``; default 0.
        weight: Of the edges in their order, ``[num_edges]``; a constant.

    Returns:
        ``[num_nodes, channels]``; differentiable in ``x``, ``gate`` and ``bias``.

    Raises:
        ValueError: for sizes or dtypes that do not fit, negative ``steps``, and weights that require gradients.
    """
    if x.dim() != 2:
        raise ValueError(f"x: expected [num_nodes, channels], got {list(x.shape)}")
    if steps < 0:
        raise ValueError(f"steps: expected 0 or more, got {steps}")
    if gate.shape != x.shape[1:] or gate.dtype != x.dtype:
        raise ValueError(f"gate: expected {x.dtype} [{x.shape[1]}], got {gate.dtype} {list(gate.shape)}")
    if bias is not None and (bias.shape != (1,) or bias.dtype != x.dtype):
        raise ValueError(f"bias: expected {x.dtype} [1], got {bias.dtype} {list(bias.shape)}")
    if weight is not None and weight.requires_grad:
        raise ValueError("weight: a constant here, but it requires gradients; weigh hops(...) instead")
    given = as_adjacency(adj, x.shape[0])
    if given.num_targets != x.shape[0]:
        raise ValueError(f"adj: expected as many targets as sources, got {given.num_targets} and {x.shape[0]}")
    learned = any(part is not None and part.requires_grad for part in (x, gate, bias))
    keep = torch.is_grad_enabled() and learned
    bias = x.new_zeros(1) if bias is None else bias
    extra = max(NARROW - x.shape[1], 0) if x.is_cpu else 0
    if extra:
        x, gate = functional.pad(x, (0, extra)), functional.pad(gate, (0, extra))
    y: Tensor = _gated_hops(*given, weight, x, gate, bias, steps, keep)[0]
    return y[:, : y.shape[1] - extra]


@implement("gated_hops", "reference")
def reference(
    adj: Adjacency, weight: Tensor | None, x: Tensor, gate: Tensor, bias: Tensor, steps: int, keep: bool
) -> tuple[Tensor, Tensor]:
    """The gated sum, and hops 1 to ``steps`` if they are to be kept; of sparse products."""
    h, kept = x, x.new_empty(steps if keep else 0, *x.shape)
    y = x * _gates(x, gate, bias)
    for step in range(steps):
        h = spmm(adj, h, weight)
        if keep:
            kept[step] = h
        y.addcmul_(h, _gates(h, gate, bias))
    return y, kept


def _gates(h: Tensor, gate: Tensor, bias: Tensor) -> Tensor:
    """``[num_nodes, 1]``."""
    return torch.addmv(bias, h, gate).sigmoid_().unsqueeze(1)


@implement("gated_hops_gradient", "reference")
def gradient_reference(
    adj: Adjacency, weight: Tensor | None, x: Tensor, gate: Tensor, bias: Tensor, kept: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of ``x``, the gate and its bias, on the transposed adjacency."""
    dx, dgate, dbias = torch.zeros_like(x), torch.zeros_like(gate), torch.zeros_like(bias)
    for step in range(len(kept), -1, -1):
        h = kept[step - 1] if step else x
        s = _gates(h, gate, bias)
        t = ((h * dy).sum(dim=1, keepdim=True)).mul_(s).mul_(1 - s)
        if step < len(kept):
            dx = spmm(adj, dx, weight)
        dx.addcmul_(dy, s).addcmul_(t, gate)
        dgate.addmv_(h.t(), t.squeeze(1))
        dbias += t.sum()
    return dx, dgate, dbias


def _sum(adj: Adjacency, *arguments: Any) -> tuple[Tensor, Tensor]:
    return _own(reference, "gated_hops")(adj, *arguments)  # type: ignore[no-any-return]


def _gradient_sum(adj: Adjacency, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    return _own(gradient_reference, "gated_hops_gradient")(adj, *arguments)  # type: ignore[no-any-return]


def _own(composed: Callable[..., Any], operator: str) -> Callable[..., Any]:
    """The operator's own implementation if no backend is asked for; else sparse products, on that backend."""
    return composed if forced() else functools.partial(run, operator)


def _fake(*arguments: Any) -> tuple[Tensor, Tensor]:
    x, steps, keep = arguments[7], arguments[10], arguments[11]
    return torch.empty_like(x), x.new_empty(steps if keep else 0, *x.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, _, _ = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, dy: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    *parts, weight, x, gate, bias, kept = ctx.saved_tensors
    turned = transposed(Adjacency(*parts), x.shape[0])
    return (*(None,) * 7, *_gradient(*turned, weight, x, gate, bias, kept, dy.contiguous()), None, None)


def _gradient_fake(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    x, gate, bias = (torch.empty_like(part) for part in arguments[7:10])
    return x, gate, bias


_gated_hops = define(
    "gated_hops",
    f"({ADJACENCY}, Tensor? weight, Tensor x, Tensor gate, Tensor bias, int steps, bool keep) -> (Tensor, Tensor)",
    _fake,
    _save,
    _backward,
    _sum,
)
_gradient = define(
    "gated_hops_gradient",
    f"({ADJACENCY}, Tensor? weight, Tensor x, Tensor gate, Tensor bias, Tensor kept, Tensor dy) "
    "-> (Tensor, Tensor, Tensor)",
    _gradient_fake,
    composed=_gradient_sum,
)
