"""Operators that act on each element for itself."""

from __future__ import annotations

import math
from fractions import Fraction

import torch

from graphlab.capture import Operation, Value
from graphlab.weightgraph.rescaling_rules.registry import aligned, elementwise, rescaling_rule
from graphlab.weightgraph.rescaling_system import Place, System, Term

DEGREES: dict[str, tuple[Fraction | int | None, int | None]] = {
    **dict.fromkeys(("neg", "negative", "positive", "real", "imag", "tril", "triu", "trunc", "fix"), (1, 1)),
    **dict.fromkeys(("reciprocal",), (-1, 1)),
    **dict.fromkeys(("relu", "leaky_relu"), (1, None)),
    **dict.fromkeys(("abs", "absolute"), (1, 0)),
    **dict.fromkeys(("square",), (2, 0)),
    **dict.fromkeys(("sqrt",), (Fraction(1, 2), None)),
    **dict.fromkeys(("rsqrt",), (Fraction(-1, 2), None)),
    **dict.fromkeys(("sign", "sgn"), (0, 1)),
    **dict.fromkeys(("sin", "tan", "asin", "atan", "arctan", "sinh", "tanh", "asinh", "atanh"), (None, 1)),
    **dict.fromkeys(("erf", "erfinv", "hardshrink", "softshrink", "tanhshrink", "round"), (None, 1)),
    **dict.fromkeys(("cos", "cosh"), (None, 0)),
}
"""Elementwise function -> ``k`` with ``f(c x) = c^k f(x)`` for every ``c > 0``, and for ``c = -1``; ``None``: none."""


def function(system: System, output: Value, input: Value, degrees: tuple[Fraction | int | None, int | None]) -> None:
    degree = degrees[system.kind == "sign"]
    if degree is None:
        system.zero(input, output)
    else:
        elementwise(system, output, (input, degree))


@rescaling_rule("add", "sub", "subtract", "rsub")
def add(system: System, output: Value, input: Value, other: Value | float) -> None:
    """Both have the exponents of the sum; a number other than 0 has none."""
    for tensor in (input, other):
        if isinstance(tensor, Value):
            elementwise(system, output, (tensor, 1))
        elif tensor != 0:
            system.zero(output)


@rescaling_rule("mul", "multiply")
def multiply(system: System, output: Value, input: Value, other: Value | float) -> None:
    elementwise(system, output, *((tensor, 1) for tensor in (input, other) if isinstance(tensor, Value)))


@rescaling_rule("div", "divide", "true_divide")
def divide(system: System, output: Value, input: Value, other: Value | float, rounding_mode: str | None = None) -> None:
    factors = [(tensor, k) for tensor, k in ((input, 1), (other, -1)) if isinstance(tensor, Value)]
    if rounding_mode is None:
        elementwise(system, output, *factors)
    else:
        system.zero(output, *(value for value, _ in factors))


@rescaling_rule("pow")
def power(system: System, output: Value, input: Value | float, exponent: Value | float) -> None:
    if isinstance(input, Value) and isinstance(exponent, int | float) and math.isfinite(exponent):
        whole = int(exponent) if float(exponent).is_integer() else None
        function(system, output, input, (Fraction(exponent), whole))
    else:
        system.zero(output, *(value for value in (input, exponent) if isinstance(value, Value)))


@rescaling_rule("where")
def where(system: System, output: Value, condition: Value, input: Value | float, other: Value | float) -> None:
    system.zero(condition)
    add(system, output, input, other)


@rescaling_rule("masked_fill")
def masked_fill(system: System, output: Value, input: Value, mask: Value, value: Value | float) -> None:
    system.zero(mask)
    add(system, output, input, value)


@rescaling_rule("clamp", "clamp_min", "clamp_max", "hardtanh")
def clamp(
    system: System,
    output: Value,
    operation: Operation,
    input: Value,
    min: Value | float | None = None,
    max: Value | float | None = None,
    min_val: float = -1,
    max_val: float = 1,
) -> None:
    """``min(max(x, low), high)``: homogeneous with bounds 0 or none, odd with opposite bounds."""
    low, high = (min_val, max_val) if "hardtanh" in operation.name else (min, max)
    if isinstance(low, Value) or isinstance(high, Value):
        system.zero(*operation.inputs, output)
        return
    homogeneous = low in (None, 0) and high in (None, 0)
    odd = low is not None and high is not None and low == -high
    function(system, output, input, (1 if homogeneous else None, 1 if odd else None))


@rescaling_rule("threshold")
def threshold(system: System, output: Value, input: Value, threshold: float, value: float) -> None:
    function(system, output, input, (1 if threshold == value == 0 else None, None))


@rescaling_rule("prelu")
def prelu(system: System, output: Value, input: Value, weight: Value) -> None:
    system.zero(weight)
    function(system, output, input, (1, None))


@rescaling_rule("glu")
def glu(system: System, output: Value, input: Value, dim: int = -1) -> None:
    """``a * sigmoid(b)`` with a, b the halves along ``dim``."""
    dim %= len(input.shape)
    half = output.shape[dim]
    cut = Place((dim,), dim, torch.arange(half))
    others = [place for place in aligned(input, len(input.shape)) if place.dims != (dim,)]
    system.relate(Term(input, [*others, cut]), Term(output, aligned(output, len(output.shape)), -1))
    gate = Place((dim,), dim, torch.arange(half, 2 * half))
    system.relate(Term(input, [*others, gate]))


@rescaling_rule("copy")
def copy(system: System, output: Value, src: Value) -> None:
    elementwise(system, output, (src, 1))


@rescaling_rule("zeros", "zeros_like", "new_zeros")
def zeros(system: System, output: Value) -> None:
    system.mark_zero(output)
