"""Blocks in tiles: what of a block is computed at a time, and the messages of a tile.

Edges are ``[batch, n_source, n_target, channels]``, and so lie tiles; messages are summed over one of the axes between.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from graphlab.ops.dispatch import run
from graphlab.ops.library import accumulated

TILE = 1 << 19
"""Numbers in the largest tensor of a tile: 2 MB in float32, of 2^16 to 2^20 numbers the fastest (784 x 512 edges)."""
CUDA_TILE = 1 << 25
"""The same on a GPU, where it is the launches that cost."""

DEPTH = 64
"""Sources in a tile that is summed over them: so many that merging costs little, so few that memory is read in runs."""

Tile = tuple[slice, slice, slice]


def tiles(edge: Tensor, width: int, depth: int = 1) -> Iterator[Tile]:
    """Ranges of the batch, the sources and the targets that cover a block, sources fastest.

    Args:
        edge: ``[batch, n_source, n_target, channels]``.
        width: Numbers an edge in the largest tensor of a tile.
        depth: Sources that a tile should have at least, if there are so many.
    """
    batch, sources, targets = edge.shape[:3]
    if batch * sources * targets == 0:
        return
    edges = max(1, (CUDA_TILE if edge.is_cuda else TILE) // max(width, 1))
    t = min(targets, max(1, edges // min(depth, sources)))
    s = min(sources, max(1, edges // t))
    b = min(batch, max(1, edges // (s * t))) if (s, t) == (sources, targets) else 1
    for first in range(0, batch, b):
        for column in range(0, targets, t):
            for row in range(0, sources, s):
                yield (
                    slice(first, min(first + b, batch)),
                    slice(row, min(row + s, sources)),
                    slice(column, min(column + t, targets)),
                )


def rows(edge: Tensor, tile: Tile) -> Tensor:
    """``[edges of the tile, channels]``, in the dtype in which it is summed."""
    return accumulated(edge[tile]).reshape(-1, edge.shape[-1])


def projected(edge: Tensor, weight: Tensor, bias: Tensor, tile: Tile) -> Tensor:
    """``[b, s, t, width]``: :math:`W e_{ij} + b`."""
    z = torch.addmm(bias, rows(edge, tile), weight.t())
    return z.view(*edge[tile].shape[:3], -1)


def ends(source: Tensor, target: Tensor, tile: Tile) -> Tensor:
    """``[b, s, t, channels]``: :math:`s_{ij} = q_j + p_i`."""
    batch, sources, targets = tile
    return source[batch, sources].unsqueeze(2) + target[batch, targets].unsqueeze(1)


def message_of(message: str, z: Tensor, s: Tensor) -> Tensor:
    """``[..., channels]``: the message of what the edge, ``z``, and its ends, ``s``, say. May write ``z``."""
    if message == "film":
        scale, shift = z.chunk(2, dim=-1)
        return torch.addcmul(shift, scale, s)
    if message == "gate":
        return z.sigmoid_().mul_(s)
    return activated(message, z.add_(s))


def message_gradient(message: str, z: Tensor, s: Tensor, dm: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of ``z`` and ``s``. May write ``z``."""
    if message == "film":
        scale = z[..., : s.shape[-1]]
        ds = scale * dm
        torch.mul(s, dm, out=scale)
        z[..., s.shape[-1] :] = dm
        return z, ds
    if message == "gate":
        gate = z.sigmoid_()
        ds = gate * dm
        return ds * s * (1 - gate), ds
    ds = activation_gradient(message, z.add_(s), dm)
    return ds, ds


def activated(activation: str, u: Tensor) -> Tensor:
    """The activation, written into ``u``."""
    if activation == "linear":
        return u
    return functional.relu_(u) if activation == "relu" else functional.silu(u, inplace=True)


def activation_gradient(activation: str, u: Tensor, dh: Tensor) -> Tensor:
    """The gradient of the activation's argument ``u``."""
    if activation == "linear":
        return dh
    du: Tensor = torch.ops.aten.silu_backward(dh, u) if activation == "silu" else dh * (u > 0)
    return du


def define_block(
    name: str,
    schema: str,
    fake: Callable[..., Any],
    save: Callable[..., None] | None = None,
    backward: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Register ``graphlab::NAME``, computed by what is registered with the dispatcher under the same name.

    Args:
        name, schema: Of the operator.
        fake: The results' shapes, from all arguments.
        save: ``setup_context`` of the gradient.
        backward: The gradient: one value an argument.
    """
    qualified = f"graphlab::{name}"
    torch.library.define(qualified, schema)
    torch.library.impl(qualified, "default", functools.partial(run, name))
    torch.library.register_fake(qualified, fake)
    if backward is not None:
        torch.library.register_autograd(qualified, backward, setup_context=save)
    operator: Callable[..., Any] = getattr(torch.ops.graphlab, name).default
    return operator
