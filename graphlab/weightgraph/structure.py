"""``Structure``: what is true of a network, whatever way it is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphlab.names import merged
from graphlab.weightgraph import axes
from graphlab.weightgraph.axes import Axis, Group
from graphlab.weightgraph.summary import axis_lines, group_lines, table


@dataclass(frozen=True)
class Structure:
    """The node groups of a network, and which of them index each axis of each parameter and persistent buffer.

    Attributes:
        groups: Name -> group, in order of first appearance.
        axes: State-dict name -> one axis expression an axis.
        reads: State-dict name -> for each use that differs, the axes that it sums over or looks up: ``((1,),)`` for the
            weight of a linear map, ``((),)`` for its bias, ``((0,), (1,))`` for an embedding that is also the last
            layer; ``()`` for a parameter that nothing uses.
        outputs: Output name -> its axis expressions.
        counted: The outputs that count; their axes are fixed.
        tied: Further state-dict name -> the name in ``axes`` whose tensor it shares.
        unused: Parameters that ``forward`` does not read.
        without_rule: Operator without a rule -> the parameters that lost freedom because of it.
    """

    groups: Mapping[str, Group]
    axes: Mapping[str, tuple[Axis, ...]]
    reads: Mapping[str, tuple[tuple[int, ...], ...]]
    outputs: Mapping[str, tuple[Axis, ...]]
    counted: tuple[str, ...]
    tied: Mapping[str, str]
    unused: tuple[str, ...]
    without_rule: Mapping[str, tuple[str, ...]]

    @cached_property
    def free(self) -> tuple[Group, ...]:
        """The groups whose neurons may be permuted without changing the function."""
        return tuple(group for group in self.groups.values() if group.free)

    @cached_property
    def _parameters(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, dict[str, None]] = {name: {} for name in self.groups}
        for parameter, expressions in self.axes.items():
            for group in (group for axis in expressions for group in axes.groups(axis)):
                if group.name:
                    found[group.name][parameter] = None
        return {name: tuple(parameters) for name, parameters in found.items()}

    def parameters_of(self, group: str) -> tuple[str, ...]:
        """The parameters and buffers that have an axis indexed by the group."""
        return self._parameters[group]

    def copies(self, group: Group) -> int:
        """How many sets of these neurons there are: one for each index of the groups around it."""
        count = 1
        for name in group.within:
            count *= self.groups[name].size
        return count

    def to_json(self) -> dict[str, Any]:
        """A JSON object that :meth:`from_json` reads back as an equal structure."""
        return {
            "groups": [
                {"name": g.name, "size": g.size, "reason": g.reason, "within": list(g.within), "passes": list(g.passes)}
                for g in self.groups.values()
            ],
            "axes": {name: [axes.to_json(axis) for axis in expressions] for name, expressions in self.axes.items()},
            "reads": {name: [list(use) for use in uses] for name, uses in self.reads.items()},
            "outputs": {name: [axes.to_json(a) for a in expressions] for name, expressions in self.outputs.items()},
            "counted": list(self.counted),
            "tied": dict(self.tied),
            "unused": list(self.unused),
            "without_rule": {name: list(parameters) for name, parameters in self.without_rule.items()},
        }

    @classmethod
    def from_json(cls, data: Any) -> Structure:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: for anything else.
        """
        try:
            groups = {
                str(g["name"]): Group(
                    str(g["name"]), int(g["size"]), g["reason"], tuple(g["within"]), tuple(g["passes"])
                )
                for g in data["groups"]
            }

            def expressions(found: Mapping[str, Iterable[Any]]) -> dict[str, tuple[Axis, ...]]:
                return {name: tuple(axes.from_json(axis, groups) for axis in own) for name, own in found.items()}

            return cls(
                groups=groups,
                axes=expressions(data["axes"]),
                reads={name: tuple(tuple(map(int, use)) for use in uses) for name, uses in data["reads"].items()},
                outputs=expressions(data["outputs"]),
                counted=tuple(data["counted"]),
                tied=dict(data["tied"]),
                unused=tuple(data["unused"]),
                without_rule={name: tuple(parameters) for name, parameters in data["without_rule"].items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a structure: {type(error).__name__} {error}") from error

    def __repr__(self) -> str:
        lines = [
            f"Structure: {len(self.groups)} groups, {len(self.free)} free; {len(self.axes)} parameters and buffers",
            *table(group_lines(self)),
            "Axes",
            *table(axis_lines(self)),
        ]
        for operator, parameters in self.without_rule.items():
            lines.append(f"no rule for {operator}: fixed what it touches ({', '.join(parameters) or 'no parameter'})")
        if self.unused:
            idle = merged(dict.fromkeys(self.unused, ()))
            lines.append(f"not read by forward: {', '.join(pattern for pattern, _, _ in idle)}")
        return "\n".join(lines)
