r"""Linear maps of Fourier features of single numbers on a CPU: tabulated, and interpolated.

Of a number :math:`v`, :math:`y(v) = W [\cos 2\pi b v; \sin 2\pi b v] + c` is as smooth as its highest frequency. On a
grid of spacing :math:`h = \theta / (2\pi \max |b|)` the polynomial through the :math:`2n` nearest points of
:math:`e^{i \omega v}` is off by at most

.. math:: \frac{\theta^{2n}}{(2n)!} \prod_{k=1}^{n} \Big(k - \tfrac12\Big)^2,

for :math:`n = 6` and :math:`\theta = 1/2` less than :math:`2 \cdot 10^{-8}`, half a unit in the last place of float32.
A table takes a product for each of its rows, a number the sum of twelve of these. Where there are not many more numbers
than rows, and where the gradient of the numbers is asked for, features are computed as they are.
"""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from graphlab.ops import fourier
from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.compiled import FAST, add, fill, load, store, times
from graphlab.ops.kernels.compiled import WIDTH as LANES
from graphlab.ops.kernels.threads import over_rows

POINTS = 12
STEP = 0.5
"""Radians of the highest frequency between points of a table."""
WORTH = 4
"""Numbers for each row of a table from which it is worth making."""

_PLACES = np.arange(POINTS) - (POINTS // 2 - 1)
_COEFFICIENTS = np.array([1 / np.prod([k - j for j in _PLACES if j != k]) for k in _PLACES])


def _on_cpu(values: Tensor, *others: Any) -> bool:
    return values.is_cpu


def _table(values: Tensor, frequencies: Tensor) -> tuple[float, float, int] | None:
    """Where a table begins, its spacing and its length; nothing if it is not worth it."""
    if values.dtype != torch.float32 or values.shape[1] != 1 or frequencies.dtype != torch.float32 or not len(values):
        return None
    least, most = (float(end) for end in values.aminmax())
    highest = float(frequencies.abs().max())
    if not np.isfinite([least, most, highest]).all() or highest == 0:
        return None
    spacing = STEP / (2 * pi * highest)
    length = (most - least) / spacing + POINTS + 3
    if WORTH * length > len(values):
        return None
    return least - spacing * (POINTS // 2), spacing, int(length)


def _features(start: float, spacing: float, length: int, frequencies: Tensor) -> Tensor:
    """``[length, 2 * num_frequencies]``: those of every 32nd row, turned by the angles of 32 rows."""

    def turned(at: Tensor) -> tuple[Tensor, Tensor]:
        turns = at.unsqueeze(1) * frequencies.double().t()
        phases = (2 * pi * (turns - turns.round())).float()  # of which whole turns do not matter
        return phases.cos(), phases.sin()

    coarse = torch.arange(0, length, 32, dtype=torch.float64)
    (cosine, sine), (c, s) = turned(start + spacing * coarse), turned(spacing * torch.arange(32.0, dtype=torch.float64))
    made = cosine.new_empty(len(coarse), 32, 2 * len(frequencies))
    cosine, sine = cosine.unsqueeze(1), sine.unsqueeze(1)
    cosines, sines = made.chunk(2, dim=2)
    torch.mul(cosine, c, out=cosines).addcmul_(sine, s, value=-1)
    torch.mul(sine, c, out=sines).addcmul_(cosine, s)
    return made.flatten(0, 1)[:length]


@implement("fourier_linear", "numba", _on_cpu)
def fourier_linear(values: Tensor, frequencies: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    found = _table(values, frequencies)
    if found is None or weight.dtype != torch.float32:
        return fourier.reference(values, frequencies, weight, bias)
    missing = -len(weight) % LANES
    pad = torch.nn.functional.pad
    table = torch.addmm(pad(bias, (0, missing)), _features(*found, frequencies), pad(weight, (0, 0, 0, missing)).t())
    result = torch.empty(len(values), table.shape[1])
    start, spacing, _ = found
    given, rows, out = values.numpy()[:, 0], table.numpy(), result.numpy()

    def loop(first: int, last: int) -> None:
        _interpolate(first, last, given, start, 1 / spacing, rows, out, _COEFFICIENTS)

    over_rows(np.arange(len(values) + 1), 2 * POINTS * LANES, loop)
    return result[:, : len(weight)].contiguous()


@implement("fourier_linear_gradient", "numba", _on_cpu)
def fourier_linear_gradient(
    values: Tensor, frequencies: Tensor, weight: Tensor, d_result: Tensor, need_values: bool
) -> tuple[Tensor, Tensor, Tensor]:
    found = None if need_values else _table(values, frequencies)
    if found is None or weight.dtype != torch.float32:
        return fourier.gradient_reference(values, frequencies, weight, d_result, need_values)
    missing = -len(weight) % LANES
    start, spacing, length = found
    given, d = values.numpy()[:, 0], torch.nn.functional.pad(d_result, (0, missing)).contiguous().numpy()
    table = np.zeros((length, d.shape[1]), np.float32)

    def loop(first: int, last: int) -> None:
        _spread(first, last, given, start, 1 / spacing, d, table, _COEFFICIENTS)

    over_rows(np.arange(d.shape[1] // LANES + 1) * len(d), 2 * POINTS * LANES, loop)
    d_weight = torch.from_numpy(table).t() @ _features(*found, frequencies)
    return values.new_empty(0), d_weight[: len(weight)].contiguous(), d_result.sum(dim=0)


@njit(nogil=True, cache=True, fastmath=FAST)
def _weigh(value, start, per_unit, coefficients, weights):  # type: ignore[no-untyped-def]
    """The first row of a table that a number reads; writes what each counts for."""
    at = (value - start) * per_unit
    low = int(np.floor(at))
    t = at - low
    product = 1.0
    for k in range(POINTS):
        weights[k] = product * coefficients[k]
        product *= t - (k - (POINTS // 2 - 1))
    product = 1.0
    for k in range(POINTS - 1, -1, -1):
        weights[k] *= product
        product *= t - (k - (POINTS // 2 - 1))
    return low - (POINTS // 2 - 1)


@njit(nogil=True, cache=True, fastmath=FAST)
def _interpolate(first, last, values, start, per_unit, table, out, coefficients):  # type: ignore[no-untyped-def]
    weights = np.empty(POINTS)
    for e in range(first, last):
        row = _weigh(values[e], start, per_unit, coefficients, weights)
        for begin in range(0, table.shape[1], LANES):
            total = times(fill(table, weights[0]), load(table, row, begin))
            for k in range(1, POINTS):
                total = add(total, times(fill(table, weights[k]), load(table, row + k, begin)))
            store(out, e, begin, total)


@njit(nogil=True, cache=True, fastmath=FAST)
def _spread(first, last, values, start, per_unit, d, table, coefficients):  # type: ignore[no-untyped-def]
    weights = np.empty(POINTS)
    for block in range(first, last):
        begin = block * LANES
        for e in range(len(values)):
            row = _weigh(values[e], start, per_unit, coefficients, weights)
            given = load(d, e, begin)
            for k in range(POINTS):
                store(table, row + k, begin, add(load(table, row + k, begin), times(fill(table, weights[k]), given)))
