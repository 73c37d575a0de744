"""Matching: the permutation of node groups that brings the tensors of one network closest to those of another.

With all groups but one held, ``sum_t <a_t, (P b)_t>`` is linear in the permutation of the one that is left, and the
best solves an assignment problem; coordinate descent over the groups never lowers the objective (Ainsworth, Hayase,
Srinivasa, "Git Re-Basin: Merging Models modulo Permutation Symmetries", ICLR 2023, section 3.2, for layers in a chain).
Neurons inside other groups (of a head, of an expert) are matched by assignments nested in assignments.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from graphlab.weightgraph.axes import Axis, Group, Product, Sum, groups, positions
from graphlab.weightgraph.symmetry import neuron_at, permute_tensor

TOLERANCE = 1e-12
"""A step must raise the objective by more than this share of ``|a| |b|``."""
NESTED = 2**28
"""Pairs of outer neurons are matched inside only if that takes at most so many similarities."""


def best_order(
    terms: Sequence[Term],
    found: Sequence[Group],
    generator: torch.Generator,
    max_sweeps: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, Tensor], list[float]]:
    """Coordinate descent from the order that there is, to where no group can be improved while the others stay.

    Args:
        terms: What is compared.
        found: The groups that may be permuted, and fixed ones that such groups are inside of.
        generator: Of the order in which groups are visited.
        max_sweeps: Each group is visited at most so many times.
        progress: Called with (groups settled for now, groups in all) after each visit.

    Returns:
        Group name -> permutation, and the objective before and after each sweep.

    Raises:
        ValueError: for NaN or infinity.
    """
    scale = norm(term.a for term in terms) * norm(term.b for term in terms)
    if not math.isfinite(scale):
        raise ValueError("NaN or infinity in what is compared: no order of neurons is closer than another")
    descent = Descent(terms, found, TOLERANCE * scale, generator)
    objectives = [descent.value]
    while descent.unsettled and len(objectives) <= max_sweeps:
        descent.sweep(progress)
        objectives.append(descent.value)
    return descent.tables, objectives


def norm(tensors: Iterable[Tensor]) -> float:
    """The Euclidean norm of all tensors as one vector."""
    return math.sqrt(math.fsum(float(tensor.double().square().sum()) for tensor in tensors))


class Term(NamedTuple):
    """A tensor of each network, or the same part of both, and what indexes its axes."""

    a: Tensor
    b: Tensor
    axes: tuple[Axis, ...]

    def carrying(self, name: str) -> list[int]:
        """The axes on which the group is."""
        return [dim for dim, axis in enumerate(self.axes) if name in {group.name for group in groups(axis)}]

    @property
    def value(self) -> float:
        """``<a, b>``."""
        return float(self.a.double().flatten() @ self.b.double().flatten())


class Descent:
    """Coordinate descent: raises ``sum_t <a_t, P b_t>`` by permuting one group, and those inside of it, at a time.

    ``found`` are the groups that may be permuted, and fixed ones that such groups are inside of. A step must gain more
    than ``tolerance``. A group is settled after its step, until that of another moves a tensor that it is on.
    """

    def __init__(
        self, terms: Sequence[Term], found: Sequence[Group], tolerance: float, generator: torch.Generator
    ) -> None:
        self.terms = list(terms)
        self.values = [term.value for term in terms]
        self.groups = {group.name: group for group in found}
        self.outermost = [group for group in found if not group.within]
        self.unsettled = {group.name for group in self.outermost}
        self.tables = {
            group.name: torch.arange(group.size).expand(*(self.groups[name].size for name in group.within), -1)
            for group in found
        }
        self.tolerance = tolerance
        self.generator = generator

    @property
    def value(self) -> float:
        return math.fsum(self.values)

    def sweep(self, progress: Callable[[int, int], None] | None = None) -> None:
        """One step for each group that is not settled, in random order."""
        for place in torch.randperm(len(self.outermost), generator=self.generator).tolist():
            if self.outermost[place].name in self.unsettled:
                self._step(self.outermost[place])
            if progress:
                progress(len(self.outermost) - len(self.unsettled), len(self.outermost))

    def _step(self, group: Group) -> None:
        self.unsettled.discard(group.name)
        touched = [index for index, term in enumerate(self.terms) if term.carrying(group.name)]
        before = [self.terms[index] for index in touched]
        step = self._best(before, group)
        after = [term._replace(b=permute_tensor(term.b, term.axes, step)) for term in before]
        values = [term.value for term in after]
        if math.fsum(values) - math.fsum(self.values[index] for index in touched) <= self.tolerance:
            return
        for index, term, value in zip(touched, after, values, strict=True):
            self.terms[index], self.values[index] = term, value
            for other in self.outermost:
                if len(term.carrying(other.name)) > (other is group):
                    self.unsettled.add(other.name)
        for name, table in self.tables.items():  # a table is a tensor on the groups around it and the group itself
            axes = (*(self.groups[outer] for outer in self.groups[name].within), self.groups[name])
            self.tables[name] = permute_tensor(table, axes, step)

    def _best(self, terms: Sequence[Term], group: Group) -> dict[str, Tensor]:
        """The permutation ``p`` of a group, and those of the groups inside of it, with the largest ``sum S[i, p(i)]``.

        ``S[i, j]`` is the inner product of ``a``'s neuron ``i`` with ``b``'s neuron ``j``, whose own inside is first
        brought into its best order for that (or, where that is too much for all pairs, only for ``i = j``).
        """
        inside = self._inside(group)
        if not inside:
            return {group.name: assignment(_similarity(terms, group))}
        parts = [_parts(term, dim, group) for term in terms for dim in term.carrying(group.name)]
        nested = group.size * sum(self.tables[inner.name].numel() * inner.size for inner in inside) <= NESTED
        similarity = torch.zeros(group.size, group.size, dtype=torch.float64)
        tables: dict[tuple[int, int], dict[str, Tensor]] = {}
        for i, j in itertools.product(range(group.size), repeat=2):
            if i == j or group.free:
                pair = [Term(part[i].a, part[j].b, part[i].axes) for part in parts]
                descent = Descent(pair, inside, self.tolerance, self.generator)
                while descent.unsettled and (i == j or nested):
                    descent.sweep()
                similarity[i, j], tables[i, j] = descent.value, descent.tables
        order = assignment(similarity) if group.free else torch.arange(group.size)
        chosen = [tables[pair] for pair in enumerate(order.tolist())]
        return {group.name: order} | {
            inner.name: torch.stack([tables[inner.name] for tables in chosen]) for inner in inside
        }

    def _inside(self, group: Group) -> list[Group]:
        """The groups inside of one, as they are at a single index of it."""
        found = [_one_set(inner, group.name) for inner in self.groups.values() if group.name in inner.within[:1]]
        names = {inner.name for inner in found}
        return [inner for inner in found if names.issuperset(inner.within)]


def _similarity(terms: Sequence[Term], group: Group) -> Tensor:
    """float64 ``[size, size]``: ``S[i, j] = <a's slice i, b's slice j>``, summed over all axes that carry the group.

    For a tensor with the group on two axes this is the slope of the objective, which is quadratic there.
    """
    total = torch.zeros(group.size, group.size, dtype=torch.float64)
    for term in terms:
        for dim in term.carrying(group.name):
            places = _places(term.axes[dim], group.name).flatten().to(term.a.device)
            first, second = (
                tensor.index_select(dim, places).movedim(dim, 0).reshape(group.size, -1).double()
                for tensor in (term.a, term.b)
            )
            total += (first @ second.T).cpu()
    return total


def assignment(similarity: Tensor) -> Tensor:
    """The permutation ``p`` with the largest ``sum_i similarity[i, p(i)]``."""
    return torch.from_numpy(linear_sum_assignment(similarity.numpy(), maximize=True)[1])


def _parts(term: Term, dim: int, group: Group) -> list[Term]:
    """The part of a term at each index of a group on axis ``dim``; another axis with that group is held as it is."""
    axes = tuple(
        positions(axis.size) if other != dim and other in term.carrying(group.name) else _at_one_index(axis, group.name)
        for other, axis in enumerate(term.axes)
    )
    return [
        Term(term.a.index_select(dim, own).double(), term.b.index_select(dim, own).double(), axes)
        for own in _places(term.axes[dim], group.name).to(term.a.device)
    ]


@lru_cache(maxsize=4096)
def _places(axis: Axis, name: str) -> Tensor:
    """int64 ``[size, times]``: where on an axis each neuron of a group is, in an order that is the same for all."""
    neurons = neuron_at(axis, name)
    order = neurons.argsort(stable=True)
    return order[(neurons < 0).sum() :].view(int(neurons.max()) + 1, -1)


def _one_set(group: Group, name: str) -> Group:
    """A group as it is at one index of another."""
    return dataclasses.replace(group, within=tuple(outer for outer in group.within if outer != name))


def _at_one_index(axis: Axis, name: str) -> Axis:
    """What is left of an axis at one index of a group: ``inside`` of ``heads . inside + other``."""
    match axis:
        case Group():
            return Product(()) if axis.name == name else _one_set(axis, name)
        case Product(factors):
            return Product(tuple(_at_one_index(part, name) for part in factors))
        case Sum(terms):
            carrying = [part for part in terms if name in {group.name for group in groups(part)}]
            return Sum(tuple(_at_one_index(part, name) for part in carrying or terms))
