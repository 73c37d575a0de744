"""The outcome of one comparison, and the arithmetic that all numeric ones share."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class Verdict(NamedTuple):
    """Pass or fail; the largest absolute difference, infinite where no number tells; why it failed."""

    passed: bool
    error: float
    reason: str


SAME = Verdict(True, 0.0, "")


def failed(reason: str) -> Verdict:
    """The verdict on something that no number can measure: a wrong shape, a missing entry."""
    return Verdict(False, math.inf, reason)


def to_array(tensor: Tensor) -> Array:
    """The values of a tensor as float64."""
    array: Array = tensor.detach().to(device="cpu", dtype=torch.float64).numpy()
    return array


def to_arrays(a: Tensor, b: Tensor) -> tuple[Array, Array] | None:
    """Both as float64, or ``None`` if their shapes differ; one-element tensors all have the shape of ``b``."""
    if a.shape != b.shape and not a.numel() == b.numel() == 1:
        return None
    return to_array(a).reshape(b.shape), to_array(b)


def difference(a: Array, b: Array) -> Array:
    """``|a - b|``; 0 between two NaN or equal infinities, infinite between what else is not finite on both sides."""
    result = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.inf)
    with np.errstate(over="ignore"):
        np.subtract(a, b, out=result, where=np.isfinite(a) & np.isfinite(b))
    return np.abs(result)


def allowance(b: Array, atol: Array | float, rtol: float) -> Array:
    """``atol + rtol |b|``, with the infinite and NaN entries of ``b`` counted as 0: they match only themselves."""
    return np.asarray(atol + rtol * np.abs(finite(b)), dtype=np.float64)


def finite(b: Array) -> Array:
    """``b`` with 0 in place of infinities and NaN."""
    return np.where(np.isfinite(b), b, 0.0)


def judge(error: Array, allowed: Array, position: Callable[[int], Any] | None = None) -> Verdict:
    """Pass if ``error <= allowed`` everywhere.

    Args:
        error, allowed: broadcastable, ``allowed`` to the shape of ``error``.
        position: names an entry, given its flat index; by default its index in ``error``.
    """
    worst = float(error.max(initial=0.0))
    allowed = np.broadcast_to(allowed, error.shape)
    wrong = error > allowed
    if not wrong.any():
        return Verdict(True, worst, "")
    at = int(np.where(wrong, error, -1.0).argmax())
    place = position(at) if position else [int(index) for index in np.unravel_index(at, error.shape)]
    return Verdict(
        False,
        worst,
        f"{int(wrong.sum())} of {error.size} entries differ, most at {place}: "
        f"by {error.flat[at]:.3g} where {allowed.flat[at]:.3g} is allowed",
    )
