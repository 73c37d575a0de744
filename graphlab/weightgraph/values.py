"""What indexes the values of a program: not its parameters only."""

from __future__ import annotations

from graphlab.capture import Program
from graphlab.weightgraph import axes
from graphlab.weightgraph.atoms import Atom, atoms
from graphlab.weightgraph.axes import Group
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
        own = [atom for axis in tensor.axes for atom in atoms(axis)]
        groups = [group for axis in structure.axes.get(name, ()) for group in axes.groups(axis)]
        if [atom.size for atom in own] != [group.size for group in groups]:
            raise ValueError(f"{name}: the structure is not that of this program")
        known |= {atom: group for atom, group in zip(own, groups, strict=True) if group.name}
    return following, known
