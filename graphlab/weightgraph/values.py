"""What indexes the values of a program: not its parameters only."""

from __future__ import annotations

from collections.abc import Mapping

from graphlab.capture import Program
from graphlab.weightgraph import atoms
from graphlab.weightgraph.atoms import Atom
from graphlab.weightgraph.axes import Axis, Group, Product, Sum, groups, positions
from graphlab.weightgraph.following import Following
from graphlab.weightgraph.structure import Structure


def follow(program: Program, structure: Structure) -> tuple[Following, dict[Atom, Group]]:
    """The program followed once more, and the group of the structure that each atom of its parameters is.

    Raises:
        ValueError: if the structure is that of another program.
    """
    following = Following(program, structure.counted)
    for tensor in following.outputs.values():
        following.tracer.collapse(tensor)
    known: dict[Atom, Group] = {}
    for name, tensor in following.parameters.items():
        own = [atom for axis in tensor.axes for atom in atoms.atoms(axis)]
        found = [group for axis in structure.axes.get(name, ()) for group in groups(axis)]
        if [atom.size for atom in own] != [group.size for group in found]:
            raise ValueError(f"{name}: the structure is not that of this program")
        known |= {atom: group for atom, group in zip(own, found, strict=True) if group.name}
    return following, known


def translated(axis: atoms.Axis, known: Mapping[atoms.Atom, Group]) -> Axis:
    """An axis that was followed, in the groups of the structure; what is no neuron of it is a position."""
    axis = atoms.resolve(axis)
    if isinstance(axis, atoms.Atom):
        return known.get(axis) or positions(axis.size)
    if isinstance(axis, atoms.Product):
        return Product(tuple(translated(factor, known) for factor in axis.factors))
    return Sum(tuple(translated(term, known) for term in axis.terms))
