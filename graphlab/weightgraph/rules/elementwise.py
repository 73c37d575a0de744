"""Operators that act on each element for itself, and those that make a tensor from nothing."""

from __future__ import annotations

from typing import Any

from torch.utils import _pytree as pytree

from graphlab.weightgraph.atoms import Axis
from graphlab.weightgraph.registry import rule
from graphlab.weightgraph.tracer import Traced, Tracer

LINEAR = {"add", "sub", "rsub", "neg", "copy", "where", "masked_fill", "positive"}
"""Pointwise operators that are linear in their tensors; multiplication is in one tensor by a number."""


def pointwise(trace: Tracer, **arguments: Any) -> Traced:
    """``result[i] = f(a[i], b[i], ...)`` with broadcasting: axes that meet are indexed by the same neurons."""
    operation = trace.operation.name.removeprefix("aten.").strip("_")
    tensors = [leaf for leaf in pytree.tree_leaves(arguments) if isinstance(leaf, Traced)]
    scaling = operation in {"mul", "div"} and len(tensors) == 1
    if operation not in LINEAR and not scaling:
        for tensor in tensors:
            trace.passes(tensor, operation)
    axes = trace.broadcast(*tensors)
    constant = {
        dim
        for dim in range(len(axes))
        if all(
            (own := dim - len(axes) + len(tensor)) < 0 or tensor[own].size == 1 or own in tensor.constant
            for tensor in tensors
        )
    }
    return Traced(axes, constant=frozenset(constant))


UNTAGGED = (
    *("__and__", "__or__", "__xor__", "__lshift__", "__rshift__", "where", "masked_fill", "hardswish", "log_sigmoid"),
    *("floor_divide", "rsub", "multiply", "divide", "true_divide", "subtract", "less", "greater", "not_equal"),
    *("greater_equal", "less_equal", "absolute", "arctan", "negative", "fix", "special_expit", "leaky_relu"),
    *("polar", "complex", "real", "imag"),
)
"""Pointwise operators that ATen does not tag so."""


@rule(*(f"aten.{name}" for name in UNTAGGED))
def untagged(trace: Tracer, **arguments: Any) -> Traced:
    return pointwise(trace, **arguments)


@rule("aten.copy")
def copy(trace: Tracer, input: Traced, src: Traced) -> list[Axis]:
    """Writing into a tensor or a view of one, which keeps its axes: what is written must be indexed as they are."""
    trace.broadcast(input, src)
    return input.axes


@rule("aten.prelu")
def prelu(trace: Tracer, input: Traced, weight: Traced) -> list[Axis]:
    """``max(0, x) + weight * min(0, x)``, a weight a channel or one for all."""
    trace.passes(input, "prelu")
    if weight.axes and weight[0].size > 1:
        trace.same(input[1 if len(input) > 1 else 0], weight[0])
    return input.axes


@rule("aten.glu")
def glu(trace: Tracer, input: Traced, dim: int = -1) -> list[Axis]:
    """``a * sigmoid(b)`` with a, b the halves along ``dim``."""
    dim = input.dim(dim)
    trace.passes(input, "glu")
    half = input[dim].size // 2
    axes = list(input.axes)
    axes[dim] = trace.same(*trace.cut(input[dim], [half, half]))
    return axes


UNIFORM = ("zeros", "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "new_empty", "scalar_tensor")
UNIFORM_LIKE = ("zeros_like", "ones_like", "full_like", "empty_like", "zero", "fill")
ORDERED = ("arange", "linspace", "eye", "rand", "randn", "rand_like", "randn_like", "tril_indices", "triu_indices")


@rule(*(f"aten.{name}" for name in (*UNIFORM, *UNIFORM_LIKE)))
def uniform(trace: Tracer) -> Traced:
    """A tensor of equal values: nothing tells its indices apart."""
    (value,) = trace.operation.outputs
    assert value is not None
    return Traced([trace.new(size) for size in value.shape], constant=frozenset(range(len(value.shape))))


@rule(*(f"aten.{name}" for name in ORDERED))
def ordered(trace: Tracer) -> list[Axis]:
    """A tensor that the code makes and whose values differ."""
    (value,) = trace.operation.outputs
    assert value is not None
    return [trace.new(size, "a constant that varies along it") for size in value.shape]


@rule("aten.tril", "aten.triu")
def triangle(trace: Tracer, input: Traced) -> list[Axis]:
    trace.fix(input.axes[-2:], "cut to a triangle")
    return input.axes
