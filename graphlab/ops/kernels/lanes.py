"""More of what compiled loops do with lanes: differences, choices, the logistic function (see :mod:`.compiled`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from graphlab.ops.kernels.compiled import _FLAGS, WIDTH, intrinsic

_LOG2E, _LN2_HIGH, _LN2_LOW = 1.44269504, 0.693359375, -2.12194440e-4
_MOST = 80.0
"""Exponents beyond it are cut off: what they give rounds to 0 or 1."""


@intrinsic
def minus(context, a, b):  # type: ignore[no-untyped-def]
    """``a - b``."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.fsub(*arguments, flags=_FLAGS)

    return a(a, b), generate


@intrinsic
def select_equal(context, a, b, here, there):  # type: ignore[no-untyped-def]
    """``here`` in the lanes in which the integers are equal, else ``there``."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        first, second, take, keep = arguments
        return builder.select(builder.icmp_signed("==", first, second), take, keep)

    return here(a, b, here, there), generate


@intrinsic
def positive(context, a, here, there):  # type: ignore[no-untyped-def]
    """``here`` in the lanes in which ``a`` is above zero, or NaN, else ``there``."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        value, take, keep = arguments
        zero = ir.Constant(value.type, [0.0] * WIDTH)
        return builder.select(builder.fcmp_unordered(">", value, zero), take, keep)

    return here(a, here, there), generate


@intrinsic
def sigmoid(context, a):  # type: ignore[no-untyped-def]
    """``1 / (1 + exp(-a))``; in float32 to a few units in the last place. NaN stays NaN."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        (value,) = arguments
        kind, single = value.type, a.dtype == types.float32

        def constant(number: float) -> Any:
            return ir.Constant(kind, [number] * WIDTH)

        x = builder.fneg(value)
        for bound, order in ((_MOST, ">"), (-_MOST, "<")):
            x = builder.select(builder.fcmp_ordered(order, x, constant(bound)), constant(bound), x)
        power = _exp(builder, x, constant) if single else _exp_by_element(builder, x)
        return builder.fdiv(constant(1.0), builder.fadd(constant(1.0), power))

    return a(a), generate


def _exp(builder: Any, x: Any, constant: Any) -> Any:
    """``exp(x)`` of float32 lanes between -80 and 80: a power of two times a polynomial."""
    fma = ("contract",)

    def times_plus(p: Any, r: Any, c: Any) -> Any:
        return builder.fadd(builder.fmul(p, r, flags=fma), c, flags=fma)

    signature = ir.FunctionType(x.type, [x.type])
    declare: Any = cgutils.get_or_insert_function
    rint = declare(builder.module, signature, f"llvm.rint.v{WIDTH}f32")
    n = builder.call(rint, [builder.fmul(x, constant(_single(_LOG2E)))])
    r = times_plus(n, constant(_single(-_LN2_HIGH)), x)
    r = times_plus(n, constant(_single(-_LN2_LOW)), r)
    p = constant(_single(1 / math.factorial(7)))
    for degree in range(6, -1, -1):
        p = times_plus(p, r, constant(_single(1 / math.factorial(degree))))
    integers = ir.VectorType(ir.IntType(32), WIDTH)
    exponent = builder.add(builder.fptosi(n, integers), ir.Constant(integers, [127] * WIDTH))
    shifted = builder.shl(exponent, ir.Constant(integers, [23] * WIDTH))
    return builder.fmul(p, builder.bitcast(shifted, x.type))


def _exp_by_element(builder: Any, x: Any) -> Any:
    function = builder.module.declare_intrinsic("llvm.exp", [x.type.element])
    result = ir.Constant(x.type, ir.Undefined)
    for lane in range(WIDTH):
        place = ir.IntType(32)(lane)
        result = builder.insert_element(result, builder.call(function, [builder.extract_element(x, place)]), place)
    return result


def _single(number: float) -> float:
    """A number rounded to float32."""
    return float(np.float32(number))


@intrinsic
def total(context, a):  # type: ignore[no-untyped-def]
    """The sum of all lanes."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        (value,) = arguments
        width = WIDTH
        while width > 1:
            width //= 2
            integers = ir.VectorType(ir.IntType(32), width)
            halves = [
                builder.shuffle_vector(value, value, ir.Constant(integers, [*range(start, start + width)]))
                for start in (0, width)
            ]
            value = builder.fadd(*halves, flags=_FLAGS)
        return builder.extract_element(value, ir.IntType(32)(0))

    return a.dtype(a), generate


@intrinsic
def gaussian(context, a):  # type: ignore[no-untyped-def]
    """``exp(-a^2 / 2)`` in float32, zero to within 1e-34 beyond 12."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        (value,) = arguments
        kind = value.type

        def constant(number: float) -> Any:
            return ir.Constant(kind, [number] * WIDTH)

        x = builder.fmul(builder.fmul(value, value), constant(-0.5))
        x = builder.select(builder.fcmp_ordered("<", x, constant(-_MOST)), constant(-_MOST), x)
        return _exp(builder, x, constant)

    return a(a), generate


@intrinsic
def normal(context, a, bell):  # type: ignore[no-untyped-def]
    """The normal distribution function in float32, given :func:`gaussian` of the same; off by 1e-7 at most.

    Abramowitz, Stegun, Handbook of Mathematical Functions, 7.1.26.
    """

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        value, height = arguments
        kind = value.type

        def constant(number: float) -> Any:
            return ir.Constant(kind, [_single(number)] * WIDTH)

        zero, one = constant(0.0), constant(1.0)
        above = builder.fcmp_ordered(">", value, zero)
        size = builder.select(above, value, builder.fneg(value))
        t = builder.fdiv(one, builder.fadd(builder.fmul(size, constant(_TAIL_SCALE)), one))
        p = constant(_TAIL[-1])
        for coefficient in _TAIL[-2::-1]:
            p = builder.fadd(builder.fmul(p, t), constant(coefficient))
        tail = builder.fmul(builder.fmul(p, t), height)
        return builder.select(above, builder.fsub(one, tail), tail)

    return a(a, bell), generate


_TAIL_SCALE = 0.3275911 / math.sqrt(2)
_TAIL = tuple(0.5 * c for c in (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429))
