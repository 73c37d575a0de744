"""Comparisons entry by entry of two tensors of one shape."""

import numpy as np

from graphlab.conformance.compare.verdict import Array, Verdict, allowance, difference, finite, judge
from graphlab.conformance.rules import TensorRule


def allclose(a: Array, b: Array, rule: TensorRule) -> Verdict:
    r"""Everywhere :math:`|a - b| \le atol + rtol |b|`, with ``first_atol`` as the tolerance of entry 0 on axis 0."""
    atol = np.full_like(b, rule.atol)
    if rule.first_atol is not None:
        np.atleast_1d(atol)[:1] = rule.first_atol
    return judge(difference(a, b), allowance(b, atol, rule.rtol))


def exact(a: Array, b: Array, _: TensorRule) -> Verdict:
    """Equal values."""
    return judge(difference(a, b), np.zeros_like(b))


def max_relative(a: Array, b: Array, rule: TensorRule) -> Verdict:
    r""":math:`\max |a - b| \le atol + rtol \max |b|`, the maxima over the whole tensor."""
    scale = np.abs(finite(b)).max(initial=0.0)
    return judge(difference(a, b), np.full_like(b, rule.atol + rule.rtol * scale))


def columns_up_to_sign(a: Array, b: Array, rule: TensorRule) -> Verdict:
    """Each column ``[:, j]`` of ``a`` is that of ``b`` or its negative; a 1-d tensor is one column."""
    a, b = np.atleast_1d(a), np.atleast_1d(b)
    allowed = allowance(b, rule.atol, rule.rtol)
    kept, flipped = difference(a, b), difference(-a, b)
    flip = (flipped - allowed).max(axis=0, initial=-np.inf) < (kept - allowed).max(axis=0, initial=-np.inf)
    return judge(np.where(flip, flipped, kept), allowed)
