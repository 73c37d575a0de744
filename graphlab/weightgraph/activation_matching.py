"""Activation matching: the order of one network's neurons that makes them fire like another's on the same inputs.

The captured program gives every tensor that a network computes on the way, and following it says which groups index
each. For every free group :func:`align_activations` looks for the permutation ``P`` that maximises

    ``sum_v sum_i corr(z_a[v, i], z_b[v, P(i)])``

where ``z[v, i]`` are the values of neuron ``i`` in tensor ``v`` over all inputs and positions (Li, Yosinski, Clune,
Lipson, Hopcroft, "Convergent Learning: Do different neural networks learn the same representations?", ICLR 2016;
Ainsworth, Hayase, Srinivasa, "Git Re-Basin", ICLR 2023, section 3.1, with inner products). A correlation does not
depend on the scale of a neuron, which the network may change freely where a rescaling is a symmetry.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphlab.capture import Program, Value
from graphlab.weightgraph.align import Alignment, check_equal, weight_terms
from graphlab.weightgraph.axes import Axis, groups
from graphlab.weightgraph.graph import WeightGraph
from graphlab.weightgraph.matching import Term, best_order
from graphlab.weightgraph.registry import LAYOUT, TAKES_APART
from graphlab.weightgraph.structure import Structure
from graphlab.weightgraph.values import follow, translated

_MOVES = {*LAYOUT, *TAKES_APART, "aten.slice", "aten.narrow"}
_MOVES |= {f"aten.{name}" for name in ("reshape", "view", "flatten", "unflatten", "_unsafe_view", "expand")}

CONSTANT = 1e-6
"""A neuron whose values vary by less than this share of their size does not vary."""


def align_activations(
    a: WeightGraph,
    b: WeightGraph,
    program: Program,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    seed: int = 0,
    max_sweeps: int = 100,
    progress: Callable[[int, int], None] | None = None,
) -> Alignment:
    """Order the neurons of ``b`` so that they correlate best with those of ``a`` on the inputs given.

    Groups that no tensor of the program shows (the neurons inside experts, which tokens are sent to) are matched by
    weights afterwards, with all others held; :attr:`Alignment.by_weights` names them.

    Args:
        a: The network that stays as it is.
        b: One of equal structure.
        program: The captured network of both.
        args, kwargs: Inputs of the captured shapes. On a few examples correlations say little (on two they are 1 or
            -1); all tensors that are compared are held in memory.
        seed, max_sweeps, progress: As for :func:`~graphlab.weightgraph.align`.

    Raises:
        ValueError: if the structures differ, from one another or from that of the program, or a weight is not finite.
        CaptureError: for inputs that do not fit the program.
    """
    structure = a.structure
    check_equal(structure, b.structure)
    terms = _terms(a, b, program, args, kwargs or {})
    seen = {group.name for term in terms for axis in term.axes for group in groups(axis)}
    contexts = {name for group in structure.free for name in group.within}
    found = [group for group in structure.groups.values() if group.free or group.name in contexts]
    compared = [group for group in found if group.name in seen]
    generator = torch.Generator().manual_seed(seed)
    tables, objectives = best_order(terms, compared, generator, max_sweeps, progress)
    unseen = [group for group in structure.free if group.name not in seen]
    if unseen:
        moved = b.permute({group.name: tables[group.name] for group in compared if group.free})
        around = {name for group in unseen for name in group.within}
        held = [dataclasses.replace(g, reason="matched by activations") for g in compared if g.name in around]
        others, _ = best_order(weight_terms(a, moved), [*held, *unseen], generator, max_sweeps, progress)
        tables |= {group.name: others[group.name] for group in unseen}
    return Alignment.of(a, b, tables, objectives, tuple(group.name for group in unseen))


def _terms(
    a: WeightGraph, b: WeightGraph, program: Program, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[Term]:
    """The standardised activations of both, and what indexes their axes."""
    shown = _shown(program, a.structure)
    watching = dataclasses.replace(program, outputs={value.name: value for value in shown})
    with torch.no_grad():
        ours, theirs = (watching.run(graph.state_dict(), args, kwargs) for graph in (a, b))
    terms = [
        Term(_standardised(ours[value.name], axes), _standardised(theirs[value.name], axes), axes)
        for value, axes in shown.items()
    ]
    return [term for term in terms if term.a.isfinite().all() and term.b.isfinite().all()]


def _shown(program: Program, structure: Structure) -> dict[Value, tuple[Axis, ...]]:
    """The tensors to compare: those computed from the inputs in which each group is plain to see.

    Every free group must be there once, with all that it is inside of. What only moves a tensor that is compared shows
    nothing new.
    """
    following, known = follow(program, structure)
    computed = {value for value in program.inputs if value is not None}
    shown: dict[Value, tuple[Axis, ...]] = {}
    told: dict[Value, set[str]] = {}
    for operation in program.operations:
        if computed.isdisjoint(operation.inputs):
            continue
        for value in operation.outputs:
            if value is None:
                continue
            computed.add(value)
            traced = following.where[value]
            axes = tuple(translated(axis, known) for axis in traced.axes)
            counts = Counter(group for axis in axes for group in groups(axis))
            free = {group.name for group in counts if group.free}
            around = {structure.groups[name] for group in counts if group.free for name in group.within}
            plain = traced.choices is None and all(
                counts[group] == 1 for group in {*counts, *around} if group.free or group in around
            )
            if plain and value.dtype.is_floating_point:
                before = told.get(operation.inputs[0], set()) if operation.name in _MOVES else set()
                told[value] = free
                if not free <= before:
                    shown[value] = axes
    return shown


def _standardised(activations: Tensor, axes: Sequence[Axis]) -> Tensor:
    """float64: each neuron with mean 0 and norm 1 over the axes that no group is on; 0 where it does not vary."""
    samples = [dim for dim, axis in enumerate(axes) if not any(group.name for group in groups(axis))]
    activations = activations.double()
    centred = activations - activations.mean(samples, keepdim=True)
    size, whole = (torch.linalg.vector_norm(t, dim=samples, keepdim=True) for t in (centred, activations))
    return torch.where(size > CONSTANT * whole, centred / size, 0.0)
