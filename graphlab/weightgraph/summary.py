"""A structure in a few lines: what repeats from layer to layer is said once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from graphlab.names import merged
from graphlab.weightgraph.axes import Axis, Group, Product, Sum

if TYPE_CHECKING:
    from graphlab.weightgraph.structure import Structure


@dataclass(frozen=True)
class Line:
    """``count`` groups or parameters that differ only in the numbers of their path (``{0-5}``)."""

    name: str
    text: tuple[str, ...]
    count: int


def group_lines(structure: Structure) -> list[Line]:
    """(name; size, "free" or why fixed, nonlinearities), equal ones in one line."""
    labels = _labels(structure)
    rows = {}
    for group in structure.groups.values():
        inside = f" in each {' . '.join(labels[outer] for outer in group.within)}" if group.within else ""
        status = "free" if group.free else f"fixed: {group.reason}"
        rows[group.name] = (f"{group.size}{inside}", status, ", ".join(group.passes))
    return _merged(rows)


def axis_lines(structure: Structure) -> list[Line]:
    """(parameter; its axes as expressions of groups, by their short names), equal ones in one line."""
    labels = _labels(structure)
    return _merged({name: (_shown(axes, labels),) for name, axes in structure.axes.items()})


def _shown(axes: Iterable[Axis], labels: Mapping[str, str]) -> str:
    return "[" + ", ".join(str(_relabelled(axis, labels)) for axis in axes) + "]"


def _relabelled(axis: Axis, labels: Mapping[str, str]) -> Axis:
    if isinstance(axis, Group):
        return replace(axis, name=labels.get(axis.name, ""))
    if isinstance(axis, Product):
        return Product(tuple(_relabelled(factor, labels) for factor in axis.factors))
    return Sum(tuple(_relabelled(term, labels) for term in axis.terms))


def _starred(name: str) -> str:
    """Numbers in a path as ``*``, if it has anything else: what the labels of a repeated layer have in common."""
    parts = name.split(".")
    if all(part.isdigit() for part in parts):
        return name
    return ".".join(
        "*" if part.isdigit() and position < len(parts) - 1 else part for position, part in enumerate(parts)
    )


def _labels(structure: Structure) -> dict[str, str]:
    """Group name -> the shortest end of its starred name that no other has."""
    starred = {name: _starred(name) for name in structure.groups}
    ends: dict[str, set[str]] = {}
    for name in set(starred.values()):
        parts = name.split(".")
        for start in range(len(parts)):
            ends.setdefault(".".join(parts[start:]), set()).add(name)
    labels = {}
    for name, pattern in starred.items():
        parts = pattern.split(".")
        candidates = (".".join(parts[start:]) for start in reversed(range(len(parts))))
        labels[name] = next(
            (end for end in candidates if len(ends[end]) == 1 and not end.split(".")[0].isdigit()), pattern
        )
    return labels


def _merged(rows: Mapping[str, tuple[str, ...]]) -> list[Line]:
    return [Line(*row) for row in merged(rows)]


def table(lines: list[Line], indent: str = "  ") -> list[str]:
    """The lines as aligned columns."""
    rows = [(line.name, f"x{line.count}" if line.count > 1 else "", *line.text) for line in lines]
    widths = [max(map(len, column)) for column in itertools.zip_longest(*rows, fillvalue="")] if rows else []
    return [indent + "  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
