r"""What the rows and the columns of dense blocks have in common: maxima, means or sums over either axis, at once.

.. math:: r_i = \mathrm{pool}_j\, x_{ij}, \qquad c_j = \mathrm{pool}_i\, x_{ij}

The block itself passes through, so that its gradient is formed once, of all three. Equivariant layers on weights read
both besides the block (Navon et al., ICML 2023).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from graphlab.ops.dispatch import implement
from graphlab.ops.library import define

Pooling = Literal["max", "mean", "sum"]


def block_pool(x: Tensor, reduction: Pooling) -> tuple[Tensor, Tensor, Tensor]:
    """A block, its rows pooled, and its columns pooled.

    Args:
        x: ``[batch, rows, columns, channels]``, none of them 0.
        reduction: ``max``, ``mean`` or ``sum``.

    Returns:
        ``x``, to be read in its place, ``[batch, rows, channels]`` and ``[batch, columns, channels]``. The gradient of
        a maximum goes to the first entry that attains it. No second derivatives.

    Raises:
        ValueError: for another shape, and for an unknown reduction.
    """
    if x.dim() != 4 or not x.numel() or not x.is_floating_point():
        raise ValueError(f"x: expected floating [batch, rows, columns, channels], got {x.dtype} {list(x.shape)}")
    if reduction not in get_args(Pooling):
        raise ValueError(f"reduction: expected {', '.join(get_args(Pooling))}, got {reduction!r}")
    result: tuple[Tensor, Tensor, Tensor] = _BlockPool.apply(x, reduction)  # type: ignore[no-untyped-call]
    return result


@implement("block_pool", "reference")
def reference(x: Tensor, reduction: str) -> tuple[Tensor, ...]:
    """The definition: rows, columns, and the places of maxima."""
    if reduction == "max":
        (rows, rows_at), (columns, columns_at) = x.max(dim=2), x.max(dim=1)
        return rows, columns, rows_at.int(), columns_at.int()
    pooled = (x.mean(dim=axis) if reduction == "mean" else x.sum(dim=axis) for axis in (2, 1))
    return *pooled, *(x.new_empty(0, dtype=torch.int32) for _ in range(2))


@implement("block_pool_gradient", "reference")
def gradient_reference(
    d_x: Tensor, d_rows: Tensor, d_columns: Tensor, rows_at: Tensor, columns_at: Tensor, reduction: str
) -> Tensor:
    """The gradient of the block."""
    if reduction == "max":
        d = d_x.scatter_add(2, rows_at.long().unsqueeze(2), d_rows.unsqueeze(2))
        return d.scatter_add_(1, columns_at.long().unsqueeze(1), d_columns.unsqueeze(1))
    if reduction == "mean":
        d_rows, d_columns = d_rows / d_x.shape[2], d_columns / d_x.shape[1]
    return (d_x + d_rows.unsqueeze(2)).add_(d_columns.unsqueeze(1))


class _BlockPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, reduction: Pooling) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns, rows_at, columns_at = _block_pool(x, reduction)
        ctx.save_for_backward(rows_at, columns_at)
        ctx.reduction = reduction
        return x.view_as(x), rows, columns

    @staticmethod
    def backward(ctx: Any, d_x: Tensor, d_rows: Tensor, d_columns: Tensor) -> tuple[Tensor, None]:
        return _gradient(d_x, d_rows, d_columns, *ctx.saved_tensors, ctx.reduction), None


def _fake(x: Tensor, reduction: str) -> tuple[Tensor, ...]:
    batch, rows, columns, channels = x.shape
    pooled = x.new_empty(batch, rows, channels), x.new_empty(batch, columns, channels)
    at = pooled if reduction == "max" else (x.new_empty(0), x.new_empty(0))
    return *pooled, *(own.new_empty(own.shape, dtype=torch.int32) for own in at)


def _gradient_fake(d_x: Tensor, *_: Any) -> Tensor:
    return d_x.new_empty(d_x.shape)


_block_pool = define(
    "block_pool", "(Tensor x, str reduction) -> (Tensor, Tensor, Tensor, Tensor)", _fake, on_adjacency=False
)
_gradient = define(
    "block_pool_gradient",
    "(Tensor d_x, Tensor d_rows, Tensor d_columns, Tensor rows_at, Tensor columns_at, str reduction) -> Tensor",
    _gradient_fake,
    on_adjacency=False,
)
