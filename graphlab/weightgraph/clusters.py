"""The groups of a network gathered for a picture: what is inside of what, what couples them, what repeats."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from graphlab.weightgraph.axes import Axis, Group, Sum, groups
from graphlab.weightgraph.structure import Structure

RAIL_NEIGHBOURS = 4


@dataclass(eq=False)
class Cluster:
    """A group and those inside of it, ``count`` times; ``own`` parameters couple it to itself."""

    members: list[Group] = field(default_factory=list)
    count: int = 1
    couplings: dict[Cluster, float] = field(default_factory=dict)
    own: float = 0.0
    start: float = 0.0
    end: float = 0.0
    lane: int = 0

    @property
    def is_rail(self) -> bool:
        return len(self.couplings) >= RAIL_NEIGHBOURS

    def couple(self, other: Cluster, parameters: float) -> None:
        if other is self:
            self.own += parameters
            return
        for one, two in ((self, other), (other, self)):
            one.couplings[two] = one.couplings.get(two, 0.0) + parameters


def clusters_of(structure: Structure) -> list[Cluster]:
    found: dict[str, Cluster] = {}
    for group in _from_input_to_output(structure):
        outer = group
        while outer.within:
            outer = structure.groups[outer.within[0]]
        found.setdefault(outer.name, Cluster()).members.append(group)
        found[group.name] = found[outer.name]
    clusters = list(dict.fromkeys(found.values()))
    for cluster in clusters:
        cluster.members.sort(key=lambda group: len(group.within))
    for axes in structure.axes.values():
        for pair, parameters in _couplings(axes, found).items():
            pair[0].couple(pair[1], parameters)
    return clusters


def _from_input_to_output(structure: Structure) -> Iterable[Group]:
    """By first appearance in the parameters; within one parameter what it reads (its last axes) comes first."""
    order: dict[Group, None] = {}
    for expressions in structure.axes.values():
        named = [group for axis in expressions[::-1] for group in groups(axis) if group.name]
        order |= dict.fromkeys(
            sorted(named, key=lambda group: not (group.reason or "").startswith(("input", "looked")))
        )
    return order


def _couplings(axes: Sequence[Axis], found: dict[str, Cluster]) -> dict[tuple[Cluster, Cluster], float]:
    """How many entries of one parameter couple which clusters."""
    numel = math.prod(axis.size for axis in axes)
    couplings: dict[tuple[Cluster, Cluster], float] = {}
    for position, first in enumerate(axes):
        for second in axes[position + 1 :]:
            for one, share in _shares(first):
                for two, other_share in _shares(second):
                    pair = found[one], found[two]
                    pair = pair if pair[::-1] not in couplings else pair[::-1]
                    if pair[0] is not pair[1] or one == two:
                        couplings[pair] = max(couplings.get(pair, 0.0), numel * share * other_share)
    return couplings


def _shares(axis: Axis) -> Iterator[tuple[str, float]]:
    """The groups on an axis and the part of it that each is on."""
    terms = axis.terms if isinstance(axis, Sum) else (axis,)
    total: dict[str, float] = {}
    for term in terms:
        for name in {group.name for group in groups(term) if group.name}:
            total[name] = total.get(name, 0.0) + term.size / axis.size
    yield from total.items()


def summarised(clusters: Iterable[Cluster]) -> list[Cluster]:
    """Clusters alike but for the numbers in their names as one, with all their couplings."""
    alike: dict[object, Cluster] = {}
    summary: dict[Cluster, Cluster] = {}
    for cluster in clusters:
        key = tuple((re.sub(r"\d+", "*", group.name), group.size, group.free) for group in cluster.members)
        first = summary[cluster] = alike.setdefault(key, Cluster(cluster.members, 0))
        first.count += 1
    for cluster, first in summary.items():
        first.own += cluster.own
        for other, parameters in cluster.couplings.items():
            target = summary[other]
            if target is first:
                first.own += parameters / 2
            else:
                first.couplings[target] = first.couplings.get(target, 0.0) + parameters
    return list(alike.values())
