r"""Features sent along the edges several times.

.. math:: h_k = A^k x, \qquad y = \sum_{k=0}^{K} \gamma_k h_k

where :math:`(A h)_i = \sum_{e: j \to i} w_e h_j`. :func:`hops` gives every :math:`h_k`; :func:`propagate` adds them up
as they come and keeps none, forward or backward, since the gradients run down the transpose in the same way:

.. math:: v_k = (A^\top)^k \bar y, \qquad \bar x = \sum_k \gamma_k v_k, \qquad \bar\gamma_k = \langle x, v_k \rangle.

Personalised PageRank (Gasteiger, Bojchevski, Günnemann, "Predict then Propagate", ICLR 2019, eq. 4) is
:math:`\gamma_k = \alpha (1 - \alpha)^k` for :math:`k < K` and :math:`\gamma_K = (1 - \alpha)^K`; GPR-GNN (Chien et al.,
ICLR 2021, eq. 1) learns :math:`\gamma`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphlab.ops.adjacency import Adjacency, as_adjacency
from graphlab.ops.library import ADJACENCY, accumulated, define, transposed
from graphlab.ops.spmm import spmm


def propagate(adj: Any, x: Tensor, coefficients: Tensor, weight: Tensor | None = None) -> Tensor:
    """The sum of the hops with a coefficient each.

    Args:
        adj: An :class:`~graphlab.ops.Adjacency`, an ``edge_index`` or ``(rowptr, col)`` of as many sources as targets.
        x: ``[num_nodes, channels]``.
        coefficients: ``[steps + 1]``, of hop 0, 1, ..., in the dtype of ``x``.
        weight: Of the edges in their order, ``[num_edges]``; a constant. For weights that learn, add :func:`hops` up.

    Returns:
        ``[num_nodes, channels]``; differentiable in ``x`` and ``coefficients``. Hops of half precision are rounded to
        it, and added up in float32.

    Raises:
        ValueError: for sizes or dtypes that do not fit, and for weights that require gradients.
    """
    if coefficients.dim() != 1 or coefficients.numel() == 0 or coefficients.dtype != x.dtype:
        raise ValueError(
            f"coefficients: expected {x.dtype} [steps + 1], got {coefficients.dtype} {list(coefficients.shape)}"
        )
    if weight is not None and weight.requires_grad:
        raise ValueError("weight: a constant here, but it requires gradients; add up hops(...) instead")
    given = _square(adj, x)
    y: Tensor = _propagate(*given, weight, x, coefficients)
    return y


def hops(adj: Any, x: Tensor, steps: int, weight: Tensor | None = None) -> Tensor:
    """``[steps + 1, num_nodes, channels]``: ``x``, then what arrives after 1, 2, ... steps.

    Args:
        adj, x: As :func:`propagate`.
        steps: How many; 0 gives ``x`` alone.
        weight: Of the edges in their order, ``[num_edges]``; differentiable.

    Raises:
        ValueError: for sizes or dtypes that do not fit, and for negative ``steps``.
    """
    if steps < 0:
        raise ValueError(f"steps: expected 0 or more, got {steps}")
    given = _square(adj, x)
    found = [x]
    for _ in range(steps):
        found.append(spmm(given, found[-1], weight))
    return torch.stack(found)


def _square(adj: Any, x: Tensor) -> Adjacency:
    if x.dim() != 2 or not x.is_floating_point():
        raise ValueError(f"x: expected floating [num_nodes, channels], got {x.dtype} {list(x.shape)}")
    given = as_adjacency(adj, x.shape[0])
    if given.num_targets != x.shape[0]:
        raise ValueError(f"adj: expected as many targets as sources, got {given.num_targets} and {x.shape[0]}")
    return given


def _fake(*arguments: Any) -> Tensor:
    return torch.empty_like(arguments[7])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    *parts, weight, x, coefficients = ctx.saved_tensors
    turned = transposed(Adjacency(*parts), x.shape[0])
    if not ctx.needs_input_grad[8]:
        return (*(None,) * 7, _propagate(*turned, weight, dy.contiguous(), coefficients), None)
    dx, products = _with_products(*turned, weight, dy.contiguous(), coefficients, x)
    return (*(None,) * 7, dx, products)


def _sum(adj: Adjacency, weight: Tensor | None, h: Tensor, coefficients: Tensor) -> Tensor:
    return _sum_and_products(adj, weight, h, coefficients, None)[0]


def _sum_and_products(
    adj: Adjacency, weight: Tensor | None, h: Tensor, coefficients: Tensor, x: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The sum of the hops of ``h``, and the inner product of each with ``x``."""
    dtype, factors = h.dtype, accumulated(coefficients)
    total, products = accumulated(h) * factors[0], torch.zeros_like(factors)
    for step in range(coefficients.numel()):
        if step:
            h = spmm(adj, h, weight)
            total.addcmul_(accumulated(h), factors[step])
        if x is not None:
            products[step] = torch.dot(accumulated(x).flatten(), accumulated(h).flatten())
    return total.to(dtype), products.to(dtype)


def _products_fake(*arguments: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(arguments[7]), torch.empty_like(arguments[8])


_propagate = define(
    "propagate",
    f"({ADJACENCY}, Tensor? weight, Tensor x, Tensor coefficients) -> Tensor",
    _fake,
    _save,
    _backward,
    _sum,
)
_with_products = define(
    "propagate_products",
    f"({ADJACENCY}, Tensor? weight, Tensor h, Tensor coefficients, Tensor x) -> (Tensor, Tensor)",
    _products_fake,
    composed=_sum_and_products,
)
