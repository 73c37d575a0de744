"""Operators that move, group, repeat, join and cut axes, or look up in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graphlab.capture import Operation, Value
from graphlab.weightgraph.atoms import Atom, Axis
from graphlab.weightgraph.registry import LAYOUT
from graphlab.weightgraph.rescaling_rules.registry import aligned, elementwise, rescaling_rule
from graphlab.weightgraph.rescaling_system import Place, System, Term
from graphlab.weightgraph.tracer import runs


def moved(system: System, operation: Operation, output: Value) -> None:
    """Axes change places only; a cast to integers lets nothing through."""
    input, *_ = operation.inputs
    if not (output.dtype.is_floating_point or output.dtype.is_complex):
        system.zero(input, output)
        return
    markers: list[Axis] = [Atom(size) for size in input.shape]
    others = {name: item for name, item in operation.arguments.items() if item is not input}
    moved = LAYOUT[operation.name if operation.name in LAYOUT else operation.name.removesuffix("_")](markers, **others)
    before = [Place((dim,), id(marker)) for dim, marker in enumerate(markers)]
    after = [Place((dim,), id(axis)) for dim, axis in enumerate(moved)]
    for part in range(max(system.parts(input), system.parts(output))):
        own, new = (min(part, system.parts(value) - 1) for value in (input, output))
        system.relate(Term(input, before, part=own), Term(output, after, -1, new))


@rescaling_rule("reshape", "view", "flatten", "unflatten", "_unsafe_view")
def reshape(system: System, output: Value, input: Value) -> None:
    for part in range(system.parts(output)):
        before, after = [], []
        for label, (run, targets) in enumerate(runs(input.shape, output.shape)):
            positions = None
            if system.parts(output) > 1 and system.choice_axis(output) in targets:
                shape = [output.shape[dim] for dim in targets]
                here = targets.index(system.choice_axis(output))
                positions = torch.arange(torch.Size(shape).numel()).view(shape).select(here, part).reshape(-1)
                targets = [dim for dim in targets if dim != system.choice_axis(output)]
            before.append(Place(tuple(run), label, positions))
            after.append(Place(tuple(targets), label))
        system.relate(Term(input, before), Term(output, after, -1, part))


@rescaling_rule("expand", "expand_as", "broadcast_to")
def expand(system: System, output: Value, input: Value) -> None:
    elementwise(system, output, (input, 1))


@rescaling_rule("repeat", "tile")
def repeat(system: System, output: Value, input: Value) -> None:
    _walked(system, output, input, len(output.shape), lambda dim, size: torch.arange(size) % input.shape[dim])


@rescaling_rule("repeat_interleave")
def repeat_interleave(
    system: System, output: Value, operation: Operation, input: Value, repeats: Any = None, dim: int | None = None
) -> None:
    if isinstance(repeats, int) and dim is not None:
        times = [repeats if d == dim % len(input.shape) else 1 for d in range(len(input.shape))]
        _walked(system, output, input, len(output.shape), lambda d, size: torch.arange(size) // times[d])
    else:
        system.zero(output, *operation.inputs)


def _walked(system: System, output: Value, input: Value, rank: int, position: Callable[[int, int], Tensor]) -> None:
    """Axis ``d`` of the output, of some size, has at each place what the input has at ``position(d, size)``."""
    lead = rank - len(input.shape)
    before = [Place((d,), d + lead, position(d, output.shape[d + lead])) for d in range(len(input.shape))]
    system.relate(Term(input, before), Term(output, aligned(output, rank), -1))


@rescaling_rule("cat", "concat", "concatenate")
def cat(system: System, output: Value, tensors: list[Value], dim: int = 0) -> None:
    start = 0
    for tensor in tensors:
        if tensor.shape != (0,):
            size = tensor.shape[dim]
            _part(system, tensor, output, dim, torch.arange(start, start + size))
            start += size


def _part(
    system: System, part: Value, whole: Value, dim: int, positions: Tensor, choice: int = 0, dropped: bool = False
) -> None:
    """``part`` is ``whole`` at ``positions`` of an axis (its axis of size 1 left out where that is ``dropped``)."""
    dim %= len(whole.shape)
    ours = [Place((d,), d, positions if d == dim else None) for d in range(len(whole.shape))]
    kept = [d for d in range(len(whole.shape)) if not (dropped and d == dim)]
    theirs = [Place((own,), d) for own, d in enumerate(kept)]
    own, new = (min(choice, system.parts(value) - 1) for value in (whole, part))
    system.relate(Term(whole, ours, part=own), Term(part, theirs, -1, new))


@rescaling_rule("stack")
def stack(system: System, output: Value, tensors: list[Value], dim: int = 0) -> None:
    for index, tensor in enumerate(tensors):
        _part(system, tensor, output, dim, torch.tensor([index]), dropped=True)


@rescaling_rule("pad", "constant_pad_nd")
def pad(
    system: System, output: Value, input: Value, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> None:
    if mode == "constant" and value:
        system.zero(input, output)
        return
    before = [0] * (len(input.shape) - len(pad) // 2) + [*reversed(pad[::2])]
    kept = [
        Place(
            (dim,), dim, torch.arange(start, start + size) if start >= 0 and start + size <= output.shape[dim] else None
        )
        for dim, (start, size) in enumerate(zip(before, input.shape, strict=True))
    ]
    # Where the input is cut instead, or its neighbours are copied, the axis is fixed.
    same = [dim for dim, place in enumerate(kept) if place.positions is not None]
    own = [place for place in aligned(input, len(input.shape)) if place.dims[0] in same]
    system.relate(Term(input, own), Term(output, [kept[dim] for dim in same], -1))


@rescaling_rule("split", "split_with_sizes", "chunk", "tensor_split")
def split(system: System, outputs: list[Value], input: Value, dim: int = 0) -> None:
    start = 0
    for index, part in enumerate(outputs):
        _part(system, part, input, dim, torch.arange(start, start + part.shape[dim]), index)
        start += part.shape[dim]


@rescaling_rule("unbind")
def unbind(system: System, outputs: list[Value], input: Value, dim: int = 0) -> None:
    for index, part in enumerate(outputs):
        _part(system, part, input, dim, torch.tensor([index]), index, dropped=True)


@rescaling_rule("select")
def select(system: System, output: Value, input: Value, dim: int, index: int | Value) -> None:
    if isinstance(index, Value):
        system.zero(output, input, index)
    else:
        index %= input.shape[dim]
        _part(system, output, input, dim, torch.tensor([index]), index, dropped=True)


@rescaling_rule("slice", "narrow")
def slice_(
    system: System,
    output: Value,
    input: Value,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
    length: int | None = None,
) -> None:
    stop = end if length is None else (start or 0) + length
    positions = torch.arange(*slice(start, stop, step).indices(input.shape[dim]))
    for part in range(system.parts(output)):
        _part(system, output, input, dim, positions, part)


@rescaling_rule("embedding")
def embedding(system: System, output: Value, weight: Value, indices: Value) -> None:
    index_select(system, output, weight, 0, indices)


@rescaling_rule("index_select")
def index_select(system: System, output: Value, input: Value, dim: int, index: Value) -> None:
    indices: list[Value | None] = [None] * (dim % len(input.shape))
    index_(system, output, input, [*indices, index])


@rescaling_rule("index")
def index_(system: System, output: Value, input: Value, indices: list[Value | None]) -> None:
    """The axes that are not looked up in stay as they are."""
    tensors = [item for item in indices if item is not None]
    system.zero(*tensors)
    given = [dim for dim, item in enumerate(indices) if item is not None]
    rest = [dim for dim in range(len(input.shape)) if dim not in given]
    rows = len(output.shape) - len(rest)
    place = given[0] if given == list(range(given[0], given[0] + len(given))) else 0
    targets = [own if own < place else own + rows for own in range(len(rest))]
    before = [Place((dim,), dim) for dim in rest]
    system.relate(Term(input, before), Term(output, [Place((t,), d) for t, d in zip(targets, rest, strict=True)], -1))


@rescaling_rule("roll", "flip")
def roll(system: System, output: Value, input: Value) -> None:
    """The axes that are moved along are fixed."""
    elementwise(system, output, (input, 1))
