"""Relational attention on a CPU: products of a tile of pairs by torch, all else by loops that numba compiles.

The channels of a head are padded with zeros to whole lanes, as are those of the pairs.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from graphlab.ops import relational_update
from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.compiled import FAST, add, fill, load, store, times
from graphlab.ops.kernels.compiled import WIDTH as LANES
from graphlab.ops.kernels.lanes import gaussian, normal, total
from graphlab.ops.kernels.numba_exp import exponentials
from graphlab.ops.kernels.threads import over_rows
from graphlab.ops.library import accumulated
from graphlab.ops.relational_attention import tiles

PAIRS = 1 << 18
"""Numbers of a tile: what all heads say of its pairs."""


def _on_cpu(query: Tensor, *others: Any) -> bool:
    return query.is_cpu


def _heads(x: Tensor, heads: int) -> Tensor:
    """``[..., heads * width]``: the channels ``[..., channels]`` of each head in whole lanes."""
    x = torch.unflatten(accumulated(x), -1, (heads, -1))
    return torch.nn.functional.pad(x, (0, -x.shape[-1] % LANES)).flatten(-2)


def _pairs(x: Tensor) -> Tensor:
    """``[..., width]``: the channels of pairs in whole lanes, contiguous."""
    x, missing = accumulated(x), -x.shape[-1] % LANES
    return (torch.nn.functional.pad(x, (0, missing)) if missing else x).contiguous()


def _maps(weight: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """``[parts * heads * width, pair width]`` of queries, keys and products; ``[heads, width, pair width]`` of values
    that are added."""
    wide = _pairs(_heads(weight.transpose(1, 2), heads).transpose(1, 2))
    return torch.cat([wide[0], wide[1], *wide[3:]]), torch.unflatten(wide[2], 0, (heads, -1))


@implement("relational_attention", "numba", _on_cpu)
def attention(
    query: Tensor, key: Tensor, value: Tensor, edge: Tensor, weight: Tensor, heads: int, scale: float
) -> Tensor:
    wide, of_value = _maps(weight, heads)
    q, k, v = (_heads(part, heads) for part in (query, key, value))
    result, pooled = torch.empty_like(q), q.new_empty(*q.shape[:2], heads, wide.shape[1])
    arrays = [part.numpy() for part in (q, k, v, result, pooled)]
    turned, nodes, product = wide.t().contiguous(), edge.shape[2], weight.shape[0] > 3
    ranges = list(tiles(edge, len(wide), PAIRS))
    memory = _memory(ranges, nodes, len(wide), q)
    for number, rows in ranges:
        states = _pairs(edge[number, rows])
        z = torch.mm(states.flatten(0, 1), turned, out=memory[: states.shape[0] * nodes]).numpy()
        qt, kt, vt, out, pool = (array[number] for array in arrays)
        own = (states.numpy(), z, qt[rows], kt, vt, out[rows], pool[rows])

        def loop(first: int, last: int, own: Any = own) -> None:
            _attend(*(first, last, *own, heads, scale, product))

        over_rows(np.arange(len(states) + 1) * nodes, 2 * len(wide), loop)
    result += torch.einsum("brhk,hck->brhc", pooled, of_value).flatten(2)
    return _narrow(result, heads, query.shape[2]).to(query.dtype)


def _memory(ranges: list[tuple[int, slice]], nodes: int, width: int, like: Tensor) -> Tensor:
    rows = max((rows.stop - rows.start for _, rows in ranges), default=0)
    return like.new_empty(rows * nodes, width)


def _narrow(x: Tensor, heads: int, channels: int) -> Tensor:
    """``[..., channels]``: the inverse of :func:`_heads`."""
    return torch.unflatten(x, -1, (heads, -1))[..., : channels // heads].flatten(-2).contiguous()


@njit(nogil=True, cache=True, fastmath=FAST)
def _softmax(states, z, row, q, k, alpha, heads, scale):  # type: ignore[no-untyped-def]
    """The weights of a row's pairs for each head, ``alpha`` ``[heads, nodes or more]``."""
    nodes, channels = states.shape[1], q.shape[1]
    width = channels // heads
    for j in range(nodes):
        pair = row * nodes + j
        for h in range(heads):
            s = fill(z, 0)
            for begin in range(h * width, (h + 1) * width, LANES):
                own = add(load(z, pair, begin), load(q, row, begin))
                s = add(s, times(own, add(load(z, pair, channels + begin), load(k, j, begin))))
            alpha[h, j] = scale * total(s)
    for h in range(heads):
        top = alpha[h, 0]
        for j in range(1, nodes):
            top = max(top, alpha[h, j])
        share = 1 / exponentials(alpha[h], nodes, top)
        for j in range(nodes):
            alpha[h, j] *= share


@njit(nogil=True, cache=True, fastmath=FAST)
def _attend(  # type: ignore[no-untyped-def]
    first, last, states, z, q, k, v, out, pooled, heads, scale, product
):
    nodes, channels, width = states.shape[1], q.shape[1], q.shape[1] // heads
    alpha = np.empty((heads, nodes + LANES), z.dtype)
    for row in range(first, last):
        _softmax(states, z, row, q, k, alpha, heads, scale)
        for h in range(heads):
            for begin in range(h * width, (h + 1) * width, LANES):
                o = fill(z, 0)
                for j in range(nodes):
                    said = times(fill(z, alpha[h, j]), load(v, j, begin))
                    if product:
                        said = times(said, load(z, row * nodes + j, 2 * channels + begin))
                    o = add(o, said)
                store(out, row, begin, o)
            for begin in range(0, states.shape[2], LANES):
                o = fill(z, 0)
                for j in range(nodes):
                    o = add(o, times(fill(z, alpha[h, j]), load(states[row], j, begin)))
                store(pooled[row], h, begin, o)


@implement("relational_attention_gradient", "numba", _on_cpu)
def attention_gradient(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    edge: Tensor,
    weight: Tensor,
    heads: int,
    scale: float,
    d_result: Tensor,
) -> tuple[Tensor, ...]:
    wide, of_value = _maps(weight, heads)
    q, k, v, d = (_heads(part, heads).contiguous() for part in (query, key, value, d_result))
    split = torch.unflatten(d, 2, (heads, -1))
    d_pooled = torch.einsum("brhc,hck->brhk", split, of_value).contiguous()
    pooled = torch.empty_like(d_pooled)
    dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    d_edge, d_wide = torch.empty(edge.shape, dtype=edge.dtype), torch.zeros_like(wide)
    arrays = [part.numpy() for part in (q, k, v, d, d_pooled, pooled, dq, dk, dv)]
    turned, nodes, product = wide.t().contiguous(), edge.shape[2], weight.shape[0] > 3
    ranges = list(tiles(edge, len(wide), PAIRS))
    memory, slopes = _memory(ranges, nodes, len(wide), q), _memory(ranges, nodes, wide.shape[1], q)
    for number, rows in ranges:
        states = _pairs(edge[number, rows])
        flat = states.flatten(0, 1)
        z = torch.mm(flat, turned, out=memory[: len(flat)])
        d_states = slopes[: len(flat)]
        qt, kt, vt, dt, d_pool, pool, dqt, dkt, dvt = (own[number] for own in arrays)
        _attend_gradient(
            *(states.numpy(), z.numpy(), qt[rows], kt, vt, dt[rows], d_pool[rows], pool[rows]),
            *(dqt[rows], dkt, dvt, d_states.numpy(), heads, scale, product),
        )
        d_wide.addmm_(z.t(), flat)
        d_states.addmm_(z, wide)
        d_edge[number, rows] = d_states.view(states.shape)[..., : edge.shape[3]]
    d_value = torch.einsum("brhc,brhk->hck", split, pooled).flatten(0, 1)
    parts = d_wide.view(-1, len(d_value), wide.shape[1])
    stacked = torch.cat([parts[:2], d_value.unsqueeze(0), parts[2:]])[..., : edge.shape[3]]
    d_weight = _narrow(stacked.transpose(1, 2), heads, query.shape[2]).transpose(1, 2)
    found = [_narrow(part, heads, query.shape[2]) for part in (dq, dk, dv)]
    given = (query, key, value, edge, weight)
    return tuple(part.to(like.dtype).contiguous() for part, like in zip((*found, d_edge, d_weight), given, strict=True))


@njit(nogil=True, cache=True, fastmath=FAST)
def _attend_gradient(  # type: ignore[no-untyped-def]
    states, z, q, k, v, d, d_pooled, pooled, dq, dk, dv, d_states, heads, scale, product
):
    """Replace what pairs say by its gradient; ``d_states`` is what reaches pairs by added values."""
    rows, nodes, channels, width = len(states), states.shape[1], q.shape[1], q.shape[1] // heads
    alpha, slope = np.empty((heads, nodes + LANES), z.dtype), np.empty((heads, nodes), z.dtype)
    for row in range(rows):
        _softmax(states, z, row, q, k, alpha, heads, scale)
        own = states[row]
        for h in range(heads):
            mean = z.dtype.type(0)
            for j in range(nodes):
                s = fill(z, 0)
                for begin in range(h * width, (h + 1) * width, LANES):
                    said = times(load(d, row, begin), load(v, j, begin))
                    if product:
                        said = times(said, load(z, row * nodes + j, 2 * channels + begin))
                    s = add(s, said)
                for begin in range(0, states.shape[2], LANES):
                    s = add(s, times(load(d_pooled[row], h, begin), load(own, j, begin)))
                slope[h, j] = total(s)
                mean += alpha[h, j] * slope[h, j]
            for j in range(nodes):
                slope[h, j] = scale * alpha[h, j] * (slope[h, j] - mean)
            for begin in range(h * width, (h + 1) * width, LANES):
                here, gradient, sum = load(q, row, begin), load(d, row, begin), fill(z, 0)
                for j in range(nodes):
                    pair = row * nodes + j
                    steep, share = fill(z, slope[h, j]), times(fill(z, alpha[h, j]), gradient)
                    of_query = times(steep, add(load(z, pair, channels + begin), load(k, j, begin)))
                    of_key = times(steep, add(load(z, pair, begin), here))
                    store(z, pair, begin, of_query)
                    store(z, pair, channels + begin, of_key)
                    sum = add(sum, of_query)
                    store(dk, j, begin, add(load(dk, j, begin), of_key))
                    if product:
                        said = load(z, pair, 2 * channels + begin)
                        store(z, pair, 2 * channels + begin, times(share, load(v, j, begin)))
                        share = times(share, said)
                    store(dv, j, begin, add(load(dv, j, begin), share))
                store(dq, row, begin, sum)
            for begin in range(0, states.shape[2], LANES):
                o = fill(z, 0)
                for j in range(nodes):
                    o = add(o, times(fill(z, alpha[h, j]), load(own, j, begin)))
                store(pooled[row], h, begin, o)
        for j in range(nodes):
            for begin in range(0, states.shape[2], LANES):
                o = fill(z, 0)
                for h in range(heads):
                    o = add(o, times(fill(z, alpha[h, j]), load(d_pooled[row], h, begin)))
                store(d_states, row * nodes + j, begin, o)


# ---- update -------------------------------------------------------------------------------------------------------

ROWS = 1 << 16
"""Numbers of a tile: hidden units of its pairs."""
_DENSITY = 1 / np.sqrt(2 * np.pi)


def _single(*tensors: Any) -> bool:
    return all(tensor is None or (tensor.is_cpu and tensor.dtype == torch.float32) for tensor in tensors)


def gelu(h: Tensor, slope: bool) -> tuple[Tensor, Tensor]:
    """As :func:`graphlab.ops.relational_update.gelu`, in place."""
    steep = torch.empty_like(h) if slope else h
    flat, whole = h.view(-1), h.numel() // LANES * LANES
    if whole < h.numel():
        tail = relational_update.gelu(flat[whole:].clone(), slope)
        flat[whole:] = tail[0]
        if slope:
            steep.view(-1)[whole:] = tail[1]
    x, y = (part.view(-1)[:whole].view(-1, LANES).numpy() for part in (h, steep))
    over_rows(np.arange(len(x) + 1), 16 * LANES, lambda first, last: _gelu(first, last, x, y, slope))
    return h, steep


@njit(nogil=True, cache=True, fastmath=FAST)
def _gelu(first, last, x, slopes, slope):  # type: ignore[no-untyped-def]
    density = fill(x, _DENSITY)
    for row in range(first, last):
        value = load(x, row, 0)
        bell = gaussian(value)
        share = normal(value, bell)
        store(x, row, 0, times(value, share))
        if slope:
            store(slopes, row, 0, add(share, times(times(value, density), bell)))


for _operator, _function in (
    ("relational_update", relational_update.reference),
    ("relational_update_gradient", relational_update.gradient_reference),
):
    implement(_operator, "numba", _single)(functools.partial(_function, activation=gelu, tile=ROWS))
