"""Messages over edges one by one on a CPU: products of a tile of edges by torch, all else by loops that numba compiles.

What nodes accumulate lies in one array, ``LANES`` channels of each statistic beside one another, so that the compiler
sees that they do not overlap. Threads take channels, each all edges: none waits for another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from graphlab.ops.dispatch import implement
from graphlab.ops.edge_statistics import level_and_slope
from graphlab.ops.kernels.compiled import FAST, add, fill, load, select_larger, store, times
from graphlab.ops.kernels.compiled import WIDTH as LANES
from graphlab.ops.kernels.lanes import minus, positive, select_equal, sigmoid
from graphlab.ops.kernels.threads import over_rows
from graphlab.ops.library import accumulated

ROWS = 2048
"""Edges of a tile."""
MESSAGES = {"film": 0, "gate": 1, "linear": 2}
SUM, SQUARES, PIVOT, LEAST, MOST = (LANES * place for place in range(5))
"""Where each statistic of a node's block of channels begins."""


def _supported(states: Tensor, *others: Any) -> bool:
    return states.is_cpu and others[6] in ("film", "gate", "linear")


def _supported_update(states: Tensor, *others: Any) -> bool:
    return states.is_cpu and others[6] in ("silu", "relu")


def _tiles(states: Tensor, *widths: int) -> Iterator[Any]:
    """Ranges of edges, each with rows for as many numbers an edge, the same memory every time."""
    memory = [accumulated(states[:0]).new_empty(min(ROWS, len(states)), width) for width in widths]
    for first in range(0, len(states), ROWS):
        tile = slice(first, min(first + ROWS, len(states)))
        yield tile, *(rows[: tile.stop - first] for rows in memory)


def _whole(x: Tensor) -> Tensor:
    """``[nodes, blocks * LANES]``: channels, and zeros up to whole blocks."""
    x, missing = accumulated(x), -x.shape[1] % LANES
    return (torch.nn.functional.pad(x, (0, missing)) if missing else x).contiguous()


def _beside(parts: list[Tensor]) -> Any:
    """``[nodes * blocks, len(parts) * LANES]`` of parts ``[nodes, channels]``."""
    nodes = len(parts[0])
    return (
        torch.stack([_whole(part).view(nodes, -1, LANES) for part in parts], dim=2).view(-1, len(parts) * LANES).numpy()
    )


def _column(x: Any, place: int, nodes: int, channels: int) -> Tensor:
    """``[nodes, channels]``: a part of what lies beside one another, given its place."""
    return torch.from_numpy(x[:, place : place + LANES]).reshape(nodes, -1)[:, :channels]


def _widened(weight: Tensor, bias: Tensor, parts: int) -> tuple[Tensor, Tensor]:
    """The affine map with channels in whole blocks."""
    weight, bias = accumulated(weight), accumulated(bias)
    channels = len(bias) // parts
    missing = -channels % LANES
    if not missing:
        return weight, bias
    pad = torch.nn.functional.pad
    weight = pad(weight.view(parts, channels, -1), (0, 0, 0, missing)).flatten(0, 1)
    return weight, pad(bias.view(parts, channels), (0, missing)).flatten()


def _over_blocks(blocks: int, edges: int, loop: Any) -> None:
    over_rows(np.arange(blocks + 1) * edges, 4 * LANES, loop)


@implement("edge_statistics", "numba", _supported)
def statistics(
    states: Tensor,
    weight: Tensor,
    bias: Tensor,
    sender: Tensor,
    receiver: Tensor,
    sent: Tensor,
    own: Tensor,
    message: str,
    spread: bool,
    extrema: bool,
) -> tuple[Tensor, ...]:
    channels, kind = own.shape[1], MESSAGES[message]
    weight, bias = _widened(weight, bias, 2 if message == "film" else 1)
    p, q = _whole(own).numpy(), _whole(sent).numpy()
    nodes, blocks = len(p), p.shape[1] // LANES
    found = np.zeros((nodes * blocks, 5 * LANES), p.dtype)
    found[:, LEAST:] = -np.inf
    at, count = np.full((nodes * blocks, 2 * LANES), -1, np.int32), np.zeros(nodes * blocks, np.int32)
    s, r = sender.numpy(), receiver.numpy()
    turned, constant = weight.t().contiguous(), bias.view(1, -1).numpy()
    for tile, z in _tiles(states, len(weight)):
        array = torch.mm(accumulated(states[tile]), turned, out=z).numpy()

        def loop(first: int, last: int, z: Any = array, tile: slice = tile) -> None:
            _gather(
                *(first, last, kind, z, constant, s[tile], r[tile], q, p),
                *(found, at, count, tile.start, spread, extrema),
            )

        _over_blocks(blocks, len(z), loop)
    degree = torch.from_numpy(count).view(nodes, blocks)[:, :1]
    apart, squares, pivot, least, most = (_column(found, LANES * k, nodes, channels) for k in range(5))
    total, empty = torch.addcmul(apart, degree, pivot), apart.new_empty(0)
    deviations = squares.addcdiv_(apart.square(), degree.clamp(min=1), value=-1).clamp_(min=0) if spread else empty
    places = [_column(at, LANES * k, nodes, channels).contiguous() if extrema else empty.int() for k in range(2)]
    least, most = (least.neg_(), most.contiguous()) if extrema else (empty, empty)
    return total, deviations.contiguous(), least.contiguous(), most, *places


@njit(nogil=True, cache=True, fastmath=FAST)
def _gather(  # type: ignore[no-untyped-def]
    first, last, kind, z, bias, sender, receiver, q, p, found, at, count, start, spread, extrema
):
    """Blocks of channels of a tile's messages into what receivers got before; of the least, the negative."""
    blocks = p.shape[1] // LANES
    negative = fill(z, -1)
    for block in range(first, last):
        begin, low = block * LANES, p.shape[1] + block * LANES
        constant, lower = load(bias, 0, begin), load(bias, 0, low if kind == 0 else begin)
        for e in range(len(sender)):
            i, j = receiver[e], sender[e]
            row = i * blocks + block
            m, said = add(load(p, i, begin), load(q, j, begin)), add(load(z, e, begin), constant)
            if kind == 0:
                m = add(times(said, m), add(load(z, e, low), lower))
            elif kind == 1:
                m = times(sigmoid(said), m)
            else:
                m = add(said, m)
            if count[row] == 0:
                store(found, row, PIVOT, m)
            count[row] += 1
            apart = minus(m, load(found, row, PIVOT))
            store(found, row, SUM, add(load(found, row, SUM), apart))
            if spread:
                store(found, row, SQUARES, add(load(found, row, SQUARES), times(apart, apart)))
            if extrema:
                number = fill(at, start + e)
                best, other = load(found, row, MOST), load(found, row, LEAST)
                store(at, row, LANES, select_larger(best, m, load(at, row, LANES), number))
                store(found, row, MOST, select_larger(best, m, best, m))
                m = times(m, negative)
                store(at, row, 0, select_larger(other, m, load(at, row, 0), number))
                store(found, row, LEAST, select_larger(other, m, other, m))


@implement("edge_statistics_gradient", "numba", _supported)
def statistics_gradient(
    states: Tensor,
    weight: Tensor,
    bias: Tensor,
    sender: Tensor,
    receiver: Tensor,
    sent: Tensor,
    own: Tensor,
    message: str,
    total: Tensor,
    least_at: Tensor,
    most_at: Tensor,
    d_total: Tensor,
    d_spread: Tensor,
    d_least: Tensor,
    d_most: Tensor,
    spread: bool,
    extrema: bool,
) -> tuple[Tensor, ...]:
    channels, kind, parts = own.shape[1], MESSAGES[message], 2 if message == "film" else 1
    wide, wide_bias = _widened(weight, bias, parts)
    p, q = _whole(own).numpy(), _whole(sent).numpy()
    nodes, blocks = len(p), p.shape[1] // LANES
    level, slope = level_and_slope(receiver, total, d_total, d_spread, spread)
    slopes = _beside([level, slope, *((d_least, d_most) if extrema else ())])
    places = _beside([least_at, most_at]) if extrema else np.empty((0, 0), np.int32)
    gradients = np.zeros((nodes * blocks, 2 * LANES), p.dtype)
    d_states = torch.empty(states.shape, dtype=states.dtype)
    d_wide, d_bias = torch.zeros_like(wide), torch.zeros_like(wide_bias)
    s, r = sender.numpy(), receiver.numpy()
    turned, constant = wide.t().contiguous(), wide_bias.view(1, -1).numpy()
    for tile, z in _tiles(states, len(wide)):
        here = accumulated(states[tile])
        array = torch.mm(here, turned, out=z).numpy()

        def loop(first: int, last: int, z: Any = array, tile: slice = tile) -> None:
            _scatter(
                *(first, last, kind, z, constant, s[tile], r[tile], q, p),
                *(slopes, places, gradients, tile.start, extrema),
            )

        _over_blocks(blocks, len(z), loop)
        d_wide.addmm_(z.t(), here)
        d_bias += z.sum(dim=0)
        if d_states.dtype == z.dtype:
            torch.mm(z, wide, out=d_states[tile])
        else:
            d_states[tile] = z @ wide
    d_weight = d_wide.view(parts, -1, wide.shape[1])[:, :channels].reshape(weight.shape)
    d_bias = d_bias.view(parts, -1)[:, :channels].reshape(bias.shape)
    d_own, d_sent = (_column(gradients, LANES * k, nodes, channels) for k in range(2))
    found = ((d_states, states), (d_weight, weight), (d_bias, bias), (d_sent, sent), (d_own, own))
    return tuple(part.to(like.dtype).contiguous() for part, like in found)


@njit(nogil=True, cache=True, fastmath=FAST)
def _scatter(  # type: ignore[no-untyped-def]
    first, last, kind, z, bias, sender, receiver, q, p, slopes, at, gradients, start, extrema
):
    """Replace what a tile's edges say by its gradient, and add up those of the ends."""
    blocks = p.shape[1] // LANES
    one, zero = fill(z, 1), fill(z, 0)
    for block in range(first, last):
        begin, low = block * LANES, p.shape[1] + block * LANES
        constant, lower = load(bias, 0, begin), load(bias, 0, low if kind == 0 else begin)
        for e in range(len(sender)):
            i, j = receiver[e], sender[e]
            row, other = i * blocks + block, j * blocks + block
            s, said = add(load(p, i, begin), load(q, j, begin)), add(load(z, e, begin), constant)
            if kind == 0:
                m = add(times(said, s), add(load(z, e, low), lower))
            elif kind == 1:
                said = sigmoid(said)
                m = times(said, s)
            else:
                m = add(said, s)
            dm = add(load(slopes, row, 0), times(load(slopes, row, LANES), m))
            if extrema:
                number = fill(at, start + e)
                dm = add(dm, select_equal(load(at, row, 0), number, load(slopes, row, 2 * LANES), zero))
                dm = add(dm, select_equal(load(at, row, LANES), number, load(slopes, row, 3 * LANES), zero))
            ds = dm
            if kind == 0:
                ds = times(said, dm)
                store(z, e, begin, times(s, dm))
                store(z, e, low, dm)
            elif kind == 1:
                ds = times(said, dm)
                store(z, e, begin, times(times(ds, s), minus(one, said)))
            else:
                store(z, e, begin, dm)
            store(gradients, row, 0, add(load(gradients, row, 0), ds))
            store(gradients, other, LANES, add(load(gradients, other, LANES), ds))


# ---- update -------------------------------------------------------------------------------------------------------


@implement("edge_update", "numba", _supported_update)
def update(
    states: Tensor,
    weight: Tensor,
    bias: Tensor,
    sender: Tensor,
    receiver: Tensor,
    sent: Tensor,
    own: Tensor,
    activation: str,
    out_weight: Tensor,
    out_bias: Tensor,
) -> Tensor:
    weight, bias = _widened(weight, bias, 1)
    p, q = (_whole(own) + bias).numpy(), _whole(sent).numpy()
    second, second_bias = _second(out_weight, weight).t().contiguous(), accumulated(out_bias)
    result, turned = states.new_empty(len(states), len(out_bias)), weight.t().contiguous()
    s, r, silu = sender.numpy(), receiver.numpy(), activation == "silu"
    for tile, u in _tiles(states, len(weight)):
        array = torch.mm(accumulated(states[tile]), turned, out=u).numpy()

        def loop(first: int, last: int, u: Any = array, tile: slice = tile) -> None:
            _activate(*(first, last, silu, u, s[tile], r[tile], q, p))

        _over_blocks(p.shape[1] // LANES, len(u), loop)
        if result.dtype == u.dtype:
            torch.addmm(second_bias, u, second, out=result[tile])
        else:
            result[tile] = torch.addmm(second_bias, u, second)
    return result


def _second(out_weight: Tensor, weight: Tensor) -> Tensor:
    """``W_2`` for channels in whole blocks."""
    out_weight = accumulated(out_weight)
    return torch.nn.functional.pad(out_weight, (0, len(weight) - out_weight.shape[1]))


@njit(nogil=True, cache=True, fastmath=FAST)
def _activate(first, last, silu, u, sender, receiver, q, p):  # type: ignore[no-untyped-def]
    """Add what the ends say, and apply the activation."""
    zero = fill(u, 0)
    for block in range(first, last):
        begin = block * LANES
        for e in range(len(sender)):
            value = add(load(u, e, begin), add(load(p, receiver[e], begin), load(q, sender[e], begin)))
            if silu:
                store(u, e, begin, times(value, sigmoid(value)))
            else:
                store(u, e, begin, positive(value, value, zero))


@implement("edge_update_gradient", "numba", _supported_update)
def update_gradient(
    states: Tensor,
    weight: Tensor,
    bias: Tensor,
    sender: Tensor,
    receiver: Tensor,
    sent: Tensor,
    own: Tensor,
    activation: str,
    out_weight: Tensor,
    out_bias: Tensor,
    d_result: Tensor,
) -> tuple[Tensor, ...]:
    channels = own.shape[1]
    wide, wide_bias = _widened(weight, bias, 1)
    p, q = (_whole(own) + wide_bias).numpy(), _whole(sent).numpy()
    nodes, blocks = len(p), p.shape[1] // LANES
    second, turned = _second(out_weight, wide), wide.t().contiguous()
    gradients = np.zeros((nodes * blocks, 2 * LANES), p.dtype)
    d_states = torch.empty(states.shape, dtype=states.dtype)
    d_wide, d_second = torch.zeros_like(wide), torch.zeros_like(second)
    s, r, silu = sender.numpy(), receiver.numpy(), activation == "silu"
    for tile, u, dh in _tiles(states, len(wide), len(wide)):
        here, d = accumulated(states[tile]), accumulated(d_result[tile])
        arrays = (torch.mm(here, turned, out=u).numpy(), torch.mm(d, second, out=dh).numpy(), s[tile], r[tile])

        def loop(first: int, last: int, arrays: Any = arrays) -> None:
            _deactivate(*(first, last, silu, *arrays, q, p, gradients))

        _over_blocks(blocks, len(u), loop)
        d_second.addmm_(d.t(), u)
        d_wide.addmm_(dh.t(), here)
        if d_states.dtype == dh.dtype:
            torch.mm(dh, wide, out=d_states[tile])
        else:
            d_states[tile] = dh @ wide
    d_own, d_sent = (_column(gradients, LANES * k, nodes, channels) for k in range(2))
    found = (
        (d_states, states),
        (d_wide[:channels], weight),
        (d_own.sum(dim=0), bias),
        (d_sent, sent),
        (d_own, own),
        (d_second[:, :channels], out_weight),
        (accumulated(d_result).sum(dim=0), out_bias),
    )
    return tuple(part.to(like.dtype).contiguous() for part, like in found)


@njit(nogil=True, cache=True, fastmath=FAST)
def _deactivate(first, last, silu, u, dh, sender, receiver, q, p, gradients):  # type: ignore[no-untyped-def]
    """Replace ``u`` by its activation and ``dh`` by the gradient of ``u``, and add up those of the ends."""
    blocks = p.shape[1] // LANES
    one, zero = fill(u, 1), fill(u, 0)
    for block in range(first, last):
        begin = block * LANES
        for e in range(len(sender)):
            i, j = receiver[e], sender[e]
            row, other = i * blocks + block, j * blocks + block
            value = add(load(u, e, begin), add(load(p, i, begin), load(q, j, begin)))
            du = load(dh, e, begin)
            if silu:
                share = sigmoid(value)
                store(u, e, begin, times(value, share))
                du = times(du, times(share, add(one, times(value, minus(one, share)))))
            else:
                store(u, e, begin, positive(value, value, zero))
                du = positive(value, du, zero)
            store(dh, e, begin, du)
            store(gradients, row, 0, add(load(gradients, row, 0), du))
            store(gradients, other, LANES, add(load(gradients, other, LANES), du))
