"""Attention on a GPU: scores stay in registers, forward and backward.

A program attends from a few rows at once, and corrects what it has added so far when a score exceeds all before it, as
flash attention does (Dao et al. 2022). A piece of a cut row leaves its maximum, sum and unnormalised values, which the
next level takes for an entry with that score. The gradient computes scores again, in one pass over targets and one over
sources, and adds nothing atomically.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphlab.ops.adjacency import Adjacency
from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.triton_rows import accumulator, jit, keep, launch, on_gpu, piece, pieces, tuned
from graphlab.ops.kernels.triton_spmm import add_partial, partial_sums
from graphlab.ops.library import accumulated, transposed

WIDTH = 256
"""Channels, of all heads, that one program holds; the channels of one head are never divided."""


def _tile(heads: int, inner: int, channels: int) -> dict[str, int]:
    d, c = (triton.next_power_of_2(max(size, 1)) for size in (inner, channels))
    return {"H": min(triton.next_power_of_2(max(heads, 1)), max(1, WIDTH // max(c, d))), "D": d, "C": c}


@implement("attention", "triton", on_gpu)
def attention(
    adj: Adjacency,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    att: Tensor | None,
    bias: Tensor | None,
    keep: Tensor | None,
    slope: float,
) -> tuple[Tensor, Tensor]:
    (_, heads, inner), channels = q.shape, v.shape[2]
    tiles, kind = _tile(heads, inner, channels), accumulated(v[:0]).dtype
    y = v.new_empty(adj.num_targets, heads, channels)
    norm = y.new_empty(adj.num_targets, heads, dtype=kind)
    given = [adj.col, *(None if part is None else part.contiguous() for part in (adj.perm, q, k, v, att, bias, keep))]
    left: list[Tensor | None] = [None, None]
    for level in pieces(adj.rowptr):
        to: list[Tensor | None] = [None, None]
        if level.partial:
            to = [norm.new_empty(level.partial, 2, heads), partial_sums(level, y)]
        launch(
            _attention, level.number, triton.cdiv(heads, tiles["H"]), level.start, level.row, level.slot, level.number,
            *given, *left, y, norm, *to, heads, inner, channels, slope, accumulator(v), **tiles,
        )  # fmt: skip
        given, left = [None] * 8, to
    return y, norm


@tuned("heads", "inner", "channels", area=1024)
def _attention(  # type: ignore[no-untyped-def]
    start, row, slot, pieces, col, perm, q, k, v, att, bias, factor, softmax, values, y, norm, to_softmax, to_values,
    heads, inner, channels, SLOPE: tl.constexpr, ACC: tl.constexpr, H: tl.constexpr, D: tl.constexpr, C: tl.constexpr,
    AREA: tl.constexpr, E: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    live, begin, end, i, to = piece(start, row, slot, pieces, R)
    h, at_d, in_d, at_c, in_c = _channels(heads, inner, channels, H, D, C)
    top = tl.full([R, H], float("-inf"), ACC)
    total = tl.zeros([R, H], ACC)
    result = tl.zeros([R, H, C], ACC)
    if q is not None:
        mine, vector = _ends(q, att, i[:, None], live[:, None], heads * inner, at_d, in_d, ACC)
    for at in range(0, tl.max(end - begin), E):
        e = begin[:, None] + at + tl.arange(0, E)[None, :]
        valid = e < end[:, None]
        mask = valid[:, :, None] & (h < heads)[None, None, :]
        if q is not None:
            j = tl.load(col + e, mask=valid, other=0).to(tl.int64)
            extra, kept = _of_edges(perm, bias, factor, e, valid, mask, heads, h, ACC)
            theirs = _rows(k, j, valid, heads * inner, at_d, in_d, ACC)
            score = _score(mine, theirs, att, vector, bias, extra, SLOPE)[0]
            value = _rows(v, j, valid, heads * channels, at_c, in_c, ACC)
        else:
            where = e[:, :, None] * (2 * heads) + h[None, None, :]
            score = tl.load(softmax + where, mask=mask, other=0)
            kept = tl.load(softmax + where + heads, mask=mask, other=0)
            value = _rows(values, e, valid, heads * channels, at_c, in_c, ACC)
        score = tl.where(mask, score, float("-inf"))
        larger = tl.maximum(top, tl.max(score, axis=1))
        shift = tl.where(larger == float("-inf"), 0, larger)
        weight = tl.exp(score - shift[:, None, :])
        past = tl.exp(top - shift)
        if q is not None:
            total = total * past + tl.sum(weight, axis=1)
            if factor is not None:
                weight *= kept
        else:
            total = total * past + tl.sum(weight * kept, axis=1)
        result = result * past[:, :, None] + tl.sum(weight[:, :, :, None] * value, axis=1)
        top = larger
    in_h = (h < heads)[None, :]
    final = live & (to < 0)
    divided = result / tl.where(total == 0, 1, total)[:, :, None]
    shift = tl.where(top == float("-inf"), 0, top)
    logarithm = tl.where(total == 0, float("inf"), shift + tl.log(tl.where(total == 0, 1, total)))
    keep(divided, y, None, live, i, to, heads * channels, at_c, in_c)
    tl.store(norm + i[:, None] * heads + h[None, :], logarithm, mask=final[:, None] & in_h)
    if to_values is not None:
        apart = (live & (to >= 0))[:, None] & in_h
        keep(result, to_values, None, live, to, -1 - to, heads * channels, at_c, in_c)
        there = to[:, None] * (2 * heads) + h[None, :]
        tl.store(to_softmax + there, top, mask=apart)
        tl.store(to_softmax + there + heads, total, mask=apart)


# ---- gradient -----------------------------------------------------------------------------------------------------


@implement("attention_gradient", "triton", on_gpu)
def attention_gradient(
    adj: Adjacency,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    att: Tensor | None,
    bias: Tensor | None,
    keep: Tensor | None,
    slope: float,
    y: Tensor,
    norm: Tensor,
    dy: Tensor,
) -> tuple[Tensor, ...]:
    (_, heads, inner), channels = q.shape, v.shape[2]
    tiles, kind = _tile(heads, inner, channels), norm.dtype
    dq, dk, dv = (torch.empty_like(part, memory_format=torch.contiguous_format) for part in (q, k, v))
    mean = (accumulated(dy) * accumulated(y)).sum(dim=-1)
    queries, keys, values, gradient = (part.contiguous() for part in (q, k, v, dy))
    of_edges = [None if part is None else part.contiguous() for part in (att, bias, keep)]
    constants = (heads, inner, channels, slope, accumulator(v))
    dbias = None if bias is None else torch.empty_like(bias, memory_format=torch.contiguous_format)

    first, *others = pieces(adj.rowptr)
    partial = partial_sums(first, dq)
    datt = None if att is None else dq.new_empty(first.number, heads, inner, dtype=kind)
    launch(
        _of_targets, first.number, triton.cdiv(heads, tiles["H"]), first.start, first.row, first.slot, first.number,
        adj.col, adj.perm, queries, keys, values, *of_edges, norm, mean, gradient, dq, partial, datt, dbias,
        *constants, **tiles,
    )  # fmt: skip
    add_partial(others, partial, dq)

    turned = transposed(adj, k.shape[0])
    first, *others = pieces(turned.rowptr)
    parts = [partial_sums(first, dk), partial_sums(first, dv)]
    launch(
        _of_sources, first.number, triton.cdiv(heads, tiles["H"]), first.start, first.row, first.slot, first.number,
        turned.col, turned.perm, queries, keys, values, *of_edges, norm, mean, gradient, dk, dv, *parts,
        *constants, **tiles,
    )  # fmt: skip
    add_partial(others, parts[0], dk)
    add_partial(others, parts[1], dv)
    factors = q.new_empty(0, 0) if datt is None else datt.sum(dim=0).to(q.dtype)
    return dq, dk, dv, factors, q.new_empty(0, 0) if dbias is None else dbias


@tuned("heads", "inner", "channels", area=1024)
def _of_targets(  # type: ignore[no-untyped-def]
    start, row, slot, pieces, col, perm, q, k, v, att, bias, factor, norm, mean, dy, dq, partial, datt, dbias, heads,
    inner, channels, SLOPE: tl.constexpr, ACC: tl.constexpr, H: tl.constexpr, D: tl.constexpr, C: tl.constexpr,
    AREA: tl.constexpr, E: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    live, begin, end, i, to = piece(start, row, slot, pieces, R)
    h, at_d, in_d, at_c, in_c = _channels(heads, inner, channels, H, D, C)
    mine, vector = _ends(q, att, i[:, None], live[:, None], heads * inner, at_d, in_d, ACC)
    given = _rows(dy, i[:, None], live[:, None], heads * channels, at_c, in_c, ACC)
    in_h = (h < heads)[None, None, :]
    of = i[:, None, None] * heads + h[None, None, :]
    level = tl.load(norm + of, mask=live[:, None, None] & in_h, other=0)
    centre = tl.load(mean + of, mask=live[:, None, None] & in_h, other=0)
    total = tl.zeros([R, H, D], ACC)
    leaked = tl.zeros([R, H, D], ACC)
    for at in range(0, tl.max(end - begin), E):
        e = begin[:, None] + at + tl.arange(0, E)[None, :]
        valid = e < end[:, None]
        mask = valid[:, :, None] & in_h
        j = tl.load(col + e, mask=valid, other=0).to(tl.int64)
        extra, kept = _of_edges(perm, bias, factor, e, valid, mask, heads, h, ACC)
        theirs = _rows(k, j, valid, heads * inner, at_d, in_d, ACC)
        score, change, leaky = _score(mine, theirs, att, vector, bias, extra, SLOPE)
        value = _rows(v, j, valid, heads * channels, at_c, in_c, ACC)
        dscore = _dscore(score, level, centre, tl.sum(given * value, axis=3), kept, factor, mask)[0]
        part = dscore[:, :, :, None] * change
        total += tl.sum(part, axis=1)
        if att is not None:
            leaked += tl.sum(dscore[:, :, :, None] * leaky, axis=1)
        if dbias is not None:
            edge = e
            if perm is not None:
                edge = tl.load(perm + e, mask=valid, other=0).to(tl.int64)
            through = dscore
            if att is not None:
                through = tl.sum(part, axis=3)
            there = edge[:, :, None] * heads + h[None, None, :]
            tl.store(dbias + there, through.to(dbias.dtype.element_ty), mask=mask)
    keep(total, dq, partial, live, i, to, heads * inner, at_d, in_d)
    if att is not None:
        s = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)
        keep(leaked, datt, None, live, s, tl.full([R], -1, tl.int64), heads * inner, at_d, in_d)


@tuned("heads", "inner", "channels", area=1024)
def _of_sources(  # type: ignore[no-untyped-def]
    start, row, slot, pieces, col, perm, q, k, v, att, bias, factor, norm, mean, dy, dk, dv, dk_partial, dv_partial,
    heads, inner, channels, SLOPE: tl.constexpr, ACC: tl.constexpr, H: tl.constexpr, D: tl.constexpr, C: tl.constexpr,
    AREA: tl.constexpr, E: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    live, begin, end, j, to = piece(start, row, slot, pieces, R)
    h, at_d, in_d, at_c, in_c = _channels(heads, inner, channels, H, D, C)
    mine, vector = _ends(k, att, j[:, None], live[:, None], heads * inner, at_d, in_d, ACC)
    value = _rows(v, j[:, None], live[:, None], heads * channels, at_c, in_c, ACC)
    dkey, dvalue = tl.zeros([R, H, D], ACC), tl.zeros([R, H, C], ACC)
    for at in range(0, tl.max(end - begin), E):
        e = begin[:, None] + at + tl.arange(0, E)[None, :]
        valid = e < end[:, None]
        mask = valid[:, :, None] & (h < heads)[None, None, :]
        i = tl.load(col + e, mask=valid, other=0).to(tl.int64)
        extra, kept = _of_edges(perm, bias, factor, e, valid, mask, heads, h, ACC)
        theirs = _rows(q, i, valid, heads * inner, at_d, in_d, ACC)
        score, change, _ = _score(mine, theirs, att, vector, bias, extra, SLOPE)
        of = i[:, :, None] * heads + h[None, None, :]
        level = tl.load(norm + of, mask=mask, other=0)
        centre = tl.load(mean + of, mask=mask, other=0)
        given = _rows(dy, i, valid, heads * channels, at_c, in_c, ACC)
        dscore, weight = _dscore(score, level, centre, tl.sum(given * value, axis=3), kept, factor, mask)
        dkey += tl.sum(dscore[:, :, :, None] * change, axis=1)
        dvalue += tl.sum(weight[:, :, :, None] * given, axis=1)
    keep(dkey, dk, dk_partial, live, j, to, heads * inner, at_d, in_d)
    keep(dvalue, dv, dv_partial, live, j, to, heads * channels, at_c, in_c)


# ---- in kernels ---------------------------------------------------------------------------------------------------


@jit
def _channels(heads, inner, channels, H: tl.constexpr, D: tl.constexpr, C: tl.constexpr):  # type: ignore[no-untyped-def]
    """The heads of this program; where their channels are in a row, ``[H, D]`` and ``[H, C]``, and which exist."""
    h = tl.program_id(1) * H + tl.arange(0, H)
    d, c, exist = tl.arange(0, D), tl.arange(0, C), (h < heads)[:, None]
    return (
        h,
        h[:, None] * inner + d[None, :],
        exist & (d < inner)[None, :],
        h[:, None] * channels + c[None, :],
        exist & (c < channels)[None, :],
    )


@jit
def _rows(x, row, valid, width, offset, inside, ACC: tl.constexpr):  # type: ignore[no-untyped-def]
    """``[R, E, H, C]``: rows of ``x``, zero where there are none."""
    mask = valid[:, :, None, None] & inside[None, None, :, :]
    return tl.load(x + row[:, :, None, None] * width + offset[None, None, :, :], mask=mask, other=0).to(ACC)


@jit
def _ends(x, att, row, live, width, offset, inside, ACC: tl.constexpr):  # type: ignore[no-untyped-def]
    """The rows of ``x``, and the vector of scores if there is one."""
    mine = _rows(x, row, live, width, offset, inside, ACC)
    vector = 0.0
    if att is not None:
        vector = tl.load(att + offset, mask=inside, other=0).to(ACC)[None, None, :, :]
    return mine, vector


@jit
def _of_edges(perm, bias, factor, e, valid, mask, heads, h, ACC: tl.constexpr):  # type: ignore[no-untyped-def]
    """What is added to the scores at some places, and what multiplies the weights: ``[R, E, H]``, or numbers."""
    edge = e
    if (bias is not None or factor is not None) and perm is not None:
        edge = tl.load(perm + e, mask=valid, other=0).to(tl.int64)
    where = edge[:, :, None] * heads + h[None, None, :]
    extra, kept = 0.0, 1.0
    if bias is not None:
        extra = tl.load(bias + where, mask=mask, other=0).to(ACC)
    if factor is not None:
        kept = tl.load(factor + where, mask=mask, other=0).to(ACC)
    return extra, kept


@jit
def _score(mine, theirs, att, vector, bias, extra, SLOPE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Scores ``[R, E, H]``, their derivatives by ``mine``, and by ``vector`` (meaningless without one)."""
    if att is None:
        score = tl.sum(mine * theirs, axis=3)
        if bias is not None:
            score += extra
        return score, theirs, theirs
    inner = mine + theirs
    if bias is not None:
        inner += extra[:, :, :, None]
    leaky = tl.where(inner > 0, inner, inner * SLOPE)
    return tl.sum(vector * leaky, axis=3), tl.where(inner > 0, vector, vector * SLOPE), leaky


@jit
def _dscore(score, level, centre, product, kept, factor, mask):  # type: ignore[no-untyped-def]
    """The gradients of scores, and the weights with which values were added; zero where there is no edge."""
    p = tl.where(mask, tl.exp(score - level), 0)
    weight = p
    if factor is not None:
        product *= kept
        weight *= kept
    return tl.where(mask, p * (product - centre), 0), weight
