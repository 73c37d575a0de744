"""Operators that contract axes: linear maps and matrix products."""

from __future__ import annotations

from typing import Any

from graphlab.weightgraph.atoms import ONE, Axis
from graphlab.weightgraph.registry import rule
from graphlab.weightgraph.tracer import Traced, Tracer


@rule("aten.linear")
def linear(trace: Tracer, input: Traced, weight: Traced, bias: Traced | None = None) -> list[Axis]:
    """``y[..., o] = sum_i x[..., i] W[o, i] + b[o]``."""
    trace.same(input[-1], weight[-1])
    trace.mix(input, -1)
    trace.mix(weight, -1)
    if bias is not None:
        trace.same(weight[0], bias[0])
    return [*input.axes[:-1], *weight.axes[:-1]]


def _product(trace: Tracer, a: Traced, b: Traced) -> list[Axis]:
    """``y[..., m, n] = sum_k a[..., m, k] b[..., k, n]`` with broadcast batch axes; vectors as in ``torch.matmul``."""
    row, column = len(a) == 1, len(b) == 1
    left = Traced([ONE, *a.axes]) if row else a
    right = Traced([*b.axes, ONE]) if column else b
    trace.same(left[-1], right[-2])
    trace.mix(left, -1)
    trace.mix(right, -2)
    batch = trace.broadcast(Traced(left.axes[:-2]), Traced(right.axes[:-2]))
    return [*batch, *([] if row else [left[-2]]), *([] if column else [right[-1]])]


@rule("aten.matmul", "aten.mm", "aten.bmm", "aten.mv", "aten.dot", "aten.vdot")
def matmul(trace: Tracer, **operands: Traced) -> list[Axis]:
    a, b = (operand for operand in operands.values() if isinstance(operand, Traced))
    return _product(trace, a, b)


@rule("aten.addmm", "aten.baddbmm", "aten.addmv", "aten.addbmm")
def addmm(trace: Tracer, input: Traced, **operands: Any) -> list[Axis]:
    """``beta * input + alpha * a @ b``."""
    a, b = (operand for operand in operands.values() if isinstance(operand, Traced))
    return trace.broadcast(input, Traced(_product(trace, a, b)))


@rule("aten.outer", "aten.ger")
def outer(trace: Tracer, input: Traced, vec2: Traced) -> list[Axis]:
    return [input[0], vec2[0]]


@rule("aten.bilinear")
def bilinear(trace: Tracer, input1: Traced, input2: Traced, weight: Traced, bias: Traced | None = None) -> list[Axis]:
    """``y[..., o] = sum_ij x1[..., i] W[o, i, j] x2[..., j] + b[o]``."""
    for tensor, dim in ((input1, 1), (input2, 2)):
        trace.same(tensor[-1], weight[dim])
        trace.mix(tensor, -1)
    trace.mix(weight, 1, 2)
    if bias is not None:
        trace.same(weight[0], bias[0])
    return [*trace.broadcast(Traced(input1.axes[:-1]), Traced(input2.axes[:-1])), weight[0]]


@rule("aten.einsum")
def einsum(trace: Tracer, equation: str, tensors: list[Traced]) -> list[Axis] | None:
    """Axes of one letter are the same; letters that the result lacks are contracted."""
    inputs, _, result = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if not _ or "." in equation:
        return None
    letters: dict[str, Axis] = {}
    for term, tensor in zip(terms, tensors, strict=True):
        for letter, axis in zip(term, tensor.axes, strict=True):
            known = letters.get(letter, ONE)
            letters[letter] = axis if known.size == 1 else known if axis.size == 1 else trace.same(known, axis)
        trace.mix(tensor, *(dim for dim, letter in enumerate(term) if letter not in result))
    return [letters[letter] for letter in result]
