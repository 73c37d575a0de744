r"""Attention between all pairs of nodes in which the pair has a say in query, key and value.

With pair states :math:`e_{ij}` and, of each head,

.. math:: q_{ij} = q_i + W_q e_{ij}, \qquad k_{ij} = k_j + W_k e_{ij}, \qquad
    v_{ij} = v_j \odot W_u e_{ij} + W_v e_{ij} \;\text{ or }\; v_j + W_v e_{ij}, \qquad
    o_i = \sum_j \mathrm{softmax}_j(s\, q_{ij} \cdot k_{ij})\, v_{ij}

(Diao, Loynd, "Relational Attention: Generalizing Transformers for Graph-Structured Tasks", ICLR 2023, eqs. 8 and 9; the
product is NG-T's, Kofinas et al., ICLR 2024, eq. 11.) What is as wide as all heads exists for a tile of rows at a time;
additive values need no width at all,

.. math:: \sum_j \alpha_{ij} W_v e_{ij} = W_v \sum_j \alpha_{ij} e_{ij}.

The gradient computes the tiles again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from graphlab.ops.block_tiles import CUDA_TILE, TILE, define_block
from graphlab.ops.dispatch import implement
from graphlab.ops.library import accumulated


def relational_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    edge: Tensor,
    weight: Tensor,
    heads: int,
    scale: float,
) -> Tensor:
    """``[B, rows, channels]``: what each row gets.

    Args:
        query: ``[B, rows, channels]``; all heads one after the other.
        key, value: ``[B, N, channels]``.
        edge: ``[B, rows, N, edge_channels]``: the state of the pair of a row and a node.
        weight: ``[4, channels, edge_channels]``, of queries, keys, values (added) and values (multiplied), or the first
            three.
        heads: How many.
        scale: ``s``.

    Raises:
        ValueError: for shapes that do not fit.
    """
    batch, rows, channels = query.shape
    shapes = {
        "key": (key, (batch, key.shape[1], channels)),
        "value": (value, (batch, key.shape[1], channels)),
        "edge": (edge, (batch, rows, key.shape[1], edge.shape[-1])),
        "weight": (weight, (4 if len(weight) == 4 else 3, channels, edge.shape[-1])),
    }
    for name, (tensor, shape) in shapes.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name}: expected the shape {list(shape)}, got {list(tensor.shape)}")
    if channels % heads:
        raise ValueError(f"heads: {channels} channels cannot be divided among {heads}")
    result: Tensor = _attention(query, key, value, edge, weight, heads, scale)
    return result


def tiles(edge: Tensor, width: int) -> Iterator[tuple[int, slice]]:
    """Networks, and of each ranges of rows."""
    batch, rows, nodes = edge.shape[:3]
    size = max(1, (CUDA_TILE if edge.is_cuda else TILE) // max(1, width * nodes))
    for number in range(batch):
        for first in range(0, rows, size):
            yield number, slice(first, min(first + size, rows))


def maps(weight: Tensor) -> tuple[Tensor, Tensor]:
    """``[2 or 3 times channels, edge_channels]``, what queries, keys and, if there are, products are made with; and
    ``[channels, edge_channels]`` of the values that are added."""
    weight = accumulated(weight)
    return torch.cat([weight[0], weight[1], *weight[3:]]), weight[2]


@implement("relational_attention", "reference")
def reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    edge: Tensor,
    weight: Tensor,
    heads: int,
    scale: float,
) -> Tensor:
    wide, of_value = maps(weight)
    q, k, v = (accumulated(part) for part in (query, key, value))
    result = torch.empty_like(q)
    for number, rows in tiles(edge, len(wide)):
        states = accumulated(edge[number, rows])
        z = states @ wide.t()
        alpha, _, _ = _weights(z, q[number, rows], k[number], heads, scale)
        o = _values(alpha, z, v[number], heads)
        pooled = alpha.transpose(1, 2) @ states  # [rows, heads, edge_channels]
        result[number, rows] = o + _by_head(pooled, of_value)
    return result.to(query.dtype)


@implement("relational_attention_gradient", "reference")
def gradient_reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    edge: Tensor,
    weight: Tensor,
    heads: int,
    scale: float,
    d_result: Tensor,
) -> tuple[Tensor, ...]:
    wide, of_value = maps(weight)
    given = (query, key, value, edge, weight)
    q, k, v = (accumulated(part) for part in given[:3])
    dq, dk, dv = (torch.zeros_like(part) for part in (q, k, v))
    d_edge = torch.empty_like(edge)
    d_wide, d_of_value = torch.zeros_like(wide), torch.zeros_like(of_value)
    channels = q.shape[2]
    for number, rows in tiles(edge, len(wide)):
        states, d = accumulated(edge[number, rows]), accumulated(d_result[number, rows])
        z = states @ wide.t()
        alpha, q_pairs, k_pairs = _weights(z, q[number, rows], k[number], heads, scale)
        pooled = alpha.transpose(1, 2) @ states
        split = d.view(len(d), heads, -1)
        d_of_value += torch.einsum("rhc,rhk->hck", split, pooled).flatten(0, 1)
        d_pooled = torch.einsum("rhc,hck->rhk", split, of_value.view(heads, -1, of_value.shape[1]))
        d_alpha = states @ d_pooled.transpose(1, 2)
        d_values = d.unsqueeze(1) * v[number]  # [rows, N, channels]
        wide_alpha = alpha.repeat_interleave(channels // heads, dim=2)
        d_z = torch.empty_like(z)
        if z.shape[2] > 2 * channels:
            product = z[..., 2 * channels :]
            d_alpha += (d_values * product).unflatten(2, (heads, -1)).sum(dim=3)
            torch.mul(wide_alpha, d_values, out=d_z[..., 2 * channels :])
            dv[number] += (wide_alpha * product * d.unsqueeze(1)).sum(dim=0)
        else:
            d_alpha += d_values.unflatten(2, (heads, -1)).sum(dim=3)
            dv[number] += (wide_alpha * d.unsqueeze(1)).sum(dim=0)
        d_scores = scale * alpha * (d_alpha - (alpha * d_alpha).sum(dim=1, keepdim=True))
        spread = d_scores.repeat_interleave(channels // heads, dim=2)
        torch.mul(spread, k_pairs, out=d_z[..., :channels])
        torch.mul(spread, q_pairs, out=d_z[..., channels : 2 * channels])
        dq[number, rows] = d_z[..., :channels].sum(dim=1)
        dk[number] += d_z[..., channels : 2 * channels].sum(dim=0)
        d_edge[number, rows] = (d_z @ wide + alpha @ d_pooled).to(edge.dtype)
        d_wide += d_z.flatten(0, 1).t() @ states.flatten(0, 1)
    parts = d_wide.view(-1, channels, wide.shape[1])
    d_weight = torch.cat([parts[:2], d_of_value.unsqueeze(0), parts[2:]])
    gradients = (dq, dk, dv, d_edge, d_weight)
    return tuple(part.to(like.dtype) for part, like in zip(gradients, given, strict=True))


def _weights(
    z: Tensor, q: Tensor, k: Tensor, heads: int, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """``[rows, N, heads]``: the softmax; and the queries and keys of pairs, ``[rows, N, channels]``."""
    channels = q.shape[1]
    q_pairs, k_pairs = z[..., :channels] + q.unsqueeze(1), z[..., channels : 2 * channels] + k
    scores = scale * (q_pairs * k_pairs).unflatten(2, (heads, -1)).sum(dim=3)
    return scores.softmax(dim=1), q_pairs, k_pairs


def _values(alpha: Tensor, z: Tensor, v: Tensor, heads: int) -> Tensor:
    """``[rows, channels]``: the sum of the values of nodes, multiplied if need be."""
    channels = v.shape[1]
    if z.shape[2] > 2 * channels:
        made = (z[..., 2 * channels :] * v).unflatten(2, (heads, -1))
        return (alpha.unsqueeze(3) * made).sum(dim=1).flatten(1)
    return torch.einsum("rjh,jhc->rhc", alpha, v.unflatten(1, (heads, -1))).flatten(1)


def _by_head(pooled: Tensor, weight: Tensor) -> Tensor:
    """``[rows, channels]``: ``W`` of each head times what that head pooled."""
    heads = pooled.shape[1]
    return torch.einsum("rhk,hck->rhc", pooled, weight.view(heads, -1, weight.shape[1])).flatten(1)


_INPUTS = (
    "Tensor query, Tensor key, Tensor value, Tensor edge, Tensor weight, int heads, float scale"
)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.how = inputs[5:]


def _backward(ctx: Any, d_result: Tensor) -> tuple[Any, ...]:
    return (*_gradient(*ctx.saved_tensors, *ctx.how, d_result), None, None)


_attention = define_block(
    "relational_attention", f"({_INPUTS}) -> Tensor", lambda query, *others: torch.empty_like(query), _save, _backward
)
_gradient = define_block(
    "relational_attention_gradient",
    f"({_INPUTS}, Tensor d_result) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    lambda *arguments: tuple(torch.empty_like(part) for part in arguments[:5]),
)
