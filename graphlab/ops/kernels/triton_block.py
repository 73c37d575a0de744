"""Messages of a block on a GPU: a program goes over the senders of one receiver and keeps messages in registers.

Edge states are read once, whatever statistics are asked for, and messages are never written. The gradient, and sums
alone, are matrix products over tiles (the plain versions).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphlab.ops import block_film, block_statistics, block_update
from graphlab.ops.dispatch import forced, implement
from graphlab.ops.kernels.triton_rows import INTERPRETED
from graphlab.ops.library import accumulated

MESSAGES = ("film", "gate", "linear", "relu", "silu")
DTYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
"""In which products are formed; the interpreter has none of bfloat16."""
MOST_CHANNELS = 128
"""Of an edge: they are multiplied in one go. Wider ones are left to the plain version."""


def on_gpu(edge: Tensor, *others: Any) -> bool:
    """On a GPU, or anywhere if a person asks for interpreted Triton."""
    return forced() == "triton" if INTERPRETED else edge.is_cuda


def takes(edge: Tensor, *others: Any) -> bool:
    """The kernel has no double precision, and holds all channels of an edge."""
    return on_gpu(edge) and edge.dtype in DTYPES and 0 < edge.shape[3] <= MOST_CHANNELS


for _operator, _products in (
    ("block_statistics_gradient", block_statistics.gradient_reference),
    ("block_film_sum", block_film.reference),
    ("block_film_sum_gradient", block_film.gradient_reference),
    ("block_edge_update", block_update.reference),
    ("block_edge_update_gradient", block_update.gradient_reference),
):
    implement(_operator, "triton", on_gpu)(_products)  # matrix products of large tiles, until there is a kernel


@implement("block_statistics", "triton", takes)
def statistics(
    edge: Tensor,
    source: Tensor,
    target: Tensor,
    weight: Tensor,
    bias: Tensor,
    axis: int,
    message: str,
    spread: bool,
    extrema: bool,
) -> tuple[Tensor, ...]:
    sender, receiver = (source, target) if axis == 1 else (target, source)
    batch, receivers, channels = receiver.shape
    edge, sender, receiver, weight, bias = (part.contiguous() for part in (edge, sender, receiver, weight, bias))
    total = torch.empty_like(receiver, dtype=accumulated(receiver[:0]).dtype)
    deviations, least, most = (total.new_empty(total.shape if flag else 0) for flag in (spread, extrema, extrema))
    least_at, most_at = (torch.empty_like(part, dtype=torch.int32) for part in (least, most))
    results = (total, deviations, least, most, least_at, most_at)
    width = max(16, min(64, triton.next_power_of_2(channels)))
    if total.numel():
        _statistics[(batch * receivers, triton.cdiv(channels, width))](
            edge, sender, receiver, weight, bias, *results, receivers, edge.shape[axis], channels, edge.shape[3],
            edge.stride(0), edge.stride(3 - axis), edge.stride(axis),
            MESSAGE=MESSAGES.index(message), SPREAD=spread, EXTREMA=extrema,
            PRODUCT=tl.float32 if INTERPRETED else DTYPES[edge.dtype],
            S=64, K=max(16, triton.next_power_of_2(edge.shape[3])), C=width,
        )  # fmt: skip
    return results


@triton.jit  # type: ignore[untyped-decorator]
def _statistics(  # type: ignore[no-untyped-def]
    edge, sender, receiver, weight, bias, total_to, spread_to, least_to, most_to, least_at_to, most_at_to,
    receivers, senders, channels, edge_channels, batch_stride, receiver_stride, sender_stride,
    MESSAGE: tl.constexpr, SPREAD: tl.constexpr, EXTREMA: tl.constexpr,
    PRODUCT: tl.constexpr, S: tl.constexpr, K: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    b, r = row // receivers, row % receivers
    c, k = tl.program_id(1) * C + tl.arange(0, C), tl.arange(0, K)
    inside, known = c < channels, k < edge_channels
    both = known[:, None] & inside[None, :]
    first = tl.load(weight + c[None, :] * edge_channels + k[:, None], mask=both, other=0).to(PRODUCT)
    first_bias = tl.load(bias + c, mask=inside, other=0).to(tl.float32)
    if MESSAGE == 0:
        at_second = weight + (channels + c[None, :]) * edge_channels + k[:, None]
        second = tl.load(at_second, mask=both, other=0).to(PRODUCT)
        second_bias = tl.load(bias + channels + c, mask=inside, other=0).to(tl.float32)
    own = tl.load(receiver + row * channels + c, mask=inside, other=0).to(tl.float32)
    total, spread = tl.zeros([C], tl.float32), tl.zeros([C], tl.float32)
    least, most = tl.full([C], float("inf"), tl.float32), tl.full([C], float("-inf"), tl.float32)
    least_at, most_at = tl.full([C], -1, tl.int32), tl.full([C], -1, tl.int32)
    nan = tl.zeros([C], tl.int32)
    edge += b * batch_stride + r * receiver_stride
    for at in range(0, senders, S):
        j = at + tl.arange(0, S)
        valid = j < senders
        e = tl.load(
            edge + j[:, None].to(tl.int64) * sender_stride + k[None, :], mask=valid[:, None] & known[None, :], other=0
        ).to(PRODUCT)
        there = valid[:, None] & inside[None, :]
        q = tl.load(sender + (b * senders + j[:, None]) * channels + c[None, :], mask=there, other=0).to(tl.float32)
        s = own[None, :] + q
        m = tl.dot(e, first, input_precision="ieee") + first_bias[None, :]
        if MESSAGE == 0:
            m = m * s + tl.dot(e, second, input_precision="ieee") + second_bias[None, :]
        elif MESSAGE == 1:
            m = tl.sigmoid(m) * s
        else:
            m += s
            if MESSAGE == 3:
                m = tl.where(m <= 0, 0.0, m)
            elif MESSAGE == 4:
                m = m * tl.sigmoid(m)
        number = tl.minimum(senders - at, S).to(tl.float32)
        part = tl.sum(tl.where(there, m, 0.0), axis=0)
        if SPREAD:
            mean = part / number
            apart = tl.where(there, m - mean[None, :], 0.0)
            between = mean - total / tl.maximum(at, 1)
            spread += tl.sum(apart * apart, axis=0) + between * between * (at * number / (at + number))
        total += part
        if EXTREMA:
            bad = m != m
            nan = tl.maximum(nan, tl.max((there & bad).to(tl.int32), axis=0))
            low = tl.where(there, tl.where(bad, float("-inf"), m), float("inf"))
            high = tl.where(there, tl.where(bad, float("inf"), m), float("-inf"))
            new_low, new_high = tl.min(low, axis=0), tl.max(high, axis=0)
            low_at = tl.min(tl.where(there & (low == new_low[None, :]), j[:, None], senders), axis=0)
            high_at = tl.min(tl.where(there & (high == new_high[None, :]), j[:, None], senders), axis=0)
            lower, higher = (new_low < least) | (least_at < 0), (new_high > most) | (most_at < 0)
            least, most = tl.where(lower, new_low, least), tl.where(higher, new_high, most)
            least_at, most_at = tl.where(lower, low_at, least_at), tl.where(higher, high_at, most_at)
    to = row * channels + c
    tl.store(total_to + to, total, mask=inside)
    if SPREAD:
        tl.store(spread_to + to, spread, mask=inside)
    if EXTREMA:
        tl.store(least_to + to, tl.where(nan > 0, float("nan"), least), mask=inside)
        tl.store(most_to + to, tl.where(nan > 0, float("nan"), most), mask=inside)
        tl.store(least_at_to + to, least_at, mask=inside)
        tl.store(most_at_to + to, most_at, mask=inside)
