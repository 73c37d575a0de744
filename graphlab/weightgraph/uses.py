"""How parameters are used: which of its axes an operator reads, that is sums over or looks up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphlab.capture import Operation, Program, Value
from graphlab.weightgraph.atoms import Atom, Axis
from graphlab.weightgraph.registry import LAYOUT
from graphlab.weightgraph.tracer import runs

_REGROUPS = {f"aten.{name}" for name in ("reshape", "view", "flatten", "unflatten", "_unsafe_view")}
_KEEPS_AXES = {f"aten.{name}" for name in ("split", "split_with_sizes", "chunk", "tensor_split", "slice", "narrow")}
_DROPS_AXIS = {"aten.select", "aten.unbind"}

Origin = tuple[str, list[frozenset[int]]]
"""A parameter, and which of its axes make up each axis of a tensor."""


class Uses:
    """The uses of every parameter, seen through operators that only move, cut or pick.

    Attributes:
        found: State-dict name -> the axes that each use reads; equal uses once.
    """

    def __init__(self, program: Program) -> None:
        self.found: dict[str, list[tuple[int, ...]]] = {name: [] for name in program.parameters}
        self._origins: dict[Value, Origin] = {
            value: (name, [frozenset({dim}) for dim in range(len(value.shape))])
            for name, value in program.parameters.items()
        }

    def follow(self, operation: Operation, read: Mapping[Value, set[int]]) -> None:
        """Take note of one operator, given the axes of each of its inputs that it reads."""
        for value in dict.fromkeys(operation.inputs):
            if value in self._origins:
                name, axes = self._origins[value]
                moved = _moved(operation, value, axes) if not read.get(value) else None
                for output in operation.outputs if moved is not None else ():
                    if output is not None and moved is not None:
                        self._origins[output] = name, moved
                if moved is None:
                    use = tuple(sorted({own for dim in read.get(value, ()) for own in axes[dim]}))
                    self.found[name] += [use] if use not in self.found[name] else []


def _moved(operation: Operation, value: Value, axes: Sequence[frozenset[int]]) -> list[frozenset[int]] | None:
    """What makes up each axis of the results; ``None`` for an operator that computes."""
    name, arguments = operation.name, operation.arguments
    if next(iter(arguments.values())) is not value:
        return None
    if name in LAYOUT:
        markers = [Atom(size) for size in value.shape]
        known: dict[Axis, frozenset[int]] = dict(zip(markers, axes, strict=True))
        others = dict(list(arguments.items())[1:])
        return [known.get(marker, frozenset()) for marker in LAYOUT[name](list(markers), **others)]
    if name in _REGROUPS:
        (output,) = operation.outputs
        assert output is not None
        result: list[frozenset[int]] = [frozenset()] * len(output.shape)
        for run, targets in runs(list(value.shape), output.shape):
            together = frozenset[int]().union(*(axes[dim] for dim in run))
            for target in targets:
                result[target] = together
        return result
    if name in _KEEPS_AXES:
        return list(axes)
    if name in _DROPS_AXIS:
        dim = arguments["dim"] % len(axes)
        return [*axes[:dim], *axes[dim + 1 :]]
    if name in ("aten.index", "aten.index_select"):
        picked = [dim for dim, index in enumerate(arguments.get("indices", ())) if index is not None]
        (dim,) = picked if len(picked) == 1 else (arguments.get("dim"),)
        (output,) = operation.outputs
        assert output is not None
        return (
            None if dim is None else [*axes[:dim], *[axes[dim]] * (len(output.shape) - len(axes) + 1), *axes[dim + 1 :]]
        )
    return None
