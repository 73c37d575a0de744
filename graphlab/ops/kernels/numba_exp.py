"""The exponential function for compiled loops, in float32 as vector instructions, and normalised exponentials."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from graphlab.ops.kernels.compiled import FAST

LANES = 16
"""Inner loops of this fixed length become a few vector instructions."""

_LOG2E, _LN2_HIGH, _LN2_LOW = (np.float32(c) for c in (1.44269504, 0.693359375, -2.12194440e-4))
_ROUND = np.float32(1.5 * 2**23)
"""Added and taken away it rounds to an integer, which meanwhile stands in the last bits."""
_BITS = np.int32(_ROUND.view(np.int32) - 127)
_LEAST = np.float32(-87.0)
_TAYLOR = tuple(np.float32(1 / math.factorial(n)) for n in range(8))


def exp(x: Any) -> Any:
    """``exp(x)`` for ``x`` below 80. In float32 to two units in the last place, and 0 where it is below 1e-38."""
    raise NotImplementedError("to be called in compiled loops")


@njit(nogil=True, cache=True, fastmath={"contract"})
def _exp32(x):  # type: ignore[no-untyped-def]
    t = x * _LOG2E + _ROUND
    n = t - _ROUND
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    p = _TAYLOR[7]
    p = p * r + _TAYLOR[6]
    p = p * r + _TAYLOR[5]
    p = p * r + _TAYLOR[4]
    p = p * r + _TAYLOR[3]
    p = p * r + _TAYLOR[2]
    p = p * r + _TAYLOR[1]
    p = p * r + _TAYLOR[0]
    power = np.int32((np.float32(t).view(np.int32) - _BITS) << np.int32(23)).view(np.float32)
    return np.float32(0) if x < _LEAST else p * power


@overload(exp)
def _exp(x):  # type: ignore[no-untyped-def]
    if x == types.float32:
        return lambda x: _exp32(x)
    return lambda x: math.exp(x)


@njit(nogil=True, cache=True, fastmath=FAST)
def exponentials(scores, size, shift):  # type: ignore[no-untyped-def]
    """Replaces the first ``size`` scores by ``exp(score - shift)``, and those up to a full lane by 0; their sum."""
    full = (size + LANES - 1) // LANES * LANES
    scores[size:full] = -np.inf
    total = scores.dtype.type(0)
    for start in range(0, full, LANES):
        for lane in range(LANES):
            p = exp(scores[start + lane] - shift)
            scores[start + lane] = p
            total += p
    return total
