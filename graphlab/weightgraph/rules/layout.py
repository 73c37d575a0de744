"""Operators that move, group, repeat, join and cut axes; no arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from graphlab.weightgraph.atoms import ONE, Axis, Product, Sum, resolve
from graphlab.weightgraph.registry import LAYOUT, TAKES_APART, rule
from graphlab.weightgraph.tracer import Names, Traced, Tracer

Mover = Callable[..., list[Axis]]


def layout(*names: str) -> Callable[[Mover], Mover]:
    """Register an operator that only moves axes about: ``f(axes, **arguments) -> axes``."""

    def register(function: Mover) -> Mover:
        def move(_: Tracer, input: Traced, **arguments: Any) -> Traced:
            axes = function(input.axes, **arguments)
            constant = frozenset(
                dim for dim, axis in enumerate(axes) if any(axis is input[own] for own in input.constant)
            )
            moved = Traced(axes, names=input.names, constant=constant)
            if input.choices is not None:
                marker = input.axes[input.choice_axis]
                moved.choice_axis = next(dim for dim, axis in enumerate(moved.axes) if axis is marker)
                moved.choices = [function(part, **arguments) for part in input.choices]
            return moved

        for name in names:
            rule(name, places=True)(move)
            LAYOUT[name] = function
        return function

    return register


@layout(
    *(f"aten.{name}" for name in ("to", "contiguous", "clone", "alias", "detach", "lift_fresh_copy", "_to_copy")),
    *(f"aten.{name}" for name in ("dropout", "feature_dropout", "alpha_dropout", "type_as", "conj", "resolve_conj")),
    *(f"aten.{name}" for name in ("_conj", "positive", "view_as", "requires_grad_", "lift_fresh")),
)
def same_axes(axes: list[Axis], **_: Any) -> list[Axis]:
    return list(axes)


@layout("aten.permute")
def permute(axes: list[Axis], dims: Sequence[int], **_: Any) -> list[Axis]:
    return [axes[dim] for dim in dims]


@layout("aten.transpose", "aten.swapaxes", "aten.swapdims")
def transpose(axes: list[Axis], **dims: int) -> list[Axis]:
    first, second = dims.values()
    moved = list(axes)
    moved[first], moved[second] = axes[second], axes[first]
    return moved


@layout("aten.t", "aten.numpy_T", "aten.mT", "aten.adjoint")
def reverse(axes: list[Axis], **_: Any) -> list[Axis]:
    return [*axes[:-2], *reversed(axes[-2:])]


@layout("aten.movedim", "aten.moveaxis")
def movedim(axes: list[Axis], source: Any, destination: Any, **_: Any) -> list[Axis]:
    sources = [s % len(axes) for s in (source if isinstance(source, list | tuple) else [source])]
    targets = [d % len(axes) for d in (destination if isinstance(destination, list | tuple) else [destination])]
    rest = [axis for dim, axis in enumerate(axes) if dim not in sources]
    for target, source_dim in sorted(zip(targets, sources, strict=True)):
        rest.insert(target, axes[source_dim])
    return rest


@layout("aten.unsqueeze")
def unsqueeze(axes: list[Axis], dim: int, **_: Any) -> list[Axis]:
    dim %= len(axes) + 1
    return [*axes[:dim], ONE, *axes[dim:]]


@layout("aten.squeeze")
def squeeze(axes: list[Axis], dim: int | Sequence[int] | None = None, **_: Any) -> list[Axis]:
    dims = range(len(axes)) if dim is None else [dim] if isinstance(dim, int) else dim
    dropped = {d % len(axes) for d in dims} if axes else set()
    return [axis for d, axis in enumerate(axes) if d not in dropped or axis.size != 1]


@rule("aten.reshape", "aten.view", "aten.flatten", "aten.unflatten", "aten._unsafe_view", places=True)
def reshape(trace: Tracer, input: Traced) -> Traced:
    """Row-major. An axis that is later taken apart (query, key and value) is kept as parts from here on."""
    (value,) = trace.operation.outputs
    assert value is not None
    for dim in trace.new_factors(input.axes, value.shape):
        if input.names is None and trace.will_be_taken_apart(value, dim):
            choices = trace.regroup_choices(input.axes, value.shape, dim)
            return Traced(choices[0], choices=choices, choice_axis=dim)
    return Traced(trace.regroup(input.axes, value.shape), names=input.names)


@rule("aten.expand", "aten.expand_as", "aten.broadcast_to", places=True)
def expand(trace: Tracer, input: Traced) -> Traced:
    """The indices of an axis that was repeated are interchangeable: nothing tells the copies apart."""
    (value,) = trace.operation.outputs
    assert value is not None
    axes = [ONE] * (len(value.shape) - len(input)) + input.axes
    grown = [axis if axis.size == size else trace.new(size) for axis, size in zip(axes, value.shape, strict=True)]
    added = len(grown) - len(input)
    constant = {dim for dim, axis in enumerate(grown) if axis is not axes[dim]} | {d + added for d in input.constant}
    return Traced(grown, names=input.names, constant=frozenset(constant))


@rule("aten.repeat", "aten.tile", places=True)
def repeat(trace: Tracer, input: Traced) -> Traced:
    (value,) = trace.operation.outputs
    assert value is not None
    axes = [ONE] * (len(value.shape) - len(input)) + input.axes
    repeated = [resolve(Product((trace.new(s // a.size), a))) for a, s in zip(axes, value.shape, strict=True)]
    return Traced(repeated, names=input.names)


@rule("aten.repeat_interleave", places=True)
def repeat_interleave(trace: Tracer, input: Traced, repeats: Any, dim: int | None = None) -> Traced | None:
    if not isinstance(repeats, int) or dim is None:
        return None
    axes = list(input.axes)
    axes[dim] = resolve(Product((axes[dim], trace.new(repeats))))
    return Traced(axes, names=input.names)


@rule("aten.cat", "aten.concat", "aten.concatenate")
def cat(trace: Tracer, tensors: list[Traced], dim: int) -> list[Axis]:
    tensors = [tensor for tensor in tensors if tensor.shape != (0,)]
    dim = tensors[0].dim(dim)
    axes = [trace.same(*(t[d] for t in tensors)) if d != dim else ONE for d in range(len(tensors[0]))]
    axes[dim] = resolve(Sum(tuple(tensor[dim] for tensor in tensors)))
    return axes


@rule("aten.stack")
def stack(trace: Tracer, tensors: list[Traced], dim: int) -> list[Axis]:
    axes = [trace.same(*(tensor[d] for tensor in tensors)) for d in range(len(tensors[0]))]
    axes.insert(dim % (len(axes) + 1), trace.new(len(tensors), "position in a stack"))
    return axes


@rule("aten.pad", "aten.constant_pad_nd")
def pad(trace: Tracer, input: Traced, pad: Sequence[int], mode: str = "constant") -> list[Axis]:
    """Padding with a constant is concatenation; any other takes values from the neighbours, so an order."""
    axes = list(input.axes)
    for position in range(len(pad) // 2):
        dim, before, after = len(axes) - 1 - position, pad[2 * position], pad[2 * position + 1]
        size = axes[dim].size + before + after
        if mode != "constant" or min(before, after) < 0:
            trace.fix(axes[dim], "padded from its neighbours")
            trace.mix(input, dim)
            axes[dim] = trace.new(size, "position")
        elif size != axes[dim].size:
            around = [[trace.new(count)] if count else [] for count in (before, after)]
            axes[dim] = resolve(Sum((*around[0], axes[dim], *around[1])))
    return axes


@rule("aten.view_as_complex")
def view_as_complex(trace: Tracer, input: Traced) -> list[Axis]:
    trace.fix(input[-1], "real and imaginary part")
    trace.mix(input, -1)
    return input.axes[:-1]


@rule("aten.view_as_real")
def view_as_real(trace: Tracer, input: Traced) -> list[Axis]:
    return [*input.axes, trace.new(2, "real and imaginary part")]


@rule("aten.roll", "aten.flip")
def roll(trace: Tracer, input: Traced, dims: Sequence[int]) -> list[Axis]:
    moved = list(dims) or list(range(len(input)))
    trace.fix([input[dim] for dim in moved], "moved along it")
    trace.mix(input, *moved)
    return input.axes


def _part(tensor: Traced, dim: int, start: int, parts: list[Axis]) -> list[Traced]:
    """The consecutive ``parts`` of ``tensor[dim]`` from index ``start`` as tensors."""
    results = []
    for part in parts:
        whole = tensor.choices is not None and dim == tensor.choice_axis and part.size == 1
        axes = list(tensor.choices[start] if whole and tensor.choices else tensor.axes)
        axes[dim] = part
        names = None if tensor.names is None else Names(tensor.names.axis)
        results.append(Traced(axes, names=names))
        start += part.size
    return results


def _taken_apart(trace: Tracer, tensor: Traced, dim: int, sizes: Sequence[int]) -> list[Traced]:
    dim = tensor.dim(dim)
    if tensor.choices is not None and (dim != tensor.choice_axis or any(size != 1 for size in sizes)):
        trace.collapse(tensor)
    return _part(tensor, dim, 0, trace.cut(tensor[dim], sizes))


@rule("aten.split", "aten.split_with_sizes", "aten.chunk", "aten.tensor_split", places=True)
def split(trace: Tracer, input: Traced, dim: int = 0) -> list[Traced]:
    outputs = trace.operation.outputs
    return _taken_apart(trace, input, dim, [value.shape[dim] for value in outputs if value is not None])


@rule("aten.unbind", places=True)
def unbind(trace: Tracer, input: Traced, dim: int = 0) -> list[Traced]:
    dim = input.dim(dim)
    parts = _taken_apart(trace, input, dim, [1] * input[dim].size)
    return [Traced(part.axes[:dim] + part.axes[dim + 1 :], names=part.names) for part in parts]


@rule("aten.select", places=True)
def select(trace: Tracer, input: Traced, dim: int, index: object) -> Traced | None:
    if not isinstance(index, int):
        return None
    dim = input.dim(dim)
    index %= input[dim].size
    sizes = [1] * input[dim].size if input.choices is not None else [index, 1, input[dim].size - index - 1]
    part = _taken_apart(trace, input, dim, sizes)[index if input.choices is not None else 1]
    return Traced(part.axes[:dim] + part.axes[dim + 1 :], names=part.names)


@rule("aten.slice", "aten.narrow", places=True)
def slice_(
    trace: Tracer,
    input: Traced,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
    length: int | None = None,
) -> Traced:
    dim = input.dim(dim)
    size = input[dim].size
    first, last, _ = slice(start, end if length is None else (start or 0) + length).indices(size)
    if (first, last, step) == (0, size, 1):
        return input
    trace.collapse(input)
    if step != 1:
        trace.fix(input[dim], "taken in steps")
        part = trace.new(math.ceil(max(last - first, 0) / step), "position")
        return Traced([*input.axes[:dim], part, *input.axes[dim + 1 :]])
    return _taken_apart(trace, input, dim, [first, last - first, size - last])[1]


TAKES_APART |= {f"aten.{name}" for name in ("split", "split_with_sizes", "chunk", "unbind", "select")}
