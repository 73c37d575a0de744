"""The linear system whose solutions are the exponents of rescalings.

Let every neuron ``n`` of a group have a factor ``c_n``. A tensor transforms by ``c_n^e`` for each appearance of the
group in its axes, with one unknown exponent ``e`` an appearance. An operator that computes ``y = sum prod_k x_k`` is
followed by the factors if, wherever its indices stand, every neuron has the same total exponent in the factors of the
product and in ``y``; so a sum over the group's own axis needs exponents that cancel. Every rule comes down to such
relations, linear and homogeneous in the exponents: over the rationals for positive factors, modulo 2 for signs.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Set
from fractions import Fraction
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from graphlab.capture import Value
from graphlab.weightgraph import atoms, axes
from graphlab.weightgraph.tracer import Traced

Kind = Literal["scale", "sign"]


class Place(NamedTuple):
    """Some axes of a tensor, flattened, then picked from at ``positions``: those walk along the index ``label``."""

    dims: tuple[int, ...]
    label: Hashable
    positions: Tensor | None = None


class Term(NamedTuple):
    """A tensor in a relation, to the power ``degree``.

    ``part`` is the one meant of a tensor whose parts go different ways (:attr:`Traced.choices`). Exponents on an axis
    that no place names are 0, unless the degree is.
    """

    value: Value
    places: list[Place]
    degree: Fraction | int = 1
    part: int = 0


class Appearance(NamedTuple):
    """One of a group in an axis of a tensor: the number of its unknown exponent, and the neuron at each position."""

    unknown: int
    atom: atoms.Atom
    dim: int
    neurons: Tensor


class System:
    """The unknown exponents of a program's tensors, and what relates them.

    Attributes:
        kind: Whether factors are positive (``scale``) or 1 and -1 (``sign``).
    """

    def __init__(self, kind: Kind, traced: Mapping[Value, Traced], free: Set[atoms.Atom]) -> None:
        self.kind: Kind = kind
        self._traced = dict(traced)
        self._zeros: set[Value] = set()
        self._free = free
        self._appearances: dict[tuple[Value, int], list[Appearance]] = {}
        self._unknowns = 0
        self._solved: dict[int, dict[int, Fraction]] = {}

    def parts(self, value: Value) -> int:
        """How many parts of the tensor go different ways."""
        return len(self._traced[value].choices or [()])

    def choice_axis(self, value: Value) -> int:
        """The axis along which the parts are."""
        return self._traced[value].choice_axis

    def inner(self, value: Value, dim: int) -> Value:
        """A new tensor for what an operator computes inside: indexed by one axis of another."""
        new = Value(f"{value.name}.{dim}", (value.shape[dim],), value.dtype)
        self._traced[new] = Traced([self._traced[value][dim]])
        return new

    def mark_zero(self, value: Value) -> None:
        """All entries are 0, whatever they are multiplied by."""
        if self._traced[value].constant:  # so nothing writes into it
            self._zeros.add(value)

    def is_zero(self, value: Value) -> bool:
        return value in self._zeros

    def appearances(self, value: Value, part: int = 0) -> list[Appearance]:
        """Those of free groups in the axes of a tensor, in order."""
        if (value, part) not in self._appearances:
            traced = self._traced[value]
            own = traced.choices[part] if traced.choices is not None else traced.axes
            found = []
            for dim, axis in enumerate(own):
                if any(atom in self._free for atom in atoms.atoms(axis)):
                    for leaf, neurons in neurons_of(atoms.resolve(axis)):
                        if leaf in self._free:
                            found.append(Appearance(self._unknowns, leaf, dim, neurons))  # type: ignore[arg-type]
                            self._unknowns += 1
            self._appearances[value, part] = found
        return self._appearances[value, part]

    def zero(self, *values: Value) -> None:
        """No factor acts on these tensors."""
        for value in values:
            for part in range(self.parts(value)):
                for found in self.appearances(value, part):
                    self._equation({found.unknown: Fraction(1)})

    def relate(self, *terms: Term) -> None:
        """The product of the tensors, each to its degree, does not change, wherever the labels stand.

        For every label and group: at each position the exponents of every neuron that stands there, times the degrees,
        sum to zero. Different labels move apart, so each has its own equations.
        """
        found: dict[tuple[Hashable, atoms.Atom], list[tuple[int, Fraction, Tensor]]] = {}
        for value, places, degree, part in terms:
            if not self._reduced(Fraction(degree)):
                continue
            own = self.appearances(value, part)
            named = {dim for place in places for dim in place.dims}
            for appearance in own:
                if appearance.dim not in named:
                    self._equation({appearance.unknown: Fraction(1)})
            for dims, label, positions in places:
                shape = [value.shape[dim] for dim in dims]
                for unknown, atom, dim, neurons in own:
                    if dim in dims:
                        here = [size if d == dim else 1 for d, size in zip(dims, shape, strict=True)]
                        walked = neurons.view(here).expand(shape).reshape(-1)
                        walked = walked if positions is None else walked[positions]
                        found.setdefault((label, atom), []).append((unknown, Fraction(degree), walked))
        for entries in found.values():
            for row in _together(entries):
                self._equation(row)

    def solutions(self, unknowns: Iterable[int]) -> Iterator[dict[int, int]]:
        """A basis of the solutions restricted to unknowns that were made before all others, as coprime integers.

        Each has one of them that no other has, as early as possible, and positive.
        """
        unknowns = sorted(unknowns)
        for chosen in (unknown for unknown in unknowns if unknown not in self._solved):
            values = {chosen: Fraction(1)}
            for unknown in unknowns:
                if unknown in self._solved:
                    total = sum((c * values.get(u, 0) for u, c in self._solved[unknown].items()), Fraction(0))
                    values[unknown] = self._reduced(total)
            scale = math.lcm(*(value.denominator for value in values.values()))
            yield {unknown: int(value * scale) for unknown, value in values.items() if value}

    def _reduced(self, number: Fraction) -> Fraction:
        return number if self.kind == "scale" else number % 2

    def _equation(self, row: dict[int, Fraction]) -> None:
        """Solve ``sum row[u] e_u = 0`` for the unknown that was made last."""
        row = {unknown: number for unknown, given in row.items() if (number := self._reduced(given))}
        while row:
            last = max(row)
            factor = row.pop(last)
            if last not in self._solved:
                self._solved[last] = {u: self._reduced(-number / factor) for u, number in row.items()}
                return
            for unknown, number in self._solved[last].items():
                total = self._reduced(row.get(unknown, Fraction(0)) + factor * number)
                row[unknown] = total
                if not total:
                    del row[unknown]


def neurons_of(axis: atoms.Axis | axes.Axis) -> list[tuple[atoms.Atom | axes.Group, Tensor]]:
    """For each appearance of a group in an axis, in order: int64 ``[axis.size]``, its neuron there, -1 for none."""
    if isinstance(axis, atoms.Atom | axes.Group):
        return [(axis, torch.arange(axis.size))]
    found = []
    before = 1 if isinstance(axis, atoms.Product | axes.Product) else 0
    for part in axis.factors if isinstance(axis, atoms.Product | axes.Product) else axis.terms:
        for leaf, neurons in neurons_of(part):
            if isinstance(axis, atoms.Product | axes.Product):
                placed = neurons.repeat_interleave(axis.size // (before * part.size)).repeat(before)
            else:
                placed = torch.full((axis.size,), -1)
                placed[before : before + part.size] = neurons
            found.append((leaf, placed))
        before = before * part.size if isinstance(axis, atoms.Product | axes.Product) else before + part.size
    return found


def _together(entries: list[tuple[int, Fraction, Tensor]]) -> Iterator[dict[int, Fraction]]:
    """An equation for each set of appearances that have the same neuron at some position."""
    neurons = torch.stack([walked for _, _, walked in entries])
    sets: set[tuple[bool, ...]] = set()
    for own in neurons:
        at = neurons[:, own >= 0] == own[own >= 0]
        sets.update(tuple(column) for column in torch.unique(at, dim=1).T.tolist())
    for members in sets:
        row: dict[int, Fraction] = {}
        for member, (unknown, degree, _) in zip(members, entries, strict=True):
            if member:
                row[unknown] = row.get(unknown, Fraction(0)) + degree
        yield row
