"""Operators that reduce an axis, or put it in an order that depends on the values."""

from __future__ import annotations

from collections.abc import Sequence

from graphlab.weightgraph.atoms import ONE, Axis
from graphlab.weightgraph.registry import rule
from graphlab.weightgraph.tracer import Names, Traced, Tracer

LINEAR = {"mean", "sum"}
SYMMETRIC = (
    *("mean", "sum", "amax", "amin", "prod", "var", "std", "norm", "linalg_vector_norm", "logsumexp"),
    *("any", "all", "nansum", "nanmean", "count_nonzero", "aminmax", "var_mean", "std_mean"),
)


def _reduced(trace: Tracer, input: Traced, dim: int | Sequence[int] | None, keepdim: bool) -> list[Axis]:
    given = range(len(input)) if dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
    dims = {input.dim(d) for d in given}
    trace.mix(input, *dims)
    return [ONE if d in dims else axis for d, axis in enumerate(input.axes) if keepdim or d not in dims]


@rule(*(f"aten.{name}" for name in SYMMETRIC))
def reduce(
    trace: Tracer, input: Traced, dim: int | Sequence[int] | None = None, keepdim: bool = False
) -> list[list[Axis]]:
    """A function of the values along the axes that does not depend on their order."""
    operation = trace.operation.name.removeprefix("aten.")
    if operation not in LINEAR:
        trace.passes(input, operation)
    axes = _reduced(trace, input, dim, keepdim)
    return [list(axes) for _ in trace.operation.outputs]


@rule("aten.argmax", "aten.argmin")
def argmax(trace: Tracer, input: Traced, dim: int | None = None, keepdim: bool = False) -> Traced | None:
    """The place on the axis: its values name positions on it."""
    if dim is None:
        return None
    return Traced(_reduced(trace, input, dim, keepdim), names=Names(input[dim]))


@rule("aten.max", "aten.min", "aten.mode", "aten.median")
def extremum(
    trace: Tracer, input: Traced, dim: int | None = None, keepdim: bool = False, other: Traced | None = None
) -> list[Axis] | list[Traced]:
    """``max(x)``, ``max(x, y)`` of two tensors, or ``max(x, dim)`` with the place."""
    trace.passes(input, trace.operation.name.removeprefix("aten."))
    if other is not None:
        return trace.broadcast(input, other)
    axes = _reduced(trace, input, dim, keepdim)
    if dim is None:
        return axes
    return [Traced(axes), Traced(list(axes), names=Names(input[dim]))]


@rule("aten.topk", "aten.sort", "aten.kthvalue", "aten.msort")
def sort(trace: Tracer, input: Traced, dim: int = -1) -> list[Traced]:
    """Values in order of size, and the places on the axis that they come from."""
    dim = input.dim(dim)
    trace.passes(input, "sort")
    trace.mix(input, dim)
    value = trace.operation.outputs[0]
    assert value is not None
    rank = trace.new(value.shape[dim] if len(value.shape) == len(input) else 1, "rank by value")
    axes = [rank if d == dim else axis for d, axis in enumerate(input.axes)]
    return [Traced(axes), Traced(list(axes), names=Names(input[dim]))][: len(trace.operation.outputs)]


@rule("aten.cumsum", "aten.cumprod", "aten.logcumsumexp")
def cumulate(trace: Tracer, input: Traced, dim: int) -> list[Axis]:
    trace.fix(input[dim], "accumulated along it")
    trace.mix(input, dim)
    return input.axes


@rule("aten.diff")
def diff(trace: Tracer, input: Traced, dim: int = -1) -> list[Axis]:
    """Differences of neighbours along ``dim``, prepended and appended values included."""
    trace.fix(input[dim], "differences along it")
    trace.mix(input, dim)
    (value,) = trace.operation.outputs
    assert value is not None
    dim = input.dim(dim)
    return [*input.axes[:dim], trace.new(value.shape[dim], "position"), *input.axes[dim + 1 :]]
