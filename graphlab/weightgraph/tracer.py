"""Following which neurons index which axis, operator by operator, through a :class:`~graphlab.capture.Program`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from graphlab.capture import Operation, Program, Value
from graphlab.weightgraph.atoms import (
    ONE,
    Atom,
    Axis,
    Product,
    Sum,
    atoms,
    divide,
    fix,
    product,
    resolve,
    split,
    unify,
)
from graphlab.weightgraph.registry import LAYOUT, TAKES_APART


@dataclass(frozen=True, eq=False)
class Names:
    """The values of an integer tensor are positions on ``axis``; tensors of equal ``Names`` hold the same ones."""

    axis: Axis


@dataclass(eq=False)
class Traced:
    """A tensor as a rule sees it.

    Attributes:
        axes: What indexes each axis.
        names: For integer tensors whose *values* are positions on an axis (what ``topk`` or ``argmax`` returns): that
            axis. ``None`` for all others.
        choices: For a tensor whose parts along axis ``choice_axis`` go different ways later (a fused query-key-value
            projection reshaped to ``[..., 3, heads, inside]``): the axes of each part, all with ``axes[choice_axis]``
            in that place.
        constant: Axes along which all values are equal (a tensor of zeros, an expanded axis): they say nothing about
            what else has this tensor, so every reader meets them as new axes.
    """

    axes: list[Axis]
    names: Names | None = None
    choices: list[list[Axis]] | None = None
    choice_axis: int = 0
    constant: frozenset[int] = frozenset()

    def __getitem__(self, axis: int) -> Axis:
        return self.axes[axis]

    def __len__(self) -> int:
        return len(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.size for axis in self.axes)

    def dim(self, axis: int) -> int:
        return axis % len(self.axes) if self.axes else 0


Rule = Callable[..., Any]


class Tracer:
    """What a rule works with: says which axes are the same, told apart, mixed; and what it returns are axes.

    A rule is called as ``rule(trace, **arguments)`` with the operator's arguments by their schema names, tensors as
    :class:`Traced`. It returns the axes of the result (a sequence of axes, or a :class:`Traced`; for several results a
    list of those).
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.operation: Operation
        self.seen: list[list[Axis]] = []
        self.mixed: list[tuple[list[Axis], list[int]]] = []
        self.picked: list[tuple[list[Axis], Names]] = []
        self.users = program.users()
        self.read: dict[int, set[int]] = {}

    def same(self, *axes: Axis) -> Axis:
        """These axes are indexed by the same neurons."""
        for axis in axes[1:]:
            unify(axes[0], axis)
        return resolve(axes[0])

    def fix(self, axes: Axis | Iterable[Axis], reason: str) -> None:
        """The indices of these axes are told apart."""
        for axis in (axes,) if isinstance(axes, Atom | Product | Sum) else axes:
            fix(axis, reason)

    def new(self, size: int, fixed: str | None = None) -> Axis:
        """A new axis: of interchangeable indices, or told apart for the reason given."""
        return Atom(size, fixed) if size != 1 else ONE

    def positions(self, *sizes: int) -> list[Axis]:
        """New axes whose indices have an order: pixels, time steps, kernel taps."""
        return [self.new(size, "position") for size in sizes]

    def mix(self, tensor: Traced, *dims: int) -> None:
        """The operator does not treat the indices of these axes one by one, each for itself.

        Every operator that reduces, contracts, normalises or convolves over an axis says so. It keeps neurons on the
        *other* axes from being permuted differently for different indices of this one. Axes of a parameter that an
        operator mixes are those that it reads.
        """
        places = [tensor.dim(dim) for dim in dims]
        self.mixed.append((list(tensor.axes), places))
        self.read.setdefault(id(tensor), set()).update(places)

    def pick(self, rows: Sequence[Axis], names: Names) -> None:
        """A tensor indexed by ``rows`` was picked, row by row, from the places on ``names.axis`` that ``names`` gives.

        So neurons that differ from place to place (inside one expert) may go on differing from row to row.
        """
        self.picked.append((list(rows), names))

    def passes(self, tensor: Traced, through: str) -> None:
        """The tensor goes through the nonlinearity named."""
        for axis in tensor.axes:
            for atom in atoms(axis):
                atom.passes.add(through)

    def role(self, axis: Axis, name: str) -> None:
        """How a person would call what indexes this axis; used for names only."""
        for atom in atoms(axis):
            atom.roles.add(name)

    def broadcast(self, *tensors: Traced) -> list[Axis]:
        """Axes of an elementwise result: aligned from the right, equal where neither is of size 1."""
        rank = max(len(tensor) for tensor in tensors)
        result: list[Axis] = [ONE] * rank
        for tensor in tensors:
            for dim, axis in enumerate(tensor.axes, rank - len(tensor)):
                if axis.size != 1:
                    result[dim] = axis if result[dim].size == 1 else self.same(result[dim], axis)
        return result

    @staticmethod
    def join(outer: Axis, inner: Axis) -> Axis:
        """The row-major product of two axes."""
        return product((outer, inner))

    def cut(self, axis: Axis, sizes: Sequence[int]) -> list[Axis]:
        """``axis`` cut into consecutive parts; where that is impossible its indices become fixed."""
        parts: list[Axis] = []
        for size in sizes[:-1]:
            if size == 0 or size == axis.size:
                halves: tuple[Axis, Axis] | None = (Sum(()), axis) if size == 0 else (axis, Sum(()))
            else:
                halves = split(axis, size)
            if halves is None:
                self.fix(axis, f"cut within a factor by {self.operation.name}")
                return [*parts, *(self.new(s, "cut within a factor") for s in sizes[len(parts) :])]
            parts.append(halves[0])
            axis = halves[1]
        return [*parts, axis]

    def regroup(self, axes: Sequence[Axis], sizes: Sequence[int]) -> list[Axis]:
        """Row-major reshape of ``axes`` to ``sizes``: the shortest runs of equal product go together."""
        result: list[Axis] = [ONE] * len(sizes)
        for run, targets in runs([axis.size for axis in axes], sizes):
            whole = product([axes[dim] for dim in run])
            for target, part in zip(targets, self._divide(whole, [sizes[t] for t in targets]), strict=True):
                result[target] = part
        return result

    @staticmethod
    def new_factors(axes: Sequence[Axis], sizes: Sequence[int]) -> list[int]:
        """Positions in ``sizes`` that a reshape of ``axes`` makes by dividing an axis."""
        own = [axis.size for axis in axes]
        return [target for _, targets in runs(own, sizes) if len(targets) > 1 for target in targets]

    def regroup_choices(self, axes: Sequence[Axis], sizes: Sequence[int], chosen: int) -> list[list[Axis]]:
        """:meth:`regroup` for each index of the new axis ``chosen``: its parts are reshaped each for itself."""
        marker = self.new(sizes[chosen], "parts that go different ways")
        results: list[list[Axis]] = [[ONE] * len(sizes) for _ in range(sizes[chosen])]
        for run, targets in runs([axis.size for axis in axes], sizes):
            outer = [t for t in targets if t < chosen] if chosen in targets else targets
            inner = [t for t in targets if t > chosen] if chosen in targets else []
            width = math.prod(sizes[t] for t in inner)
            rest = [width * sizes[chosen]] if chosen in targets else []
            shared = self._divide(product([axes[dim] for dim in run]), [*(sizes[t] for t in outer), *rest])
            pieces = self.cut(shared[-1], [width] * sizes[chosen]) if rest else []
            for index, result in enumerate(results):
                for target, part in zip(outer, shared, strict=False):
                    result[target] = part
                if rest:
                    parts = self._divide(pieces[index], [sizes[t] for t in inner])
                    for target, part in zip([chosen, *inner], [marker, *parts], strict=True):
                        result[target] = part
        return results

    def _divide(self, axis: Axis, sizes: Sequence[int]) -> list[Axis]:
        parts = divide(axis, sizes) if sizes else []
        if parts is None:
            self.fix(axis, f"reshaped across a factor by {self.operation.name}")
            parts = [self.new(size, "reshaped across a factor") for size in sizes]
        return parts

    def use_names(self, tensor: Traced, reason: str) -> None:
        """The *values* of an integer tensor matter beyond naming positions: the axis they are on becomes fixed."""
        if tensor.names is not None:
            fix(tensor.names.axis, reason)

    def will_be_taken_apart(self, value: Value, dim: int) -> bool:
        """Whether what reads ``value`` takes it apart along ``dim`` (seen through pure changes of layout)."""
        for operation in self.users.get(value, []):
            if operation.name in TAKES_APART:
                one_by_one = operation.name in ("aten.select", "aten.unbind") or all(
                    part is not None and part.shape[dim] == 1 for part in operation.outputs
                )
                if one_by_one and operation.arguments["dim"] % len(value.shape) == dim:
                    return True
            elif operation.name in LAYOUT and operation.outputs[0] is not None:
                markers = [Atom(size) for size in value.shape]
                others = {name: item for name, item in operation.arguments.items() if name not in ("self", "input")}
                moved = LAYOUT[operation.name](list(markers), **others)
                target = next((position for position, axis in enumerate(moved) if axis is markers[dim]), None)
                if target is not None and self.will_be_taken_apart(operation.outputs[0], target):
                    return True
        return False

    def collapse(self, tensor: Traced) -> Traced:
        """A tensor without ``choices``: its parts are indexed by the same neurons after all."""
        if tensor.choices is not None:
            for part in tensor.choices[1:]:
                for first, other in zip(tensor.choices[0], part, strict=True):
                    self.same(first, other)
            tensor.choices = None
        return tensor


def runs(have: Sequence[int], want: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """The shortest runs of places in two shapes, units left out, that have the same product."""
    left = [place for place, size in enumerate(have) if size != 1]
    right = [place for place, size in enumerate(want) if size != 1]
    while right:
        run, targets = [left.pop(0)], [right.pop(0)]
        ours, theirs = have[run[0]], want[targets[0]]
        while ours != theirs:
            if ours < theirs:
                run.append(left.pop(0))
                ours *= have[run[-1]]
            else:
                targets.append(right.pop(0))
                theirs *= want[targets[-1]]
        yield run, targets
