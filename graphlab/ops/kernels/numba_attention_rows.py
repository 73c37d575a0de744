"""What attention computes of one row and the rows at its next places, head by head, in vector registers.

In all of these ``mine[i]`` is the row, ``theirs[col[begin + n]]`` for ``n < size`` are the others, and
``edges[n]`` are the numbers of the edges between them. Channels come 16 at a time, those that are left one by one.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit

from graphlab.ops.kernels.compiled import FAST, WIDTH, add, fill, intrinsic, load, select_larger, store, times


@intrinsic
def _total(context, lanes):  # type: ignore[no-untyped-def]
    """The sum of lanes, by halves."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vector, width = arguments[0], WIDTH
        while width > 1:
            width //= 2
            halves = [
                ir.Constant(ir.VectorType(ir.IntType(32), width), [start + k for k in range(width)])
                for start in (0, width)
            ]
            nothing = ir.Constant(vector.type, ir.Undefined)
            low, high = (builder.shuffle_vector(vector, nothing, half) for half in halves)
            vector = builder.fadd(low, high, flags=tuple(FAST))
        return builder.extract_element(vector, ir.IntType(32)(0))

    return lanes.dtype(lanes), generate


@njit(nogil=True, cache=True, fastmath=FAST)
def dots(i, begin, size, col, mine, theirs, scores):  # type: ignore[no-untyped-def]
    """``scores[h, n]``: inner products."""
    heads = scores.shape[0]
    channels = mine.shape[1] // heads
    full = channels // WIDTH * WIDTH
    for n in range(size):
        j = col[begin + n]
        for h in range(heads):
            start = h * channels
            score = mine.dtype.type(0)
            if full > 0:
                lanes = times(load(mine, i, start), load(theirs, j, start))
                for c in range(start + WIDTH, start + full, WIDTH):
                    lanes = add(lanes, times(load(mine, i, c), load(theirs, j, c)))
                score = _total(lanes)
            for c in range(start + full, start + channels):
                score += mine[i, c] * theirs[j, c]
            scores[h, n] = score


@njit(nogil=True, cache=True, fastmath=FAST)
def leaky_scores(i, begin, size, col, edges, mine, theirs, att, bias, slope, scores):  # type: ignore[no-untyped-def]
    """``scores[h, n]``: products of ``att`` with the LeakyReLU of the rows' sum, the bias added to each channel."""
    heads, channels = att.shape
    full = channels // WIDTH * WIDTH
    one, leak, extra = mine.dtype.type(1), mine.dtype.type(slope), mine.dtype.type(0)
    for n in range(size):
        j = col[begin + n]
        for h in range(heads):
            start = h * channels
            if bias.shape[0] > 0:
                extra = bias[edges[n], h]
            score = mine.dtype.type(0)
            if channels == 1:  # GAT
                x = mine[i, h] + theirs[j, h] + extra
                scores[h, n] = att[h, 0] * x * (one if x > 0 else leak)
                continue
            if full > 0:
                lanes = fill(mine, 0)
                for c in range(0, full, WIDTH):
                    u = add(add(load(mine, i, start + c), load(theirs, j, start + c)), fill(mine, extra))
                    leaky = times(u, select_larger(fill(mine, 0), u, fill(mine, leak), fill(mine, one)))
                    lanes = add(lanes, times(load(att, h, c), leaky))
                score = _total(lanes)
            for c in range(full, channels):
                x = mine[i, start + c] + theirs[j, start + c] + extra
                score += att[h, c] * x * (one if x > 0 else leak)
            scores[h, n] = score


@njit(nogil=True, cache=True, fastmath=FAST)
def accumulate(i, begin, size, col, factors, theirs, result):  # type: ignore[no-untyped-def]
    """Adds to ``result[i]`` the other rows times ``factors[h, n]``."""
    heads = factors.shape[0]
    channels = result.shape[1] // heads
    full = channels // WIDTH * WIDTH
    for h in range(heads):
        start = h * channels
        for c in range(start, start + full, WIDTH):
            lanes = load(result, i, c)
            for n in range(size):
                lanes = add(lanes, times(fill(result, factors[h, n]), load(theirs, col[begin + n], c)))
            store(result, i, c, lanes)
        if full < channels:
            for n in range(size):
                j, factor = col[begin + n], factors[h, n]
                for c in range(start + full, start + channels):
                    result[i, c] += factor * theirs[j, c]


@njit(nogil=True, cache=True, fastmath=FAST)
def accumulate_slopes(i, begin, size, col, edges, factors, mine, theirs, bias, slope, result):  # type: ignore[no-untyped-def]
    """Adds to ``result[i]`` the slopes of the LeakyReLU in :func:`leaky_scores` times ``factors[h, n]``."""
    heads = factors.shape[0]
    channels = result.shape[1] // heads
    full = channels // WIDTH * WIDTH
    one, leak, extra = mine.dtype.type(1), mine.dtype.type(slope), mine.dtype.type(0)
    for h in range(heads):
        start = h * channels
        for c in range(start, start + full, WIDTH):
            lanes, own = load(result, i, c), load(mine, i, c)
            for n in range(size):
                if bias.shape[0] > 0:
                    extra = bias[edges[n], h]
                u = add(add(own, load(theirs, col[begin + n], c)), fill(mine, extra))
                factor = factors[h, n]
                lanes = add(lanes, select_larger(fill(mine, 0), u, fill(mine, factor * leak), fill(mine, factor)))
            store(result, i, c, lanes)
        if full < channels:
            for n in range(size):
                j = col[begin + n]
                if bias.shape[0] > 0:
                    extra = bias[edges[n], h]
                for c in range(start + full, start + channels):
                    u_c = mine[i, c] + theirs[j, c] + extra
                    result[i, c] += factors[h, n] * (one if u_c > 0 else leak)
