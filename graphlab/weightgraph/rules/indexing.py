"""Operators that read at places given by another tensor."""

from __future__ import annotations

from graphlab.weightgraph.atoms import ONE, Axis
from graphlab.weightgraph.registry import rule
from graphlab.weightgraph.tracer import Traced, Tracer


def _look_up(trace: Tracer, tensor: Traced, dim: int, index: Traced) -> None:
    """``index`` holds places on an axis: either it got them from that axis, or they have a meaning of their own."""
    axis = tensor[dim]
    trace.use_names(tensor, "places looked up in a table")
    if index.names is not None and index.names.axis.size == axis.size:
        trace.same(axis, index.names.axis)
        trace.pick(index.axes, index.names)
    else:
        trace.use_names(index, "places on another axis")
        trace.fix(axis, "looked up by index")
        trace.mix(tensor, dim)


@rule("aten.embedding", places=True)
def embedding(trace: Tracer, weight: Traced, indices: Traced) -> list[Axis]:
    """``y[..., d] = W[index[...], d]``."""
    _look_up(trace, weight, 0, indices)
    return [*indices.axes, *weight.axes[1:]]


@rule("aten.index", places=True)
def index(trace: Tracer, input: Traced, indices: list[Traced | None]) -> list[Axis] | None:
    """NumPy's advanced indexing; index tensors that stand side by side give their axes in their place, else first."""
    (value,) = trace.operation.outputs
    assert value is not None
    given = [dim for dim, item in enumerate(indices) if item is not None]
    tensors = [item for item in indices if item is not None]
    if sum(len(item) for item in tensors) > 0 and len(value.shape) > len(input) + max(map(len, tensors)):
        return None
    for dim, item in zip(given, tensors, strict=True):
        _look_up(trace, input, dim, item)
    rows = trace.broadcast(*tensors)
    rest = [axis for dim, axis in enumerate(input.axes) if dim not in given]
    place = given[0] if given == list(range(given[0], given[0] + len(given))) else 0
    axes = [*rest[:place], *rows, *rest[place:]]
    return axes if tuple(axis.size for axis in axes) == value.shape else None


@rule("aten.index_select", places=True)
def index_select(trace: Tracer, input: Traced, dim: int, index: Traced) -> list[Axis]:
    dim = input.dim(dim)
    _look_up(trace, input, dim, index)
    return [*input.axes[:dim], index[0] if index.axes else ONE, *input.axes[dim + 1 :]]


@rule("aten.gather", "aten.take_along_dim", places=True)
def gather(trace: Tracer, input: Traced, dim: int, index: Traced) -> list[Axis]:
    """``y[i, j, k] = x[i, index[i, j, k], k]`` for ``dim = 1``."""
    dim = input.dim(dim)
    _look_up(trace, input, dim, index)
    for d, (own, other) in enumerate(zip(input.axes, index.axes, strict=True)):
        if d != dim and own.size == other.size:
            trace.same(own, other)
        elif d != dim:
            trace.fix([own, other], "read in part")
    return index.axes


@rule("aten.one_hot", places=True)
def one_hot(trace: Tracer, input: Traced) -> list[Axis]:
    (value,) = trace.operation.outputs
    assert value is not None
    if input.names is not None and input.names.axis.size == value.shape[-1]:
        return [*input.axes, input.names.axis]
    trace.use_names(input, "places on another axis")
    return [*input.axes, trace.new(value.shape[-1], "classes by number")]
