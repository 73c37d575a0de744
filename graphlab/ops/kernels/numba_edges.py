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
from graphlab.ops.kernels.compiled import FAST
from graphlab.ops.kernels.numba_exp import LANES, exp
from graphlab.ops.kernels.threads import over_rows
from graphlab.ops.library import accumulated

ROWS = 4096
"""Edges of a tile."""
MESSAGES = {"film": 0, "gate": 1, "linear": 2}
SUM, SQUARES, PIVOT, LEAST, MOST = range(5)


def _supported(states: Tensor, *others: Any) -> bool:
    return states.is_cpu and others[6] in ("film", "gate", "linear")


def _supported_update(states: Tensor, *others: Any) -> bool:
    return states.is_cpu and others[6] in ("silu", "relu")


def _tiles(edges: int) -> Iterator[slice]:
    for first in range(0, edges, ROWS):
        yield slice(first, min(first + ROWS, edges))


def _blocked(x: Tensor) -> Tensor:
    """``[nodes, blocks, LANES]``: channels in blocks, zeros beyond."""
    x = accumulated(x)
    missing = -x.shape[1] % LANES
    return torch.nn.functional.pad(x, (0, missing)).contiguous().view(len(x), -1, LANES)


def _flat(x: Any, channels: int) -> Tensor:
    """``[nodes, channels]``: the inverse of :func:`_blocked`."""
    return torch.from_numpy(np.ascontiguousarray(x)).flatten(1)[:, :channels]


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
    p, q = _blocked(own).numpy(), _blocked(sent).numpy()
    nodes, blocks = p.shape[:2]
    found = np.zeros((nodes, blocks, 5, LANES), p.dtype)
    found[:, :, LEAST], found[:, :, MOST] = np.inf, -np.inf
    at = np.full((nodes, blocks, 2, LANES), -1, np.int32)
    count = np.zeros((blocks, nodes), np.int32)
    s, r = sender.numpy(), receiver.numpy()
    for tile in _tiles(len(states)):
        z = torch.addmm(bias, accumulated(states[tile]), weight.t()).numpy()

        def loop(first: int, last: int, z: Any = z, tile: slice = tile) -> None:
            _gather(first, last, kind, z, s[tile], r[tile], q, p, found, at, count, tile.start, spread, extrema)

        _over_blocks(blocks, len(z), loop)
    degree = count[0].reshape(-1, 1, 1).astype(p.dtype)
    total = found[:, :, SUM] + degree * found[:, :, PIVOT]
    deviations = found[:, :, SQUARES] - found[:, :, SUM] ** 2 / np.maximum(degree, 1)
    empty = own.new_empty(0, dtype=torch.from_numpy(p).dtype)
    statistics = [_flat(total, channels), _flat(np.maximum(deviations, 0), channels) if spread else empty]
    statistics += [_flat(found[:, :, k], channels) if extrema else empty for k in (LEAST, MOST)]
    places = [_flat(at[:, :, k], channels) if extrema else empty.int() for k in range(2)]
    return tuple(part.contiguous() for part in (*statistics, *places))


@njit(nogil=True, cache=True, fastmath=FAST)
def _gather(  # type: ignore[no-untyped-def]
    first, last, kind, z, sender, receiver, q, p, found, at, count, start, spread, extrema
):
    """Blocks of channels of a tile's messages into what receivers got before."""
    width = p.shape[1] * LANES
    m = np.empty(LANES, z.dtype)
    one = z.dtype.type(1)
    most_exponent = z.dtype.type(80)
    for block in range(first, last):
        begin = block * LANES
        for e in range(len(sender)):
            i, j = receiver[e], sender[e]
            for c in range(LANES):
                m[c] = p[i, block, c] + q[j, block, c]
            if kind == 0:
                for c in range(LANES):
                    m[c] = z[e, begin + c] * m[c] + z[e, width + begin + c]
            elif kind == 1:
                for c in range(LANES):
                    m[c] = m[c] / (one + exp(min(-z[e, begin + c], most_exponent)))
            else:
                for c in range(LANES):
                    m[c] = m[c] + z[e, begin + c]
            own, place = found[i, block], at[i, block]
            if count[block, i] == 0:
                for c in range(LANES):
                    own[PIVOT, c] = m[c]
            count[block, i] += 1
            if spread:
                for c in range(LANES):
                    apart = m[c] - own[PIVOT, c]
                    own[SUM, c] += apart
                    own[SQUARES, c] += apart * apart
            else:
                for c in range(LANES):
                    own[SUM, c] += m[c] - own[PIVOT, c]
            if extrema:
                number = np.int32(start + e)
                for c in range(LANES):
                    value = m[c]
                    lower = (value < own[LEAST, c]) | ((value != value) & (own[LEAST, c] == own[LEAST, c]))
                    own[LEAST, c] = value if lower else own[LEAST, c]
                    place[0, c] = number if lower else place[0, c]
                for c in range(LANES):
                    value = m[c]
                    higher = (value > own[MOST, c]) | ((value != value) & (own[MOST, c] == own[MOST, c]))
                    own[MOST, c] = value if higher else own[MOST, c]
                    place[1, c] = number if higher else place[1, c]


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
    p, q = _blocked(own).numpy(), _blocked(sent).numpy()
    nodes, blocks = p.shape[:2]
    level, slope = level_and_slope(receiver, total, d_total, d_spread, spread)
    given = [level, slope, *((d_least, d_most) if extrema else ())]
    slopes = torch.stack([_blocked(part) for part in given], dim=2).numpy()
    at = torch.full((nodes, blocks, 2, LANES), -1, dtype=torch.int32)
    if extrema:
        for k, place in enumerate((least_at, most_at)):
            at[:, :, k] = torch.nn.functional.pad(place, (0, -channels % LANES), value=-1).view(nodes, blocks, LANES)
    gradients = np.zeros((nodes, blocks, 2, LANES), p.dtype)
    d_states = torch.empty(states.shape, dtype=states.dtype)
    d_wide, d_bias = torch.zeros_like(wide), torch.zeros_like(wide_bias)
    s, r, places = sender.numpy(), receiver.numpy(), at.numpy()
    for tile in _tiles(len(states)):
        here = accumulated(states[tile])
        z = torch.addmm(wide_bias, here, wide.t())
        array = z.numpy()

        def loop(first: int, last: int, z: Any = array, tile: slice = tile) -> None:
            _scatter(first, last, kind, z, s[tile], r[tile], q, p, slopes, places, gradients, tile.start, extrema)

        _over_blocks(blocks, len(z), loop)
        d_wide.addmm_(z.t(), here)
        d_bias += z.sum(dim=0)
        if d_states.dtype == z.dtype:
            torch.mm(z, wide, out=d_states[tile])
        else:
            d_states[tile] = z @ wide
    d_weight = d_wide.view(parts, -1, wide.shape[1])[:, :channels].reshape(weight.shape)
    d_bias = d_bias.view(parts, -1)[:, :channels].reshape(bias.shape)
    d_own, d_sent = (_flat(gradients[:, :, k], channels) for k in range(2))
    found = ((d_states, states), (d_weight, weight), (d_bias, bias), (d_sent, sent), (d_own, own))
    return tuple(part.to(like.dtype).contiguous() for part, like in found)


@njit(nogil=True, cache=True, fastmath=FAST)
def _scatter(  # type: ignore[no-untyped-def]
    first, last, kind, z, sender, receiver, q, p, slopes, at, gradients, start, extrema
):
    """Replace what a tile's edges say by its gradient, and add up those of the ends."""
    width = p.shape[1] * LANES
    s, dm = np.empty(LANES, z.dtype), np.empty(LANES, z.dtype)
    one = z.dtype.type(1)
    most_exponent = z.dtype.type(80)
    for block in range(first, last):
        begin = block * LANES
        for e in range(len(sender)):
            i, j = receiver[e], sender[e]
            slope, place = slopes[i, block], at[i, block]
            number = np.int32(start + e)
            for c in range(LANES):
                s[c] = p[i, block, c] + q[j, block, c]
            if kind == 0:
                for c in range(LANES):
                    m = z[e, begin + c] * s[c] + z[e, width + begin + c]
                    dm[c] = slope[0, c] + slope[1, c] * m
            elif kind == 1:
                for c in range(LANES):
                    gate = one / (one + exp(min(-z[e, begin + c], most_exponent)))
                    z[e, begin + c] = gate
                    dm[c] = slope[0, c] + slope[1, c] * gate * s[c]
            else:
                for c in range(LANES):
                    dm[c] = slope[0, c] + slope[1, c] * (s[c] + z[e, begin + c])
            if extrema:
                for c in range(LANES):
                    dm[c] += (slope[2, c] if place[0, c] == number else 0) + (
                        slope[3, c] if place[1, c] == number else 0
                    )
            if kind == 0:
                for c in range(LANES):
                    product = z[e, begin + c] * dm[c]
                    z[e, begin + c] = s[c] * dm[c]
                    z[e, width + begin + c] = dm[c]
                    s[c] = product
            elif kind == 1:
                for c in range(LANES):
                    gate = z[e, begin + c]
                    z[e, begin + c] = dm[c] * s[c] * gate * (one - gate)
                    s[c] = dm[c] * gate
            else:
                for c in range(LANES):
                    z[e, begin + c] = s[c] = dm[c]
            for c in range(LANES):
                gradients[i, block, 0, c] += s[c]
            for c in range(LANES):
                gradients[j, block, 1, c] += s[c]


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
    p, q = _blocked(own).numpy(), _blocked(sent).numpy()
    second, second_bias = _second(out_weight, weight), accumulated(out_bias)
    result = states.new_empty(len(states), len(out_bias))
    s, r, silu = sender.numpy(), receiver.numpy(), activation == "silu"
    for tile in _tiles(len(states)):
        u = torch.addmm(bias, accumulated(states[tile]), weight.t())
        array = u.numpy()

        def loop(first: int, last: int, u: Any = array, tile: slice = tile) -> None:
            _activate(first, last, silu, u, s[tile], r[tile], q, p)

        _over_blocks(p.shape[1], len(u), loop)
        if result.dtype == u.dtype:
            torch.addmm(second_bias, u, second.t(), out=result[tile])
        else:
            result[tile] = torch.addmm(second_bias, u, second.t())
    return result


def _second(out_weight: Tensor, weight: Tensor) -> Tensor:
    """``W_2`` for channels in whole blocks."""
    out_weight = accumulated(out_weight)
    return torch.nn.functional.pad(out_weight, (0, len(weight) - out_weight.shape[1]))


@njit(nogil=True, cache=True, fastmath=FAST)
def _activate(first, last, silu, u, sender, receiver, q, p):  # type: ignore[no-untyped-def]
    """Add what the ends say, and apply the activation."""
    one, zero, most_exponent = u.dtype.type(1), u.dtype.type(0), u.dtype.type(80)
    for block in range(first, last):
        begin = block * LANES
        for e in range(len(sender)):
            i, j = receiver[e], sender[e]
            if silu:
                for c in range(LANES):
                    value = u[e, begin + c] + p[i, block, c] + q[j, block, c]
                    u[e, begin + c] = value / (one + exp(min(-value, most_exponent)))
            else:
                for c in range(LANES):
                    value = u[e, begin + c] + p[i, block, c] + q[j, block, c]
                    u[e, begin + c] = zero if value < zero else value


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
    p, q = _blocked(own).numpy(), _blocked(sent).numpy()
    nodes, blocks = p.shape[:2]
    second = _second(out_weight, wide)
    gradients = np.zeros((nodes, blocks, 2, LANES), p.dtype)
    d_states = torch.empty(states.shape, dtype=states.dtype)
    d_wide, d_bias, d_second = torch.zeros_like(wide), torch.zeros_like(wide_bias), torch.zeros_like(second)
    d_second_bias = second.new_zeros(len(second))
    s, r, silu = sender.numpy(), receiver.numpy(), activation == "silu"
    for tile in _tiles(len(states)):
        here, d = accumulated(states[tile]), accumulated(d_result[tile])
        u, dh = torch.addmm(wide_bias, here, wide.t()), d @ second
        arrays = u.numpy(), dh.numpy()

        def loop(first: int, last: int, arrays: Any = arrays, tile: slice = tile) -> None:
            _deactivate(first, last, silu, *arrays, s[tile], r[tile], q, p, gradients)

        _over_blocks(blocks, len(u), loop)
        d_second.addmm_(d.t(), u)
        d_second_bias += d.sum(dim=0)
        d_wide.addmm_(dh.t(), here)
        d_bias += dh.sum(dim=0)
        if d_states.dtype == dh.dtype:
            torch.mm(dh, wide, out=d_states[tile])
        else:
            d_states[tile] = dh @ wide
    d_own, d_sent = (_flat(gradients[:, :, k], channels) for k in range(2))
    found = (
        (d_states, states),
        (d_wide[:channels], weight),
        (d_bias[:channels], bias),
        (d_sent, sent),
        (d_own, own),
        (d_second[:, :channels], out_weight),
        (d_second_bias, out_bias),
    )
    return tuple(part.to(like.dtype).contiguous() for part, like in found)


@njit(nogil=True, cache=True, fastmath=FAST)
def _deactivate(first, last, silu, u, dh, sender, receiver, q, p, gradients):  # type: ignore[no-untyped-def]
    """Replace ``u`` by its activation and ``dh`` by the gradient of ``u``, and add up those of the ends."""
    one, zero, most_exponent = u.dtype.type(1), u.dtype.type(0), u.dtype.type(80)
    for block in range(first, last):
        begin = block * LANES
        for e in range(len(sender)):
            i, j = receiver[e], sender[e]
            if silu:
                for c in range(LANES):
                    value = u[e, begin + c] + p[i, block, c] + q[j, block, c]
                    share = one / (one + exp(min(-value, most_exponent)))
                    u[e, begin + c] = value * share
                    dh[e, begin + c] *= share * (one + value * (one - share))
            else:
                for c in range(LANES):
                    value = u[e, begin + c] + p[i, block, c] + q[j, block, c]
                    u[e, begin + c] = value if value > zero else zero
                    dh[e, begin + c] = dh[e, begin + c] if value > zero else zero
            for c in range(LANES):
                gradients[i, block, 0, c] += dh[e, begin + c]
            for c in range(LANES):
                gradients[j, block, 1, c] += dh[e, begin + c]
