"""Rescalings: what may be multiplied into the neurons of a network without changing what it computes.

The output of a ReLU neuron may be halved if the weights that read it are doubled; that of a tanh neuron may change its
sign (Hecht-Nielsen, "On the algebraic structure of feedforward network weight spaces", 1990; Badrinarayanan, Mishra,
Cipolla, "Understanding symmetries in deep networks", 2015). In attention without rotary positions, and in gated layers,
the same holds of queries against keys, of values against the output projection, of ``up`` against ``down`` (Godfrey,
Brown, Emerson, Kvinge, "On the symmetries of deep learning models and their internal representations", NeurIPS 2022).
Here they are derived for any traced network, as the solutions of a small linear system
(:mod:`~graphlab.weightgraph.rescaling_system`) that its operators write down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from graphlab.capture import Program
from graphlab.weightgraph import axes
from graphlab.weightgraph.axes import Axis
from graphlab.weightgraph.graph import WeightGraph
from graphlab.weightgraph.rescaling_rules import apply
from graphlab.weightgraph.rescaling_system import Kind, System, neurons_of
from graphlab.weightgraph.structure import Structure
from graphlab.weightgraph.symmetry import neuron_at, table_shape
from graphlab.weightgraph.values import follow


@dataclass(frozen=True)
class Rescaling:
    """Factors ``c``, one a neuron, that cancel: ``theta'[.., n, ..] = c_n^e theta[.., n, ..]``.

    Attributes:
        group: The free group whose neurons have the factors.
        kind: ``scale``: any positive factors. ``sign``: 1 and -1.
        exponents: State-dict name -> ``e`` for each appearance of the group in the tensor's axes, in order: three for a
            fused query, key and value ``3 * (heads . inside)``. Tensors that nothing happens to are left out.
    """

    group: str
    kind: Kind
    exponents: Mapping[str, tuple[int, ...]]

    def __repr__(self) -> str:
        powers = (f"{name} {', '.join(f'{e:+d}' for e in own)}" for name, own in self.exponents.items())
        return f"Rescaling({self.kind} of {self.group}: {'; '.join(powers)})"


def rescalings(program: Program, structure: Structure) -> tuple[Rescaling, ...]:
    """The rescalings of every free group, as a basis: products of them (of their powers) are all there are.

    For a group inside others there is a factor for each neuron of each of its sets, so its rescalings include those of
    the groups around it that act on the same tensors. What the rules do not know has no factors: a rescaling may be
    missed, none is claimed wrongly. Positive scales are no sign changes, and where both exist both are listed.

    Args:
        program: A captured network.
        structure: Its structure, by :func:`~graphlab.weightgraph.trace`.

    Raises:
        ValueError: if the structure is that of another program.
    """
    following, known = follow(program, structure)
    free = {atom: group.name for atom, group in known.items() if group.free}
    found = []
    for kind in ("scale", "sign"):
        system = System(kind, following.where, free.keys())
        places = {
            appearance.unknown: (name, appearance.atom)
            for name, value in program.parameters.items()
            for appearance in system.appearances(value)
        }
        for operation in program.operations:
            apply(system, operation)
        for atom, group in free.items():
            of_group = {unknown: name for unknown, (name, carried) in places.items() if carried is atom}
            for solution in system.solutions(of_group):
                exponents: dict[str, list[int]] = {}
                for unknown, name in of_group.items():
                    exponents.setdefault(name, []).append(solution.get(unknown, 0))
                found.append(Rescaling(group, kind, {n: tuple(e) for n, e in exponents.items() if any(e)}))
    order = {name: position for position, name in enumerate(structure.groups)}
    return tuple(sorted(found, key=lambda rescaling: order[rescaling.group]))


def rescale(graph: WeightGraph, rescaling: Rescaling, factors: Tensor) -> WeightGraph:
    """The same function with the neurons of a group multiplied by factors; tensors that have none are shared.

    Args:
        graph: A network of the structure that the rescaling is of.
        rescaling: One of :func:`rescalings`.
        factors: ``[*sizes of the groups around it, size]``, floating point, laid out like a permutation of the group.

    Raises:
        ValueError: for a rescaling of another structure, and for factors of another shape, that are not positive and
            finite, or, of kind ``sign``, not 1 or -1.
    """
    structure = graph.structure
    _check(structure, rescaling, factors)
    changed = {}
    for name, exponents in rescaling.exponents.items():
        tensor = graph.tensors[name]
        factor = _factor(structure.axes[name], structure, rescaling.group, exponents, factors.double().cpu())
        changed[name] = tensor * factor.to(tensor.device, tensor.dtype)
    return WeightGraph(structure, {**graph.tensors, **changed})


def random_factors(structure: Structure, rescaling: Rescaling, generator: torch.Generator | None = None) -> Tensor:
    """float64 factors for :func:`rescale`: between 1/2 and 2, uniform in the logarithm; of signs, 1 or -1."""
    shape = table_shape(structure, structure.groups[rescaling.group])
    uniform = 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1
    return uniform.exp2() if rescaling.kind == "scale" else torch.where(uniform < 0, -1.0, 1.0).double()


def _check(structure: Structure, rescaling: Rescaling, factors: Tensor) -> None:
    group = structure.groups.get(rescaling.group)
    if group is None or not group.free:
        raise ValueError(f"{rescaling.group}: expected a free group of the structure")
    for name, exponents in rescaling.exponents.items():
        times = [own for axis in structure.axes.get(name, ()) for own in axes.groups(axis)].count(group)
        if times != len(exponents):
            raise ValueError(
                f"{name}: expected {group.name} in its axes {len(exponents)} times, found it {times} times"
            )
    expected = table_shape(structure, group)
    if tuple(factors.shape) != expected or not factors.is_floating_point():
        raise ValueError(
            f"{group.name}: expected floating-point factors {expected}, got {tuple(factors.shape)} {factors.dtype}"
        )
    if rescaling.kind == "sign" and not bool((factors.abs() == 1).all()):
        raise ValueError(f"{group.name}: expected factors 1 and -1")
    if rescaling.kind == "scale" and not bool((factors.isfinite() & (factors > 0)).all()):
        raise ValueError(f"{group.name}: expected positive and finite factors")


def _factor(
    own: tuple[Axis, ...], structure: Structure, name: str, exponents: tuple[int, ...], factors: Tensor
) -> Tensor:
    """What a tensor with these axes is multiplied by: broadcasts over the axes that the factors do not depend on."""
    total = torch.ones([1] * len(own), dtype=torch.float64)
    found = [(dim, n) for dim, axis in enumerate(own) for leaf, n in neurons_of(axis) if leaf == structure.groups[name]]
    for (dim, neurons), exponent in zip(found, exponents, strict=True):
        index = []
        for outer in structure.groups[name].within:
            held = [d for d, axis in enumerate(own) if outer in {group.name for group in axes.groups(axis)}]
            place = dim if dim in held else held[0]
            index.append(_along(neuron_at(own[place], outer), place, len(own)))
        index.append(_along(neurons, dim, len(own)))
        here = index[-1] >= 0
        total = total * torch.where(here, factors[tuple(part.clamp(min=0) for part in index)] ** exponent, 1.0)
    return total


def _along(neurons: Tensor, dim: int, rank: int) -> Tensor:
    return neurons.view([-1 if d == dim else 1 for d in range(rank)])
