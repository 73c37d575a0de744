"""A :class:`~graphlab.capture.Program` -> :class:`Structure`: what the rules found out, read off and named."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from graphlab.capture import Program
from graphlab.weightgraph import axes as final
from graphlab.weightgraph.atoms import Atom, Axis, Product, atoms, resolve
from graphlab.weightgraph.following import Following
from graphlab.weightgraph.structure import Structure
from graphlab.weightgraph.tracer import Traced

NO_NEURONS = {"position", "kernel position", "unused in forward"}
"""Reasons of axes that no neuron indexes: they get no name."""


def trace(program: Program, outputs: Sequence[str] | None = None) -> Structure:
    """Find out which neurons index which axis of which parameter.

    Args:
        program: A captured network.
        outputs: Names of the outputs that count: their axes are fixed. Default ``logits``, else the first. Other
            outputs pin nothing.

    Raises:
        ValueError: for an output that the program does not have.
    """
    counted = tuple(outputs) if outputs is not None else _default_outputs(program)
    unknown = [name for name in counted if name not in program.outputs]
    if unknown:
        raise ValueError(f"no output {', '.join(unknown)}: this program has {', '.join(program.outputs)}")
    return _Reading(program, Following(program, counted), counted).structure()


def _default_outputs(program: Program) -> tuple[str, ...]:
    return ("logits",) if "logits" in program.outputs else tuple(program.outputs)[:1]


@dataclass(eq=False)
class _Place:
    """One appearance of an atom in an axis: the atoms around it in products there, and whether it has any inside."""

    parameter: str
    axis: int
    around: list[Atom]
    inside: bool


@dataclass(eq=False)
class _Found:
    """What is known of an atom once the whole program has been followed."""

    places: list[_Place] = field(default_factory=list)
    within: list[Atom] = field(default_factory=list)
    name: str = ""


class _Reading:
    def __init__(self, program: Program, following: Following, counted: tuple[str, ...]) -> None:
        self.program = program
        self.following = following
        self.tracer = following.tracer
        self.parameters = following.parameters
        self.counted = counted
        self.found: dict[Atom, _Found] = {}
        for name, tensor in self.parameters.items():
            for dim, axis in enumerate(tensor.axes):
                for atom, around, inside in _appearances(axis):
                    self.found.setdefault(atom, _Found()).places.append(_Place(name, dim, around, bool(inside)))

    def structure(self) -> Structure:
        self._find_within()
        self._find_names()
        known = {
            atom: final.Group(
                found.name,
                atom.size,
                atom.fixed,
                tuple(self.found[outer].name for outer in found.within),
                tuple(sorted(atom.passes)),
            )
            for atom, found in self.found.items()
            if found.name
        }
        outputs = {name: self._expressions(known, tensor) for name, tensor in self.following.outputs.items()}
        return Structure(
            groups={group.name: group for group in known.values()},
            axes={name: self._expressions(known, tensor) for name, tensor in self.parameters.items()},
            reads={name: tuple(uses) for name, uses in self.following.uses.found.items()},
            outputs=outputs,
            counted=self.counted,
            tied=self.program.tied,
            unused=self.program.unused,
            without_rule=self._without_rule(),
        )

    def _expressions(self, known: dict[Atom, final.Group], tensor: Traced) -> tuple[final.Axis, ...]:
        return tuple(_translate(axis, known) for axis in self.tracer.collapse(tensor).axes)

    def _without_rule(self) -> dict[str, tuple[str, ...]]:
        lost: dict[str, list[str]] = {name: [] for name in sorted(self.following.without_rule)}
        for parameter, tensor in self.parameters.items():
            reasons = {atom.fixed for axis in tensor.axes for atom in atoms(axis)}
            for operation, parameters in lost.items():
                if f"no rule for {operation}" in reasons:
                    parameters.append(parameter)
        return {name: tuple(parameters) for name, parameters in lost.items()}

    # ---- which neurons are inside of which ------------------------------------------------------------------------

    def _find_within(self) -> None:
        """Neurons ``j`` may be permuted differently for each index of ``i`` if every tensor that has ``j`` has ``i``.

        And if no operator mixes the indices of ``i`` in a tensor that has ``j``. Then (outer first) ``j`` is in ``i``.
        """
        together: dict[Atom, set[Atom]] = {}
        picks = [
            ({atom for axis in rows for atom in atoms(axis)}, set(atoms(names.axis)), id(names))
            for rows, names in self.tracer.picked
        ]
        for tensor_axes in self.tracer.seen:
            picked = _picked(tensor_axes, picks)
            for dim, axis in enumerate(tensor_axes):
                beside = {a for other, b in enumerate(tensor_axes) if other != dim for a in _direct(b)} | picked
                for atom, around, inside in _appearances(axis):
                    if atom in self.found:
                        company = beside | {*around, *(part for part in inside if isinstance(part, Atom))}
                        together[atom] = together[atom] & company if atom in together else company
        for tensor_axes, dims in self.tracer.mixed:
            for dim, axis in enumerate(tensor_axes):
                apart = {atom for other in dims if other != dim for atom in atoms(tensor_axes[other])}
                for atom in atoms(axis):
                    if atom in together:
                        together[atom] -= apart
        order = {atom: position for position, atom in enumerate(self.found)}
        candidates = [
            (inner, outer)
            for inner, company in together.items()
            for outer in company
            if inner.fixed is None and outer in order and outer.fixed not in NO_NEURONS and inner is not outer
        ]
        for inner, outer in sorted(candidates, key=lambda pair: (order[pair[1]] > order[pair[0]], order[pair[1]])):
            if not self._inside(outer, inner) and self._addressable(inner, outer):
                self.found[inner].within.append(outer)

    def _inside(self, inner: Atom, outer: Atom) -> bool:
        around = self.found[inner].within if inner in self.found else []
        return outer in around or any(self._inside(atom, outer) for atom in around)

    def _addressable(self, inner: Atom, outer: Atom) -> bool:
        """In every parameter the index of ``outer`` that goes with an index of ``inner`` is plain to see."""
        for place in self.found[inner].places:
            tensor = self.parameters[place.parameter]
            elsewhere = sum(_direct(axis).count(outer) for d, axis in enumerate(tensor.axes) if d != place.axis)
            alone = outer not in atoms(tensor[place.axis]) and elsewhere == 1
            if place.around.count(outer) != 1 and not alone:
                return False
        return True

    # ---- names ----------------------------------------------------------------------------------------------------

    def _find_names(self) -> None:
        taken: Counter[str] = Counter()
        for atom, found in self.found.items():
            if atom.fixed in NO_NEURONS or (atom.fixed or "").startswith("integers"):
                continue
            name = self._base_name(atom, found)
            taken[name] += 1
            found.name = name if taken[name] == 1 else f"{name}.{taken[name]}"

    def _base_name(self, atom: Atom, found: _Found) -> str:
        place = found.places[0]
        module = place.parameter.rpartition(".")[0] or place.parameter
        if atom.fixed and atom.fixed.startswith(("input ", "output ")):
            return atom.fixed.replace(" ", ":")
        if atom.fixed == "looked up by index":
            return f"{module}.rows"
        shared = _common_module(p.parameter for p in found.places)
        if place.inside or place.around:
            role = "inside" if not place.inside else "groups" if "groups" in atom.roles else "shared"
            role = "heads" if role == "shared" and not place.around else role
            return ".".join([module, role] if role == "inside" else [*shared, role])
        matrices = {p.parameter.rpartition(".")[0] for p in found.places if len(self.parameters[p.parameter]) > 1}
        return ".".join([*shared, "residual"]) if len(matrices) > 3 else module


def _common_module(parameters: Iterable[str]) -> list[str]:
    """The path components that the modules of all these parameters begin with."""
    columns = zip(*(parameter.split(".")[:-1] for parameter in parameters), strict=False)
    return [column[0] for column in itertools.takewhile(lambda column: len(set(column)) == 1, columns)]


def _appearances(axis: Axis) -> Iterator[tuple[Atom, list[Atom], list[Axis]]]:
    """Every atom of an axis with the atoms around it in products (outer factors) and the factors inside it."""

    def walk(part: Axis, around: list[Atom], inside: list[Axis]) -> Iterator[tuple[Atom, list[Atom], list[Axis]]]:
        if isinstance(part, Atom):
            yield part, around, inside
        elif isinstance(part, Product):
            for position, factor in enumerate(part.factors):
                outer = [f for f in part.factors[:position] if isinstance(f, Atom)]
                yield from walk(factor, [*around, *outer], [*part.factors[position + 1 :], *inside])
        else:
            for term in part.terms:
                yield from walk(term, around, inside)

    yield from walk(resolve(axis), [], [])


def _picked(tensor_axes: Sequence[Axis], picks: Sequence[tuple[set[Atom], set[Atom], int]]) -> set[Atom]:
    """Atoms that the rows of a tensor were picked from, one way only; ``picks`` are (rows, picked from, which way)."""
    present = {atom for axis in tensor_axes for atom in atoms(axis)}
    ways: dict[Atom, set[int]] = {}
    for rows, places, way in picks:
        if rows and rows <= present:
            for atom in places:
                ways.setdefault(atom, set()).add(way)
    return {atom for atom, sources in ways.items() if len(sources) == 1}


def _direct(axis: Axis) -> list[Atom]:
    """The atoms whose index is the same over the whole axis but for their own factor: not those inside sums."""
    axis = resolve(axis)
    if isinstance(axis, Atom):
        return [axis]
    return [factor for factor in axis.factors if isinstance(factor, Atom)] if isinstance(axis, Product) else []


def _translate(axis: Axis, known: dict[Atom, final.Group]) -> final.Axis:
    axis = resolve(axis)
    if isinstance(axis, Atom):
        return known.get(axis) or final.positions(axis.size)
    if isinstance(axis, Product):
        return final.Product(tuple(_translate(factor, known) for factor in axis.factors))
    return final.Sum(tuple(_translate(term, known) for term in axis.terms))
