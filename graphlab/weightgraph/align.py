"""Aligning: the order of one network's neurons that brings it closest to another.

Two networks trained apart compute with their neurons in different orders. :func:`align` looks for the permutation ``P``
of ``b``'s free groups that maximises ``sum_t <theta_a[t], (P theta_b)[t]>`` over all tensors ``t``, which is the one
that minimises ``|theta_a - P theta_b|`` (Ainsworth, Hayase, Srinivasa, "Git Re-Basin: Merging Models modulo Permutation
Symmetries", ICLR 2023, section 3.2). The paper does this for layers in a chain; here the structure says, for any traced
network, which axes carry which group. :func:`~graphlab.weightgraph.activation_matching.align_activations` compares what
neurons compute instead.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from graphlab.weightgraph.graph import WeightGraph
from graphlab.weightgraph.matching import Term, best_order, norm
from graphlab.weightgraph.structure import Structure
from graphlab.weightgraph.symmetry import Permutations

_SHOWN = 12


@dataclass(frozen=True)
class Alignment:
    """The result of :func:`align`, or of matching by activations.

    Attributes:
        graph: ``b`` with its neurons in the order found; it computes what ``b`` does.
        permutations: Free group -> the old neuron at each place, as :meth:`WeightGraph.permute` takes them.
        objectives: What is maximised, before, and after each sweep over the groups; it never falls. Of weights
            ``sum_t <theta_a[t], theta_b[t]>``, of activations the sum of correlations.
        distance_before: ``|theta_a - theta_b|`` over all floating-point tensors.
        distance_after: ``|theta_a - P theta_b|``.
        by_weights: The groups that were matched by weights.
    """

    graph: WeightGraph
    permutations: Permutations
    objectives: tuple[float, ...]
    distance_before: float
    distance_after: float
    by_weights: tuple[str, ...]

    @classmethod
    def of(
        cls,
        a: WeightGraph,
        b: WeightGraph,
        tables: Permutations,
        objectives: list[float],
        by_weights: tuple[str, ...],
    ) -> Alignment:
        """Permute ``b`` by those of the tables that are of free groups and move something."""
        permutations = {group.name: tables[group.name] for group in a.structure.free}
        graph = b.permute({name: table for name, table in permutations.items() if _moved(table)})
        before, after = (
            norm(term.a.double() - term.b.double() for term in weight_terms(a, other)) for other in (b, graph)
        )
        return cls(graph, permutations, tuple(objectives), before, after, by_weights)

    @property
    def moved(self) -> dict[str, int]:
        """Free group -> how many of its neurons have another place than before, in all sets of them together."""
        return {name: _moved(table) for name, table in self.permutations.items()}

    def __repr__(self) -> str:
        return (
            f"Alignment: objective {self.objectives[0]:.6g} -> {self.objectives[-1]:.6g} in {len(self.objectives) - 1} "
            f"sweeps, distance {self.distance_before:.6g} -> {self.distance_after:.6g}"
        )


def align(
    a: WeightGraph,
    b: WeightGraph,
    seed: int = 0,
    max_sweeps: int = 100,
    progress: Callable[[int, int], None] | None = None,
) -> Alignment:
    """Order the neurons of ``b`` so that its weights are as close to those of ``a`` as coordinate descent finds.

    All floating-point tensors count alike, BatchNorm's statistics included; others are permuted along. The descent
    starts from the order that ``b`` has, visits the groups in random order, and ends where no group can be improved
    while the others stay as they are: a local optimum.

    Args:
        a: The network that stays as it is.
        b: One of equal structure.
        seed: Of the order in which groups are visited.
        max_sweeps: Each group is visited at most so many times.
        progress: Called with (groups settled for now, groups in all) after each visit.

    Raises:
        ValueError: if the structures differ, or a tensor holds NaN or infinity.
    """
    structure = a.structure
    check_equal(structure, b.structure)
    contexts = {name for group in structure.free for name in group.within}
    found = [group for group in structure.groups.values() if group.free or group.name in contexts]
    generator = torch.Generator().manual_seed(seed)
    tables, objectives = best_order(weight_terms(a, b), found, generator, max_sweeps, progress)
    return Alignment.of(a, b, tables, objectives, tuple(group.name for group in structure.free))


def weight_terms(a: WeightGraph, b: WeightGraph) -> list[Term]:
    """The floating-point tensors of both."""
    return [
        Term(a.tensors[name], b.tensors[name].to(a.tensors[name].device), axes)
        for name, axes in a.structure.axes.items()
        if a.tensors[name].is_floating_point() and b.tensors[name].is_floating_point()
    ]


def _moved(table: Tensor) -> int:
    return int((table != torch.arange(table.shape[-1])).sum())


def check_equal(first: Structure, second: Structure) -> None:
    """Raises ``ValueError`` that says what the structures do not share."""
    if first == second:
        return
    ours, theirs = ([" ".join(line.split()) for line in repr(structure).splitlines()] for structure in (first, second))
    lines = [line for line in difflib.ndiff(ours, theirs) if line.startswith(("- ", "+ "))]
    names = (field.name for field in dataclasses.fields(Structure))
    lines = lines or [name for name in names if getattr(first, name) != getattr(second, name)]
    more = [f"and {len(lines) - _SHOWN} lines more"] if len(lines) > _SHOWN else []
    raise ValueError("\n  ".join(["the structures differ (- the first's, + the second's):", *lines[:_SHOWN], *more]))
