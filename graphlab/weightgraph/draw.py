"""A picture of a structure: groups of neurons in a row from input to output, and the parameters that couple them.

Groups that many others are coupled to (a residual stream) are drawn as rails below the row. Groups inside of others
(the neurons of a head) stand above them in one frame. Layers that repeat are drawn once where there are many.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch

from graphlab.checkpoint.atomic import atomic_file
from graphlab.weightgraph.axes import Group
from graphlab.weightgraph.clusters import Cluster, clusters_of, summarised
from graphlab.weightgraph.graph import WeightGraph
from graphlab.weightgraph.structure import Structure

MANY_GROUPS = 40
COLUMN, ROW, LANE, RAIL = 1.55, 0.95, 0.5, 0.3  # inches
TOP, BOTTOM, SIDE = 1.0, 0.3, 0.3
LABEL_WIDTH = 24
COLOURS = {"free": "#4c9f70", "structured": "#e09f3e", "fixed": "#8d99ae"}
MEANINGS = {
    "free": "free: its neurons may be permuted",
    "structured": "free, with neurons inside each (those drawn above them in the frame), or such neurons",
    "fixed": "fixed: its neurons are told apart (inputs, outputs)",
}
INK, LINE = "#22223b", "#5c677d"


def draw(network: Structure | WeightGraph, file: str | PathLike[str]) -> None:
    """Write a PNG picture of the groups of a network and of what couples them.

    A circle is a group with its size; a line is the parameters with an axis of each of two groups, with their number.
    """
    structure = network.structure if isinstance(network, WeightGraph) else network
    drawn = clusters_of(structure)
    if len(structure.groups) > MANY_GROUPS:
        drawn = summarised(drawn)
    _Picture(structure, drawn).save(file)


def _short(number: float) -> str:
    if number < 10_000:
        return f"{number:.0f}"
    limit, unit = next(scale for scale in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if number >= scale[0])
    return f"{number / limit:.3g}{unit}"


def _wrapped(name: str) -> str:
    """Over lines, after dots where possible."""
    pieces = textwrap.wrap(name.replace(".", ". "), LABEL_WIDTH)
    return "\n".join(piece.replace(". ", ".") for piece in pieces)


class _Picture:
    """Everything is placed in inches: the row of clusters in columns, and below it lanes with rails and long lines."""

    def __init__(self, structure: Structure, clusters: list[Cluster]) -> None:
        self.structure = structure
        self.rails = [cluster for cluster in clusters if cluster.is_rail]
        self.row = [cluster for cluster in clusters if not cluster.is_rail]
        self.inner_of = {name for group in structure.groups.values() for name in group.within}
        for column, cluster in enumerate(self.row):
            cluster.start = cluster.end = column
        self._place_rails(clusters)
        lanes = self._assign_lanes()
        columns = max(len(self.row), 5)
        tallest = max((len(cluster.members) for cluster in self.row), default=1)
        width = 2 * SIDE + columns * COLUMN
        self.base = BOTTOM + (lanes * LANE + 0.85 if lanes else 0.0)
        height = self.base + tallest * ROW + TOP
        self.figure = Figure(figsize=(width, height), facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, height))
        self.axes.axis("off")
        self.width, self.height = width, height

    def _place_rails(self, clusters: list[Cluster]) -> None:
        order = {cluster: position for position, cluster in enumerate(clusters)}
        for rail in self.rails:
            columns = [other.start for other in rail.couplings if not other.is_rail]
            before = sum(not other.is_rail for other in clusters[: order[rail]])
            rail.start, rail.end = min(columns, default=before - 1.0), max(columns, default=before + 1.0)
        self.crossings: dict[tuple[Cluster, Cluster], float] = {}
        for position, rail in enumerate(self.rails):
            for other in self.rails[position + 1 :]:
                if other in rail.couplings:
                    middle = (max(rail.start, other.start) + min(rail.end, other.end)) / 2
                    place = math.floor(middle) + 0.5
                    while place in self.crossings.values():
                        place += 0.06
                    self.crossings[rail, other] = place
                    for one in (rail, other):
                        one.start, one.end = min(one.start, place), max(one.end, place)

    def _assign_lanes(self) -> int:
        """Give rails and long lines the highest lane that is free where they are; returns the number of lanes."""
        self.long_lines: dict[tuple[Cluster, Cluster], int] = {}
        taken: list[list[tuple[float, float]]] = []

        def lane(start: float, end: float) -> int:
            for number, spans in enumerate(taken):
                if all(end + 0.9 < other_start or other_end + 0.9 < start for other_start, other_end in spans):
                    spans.append((start, end))
                    return number
            taken.append([(start, end)])
            return len(taken) - 1

        for cluster in self.row:
            for other in cluster.couplings:
                if not other.is_rail and other.start - cluster.start > 1:
                    self.long_lines[cluster, other] = lane(cluster.start, other.start)
        for rail in sorted(self.rails, key=lambda rail: rail.start):
            rail.lane = lane(rail.start, rail.end)
        return len(taken)

    # ---- painting -------------------------------------------------------------------------------------------------

    def _x(self, column: float) -> float:
        return SIDE + (column + 0.5) * COLUMN

    def _y(self, lane: int) -> float:
        return self.base - 0.85 - (lane + 0.5) * LANE

    def save(self, file: str | PathLike[str]) -> None:
        for rail in self.rails:
            self._paint_rail(rail)
        for (rail, other), place in self.crossings.items():
            ys = self._y(rail.lane), self._y(other.lane)
            self._paint_line([self._x(place)] * 2, ys, rail.couplings[other], (self._x(place), sum(ys) / 2))
        for cluster in self.row:
            self._paint_cluster(cluster)
            self._paint_couplings(cluster)
        self._paint_legend()
        FigureCanvasAgg(self.figure)
        with atomic_file(Path(file)) as picture:
            self.figure.savefig(picture, format="png", dpi=min(150.0, 16000 / self.width))

    def _colour(self, group: Group) -> str:
        structured = group.within or group.name in self.inner_of
        return COLOURS["fixed" if not group.free else "structured" if structured else "free"]

    def _paint_rail(self, rail: Cluster) -> None:
        left, right, y = self._x(rail.start) - 0.45, self._x(rail.end) + 0.45, self._y(rail.lane)
        group = rail.members[0]
        shape = "round,pad=0,rounding_size=0.12"
        bar = FancyBboxPatch(
            (left, y - RAIL / 2), right - left, RAIL, shape, fc=self._colour(group), ec=INK, lw=0.8, zorder=3
        )
        self.axes.add_patch(bar)
        inside = [f"{member.name} ({_short(member.size)})" for member in rail.members[1:]]
        text = "   ".join([f"{group.name}   {_short(group.size)}", *inside])
        self.axes.text(left + 0.12, y, text, fontsize=7.5, color="white", weight="bold", va="center", zorder=4)

    def _paint_cluster(self, cluster: Cluster) -> None:
        x = self._x(cluster.start)
        height = len(cluster.members) * ROW
        if len(cluster.members) > 1 or cluster.count > 1:
            shape = "round,pad=0,rounding_size=0.1"
            frame = FancyBboxPatch(
                (x - 0.72, self.base), 1.44, height, shape, fc="#f4f1ea", ec="#d6ccc2", lw=0.8, zorder=1
            )
            self.axes.add_patch(frame)
        if cluster.count > 1:
            self.axes.text(x + 0.66, self.base + 0.08, f"× {cluster.count}", fontsize=8, weight="bold", ha="right")
        module = cluster.members[0].name.rpartition(".")[0]
        for position, group in enumerate(cluster.members):
            y = self.base + 0.34 + position * ROW
            name = group.name.removeprefix(f"{module}.") if position else group.name
            name = re.sub(r"\d+", "*", name) if cluster.count > 1 else name
            self.axes.add_patch(Circle((x, y), _radius(group), fc=self._colour(group), ec=INK, lw=0.8, zorder=3))
            self.axes.text(x, y, _short(group.size), fontsize=7, color="white", weight="bold", zorder=4, **_CENTRED)
            self.axes.text(x, y + 0.31, _wrapped(name), fontsize=6.5, color=INK, ha="center", va="bottom", zorder=4)
        if cluster.own:
            self.axes.text(x + 0.27, self.base + 0.47, f"↻ {_short(cluster.own)}", fontsize=6.5, color=LINE)

    def _paint_couplings(self, cluster: Cluster) -> None:
        x, top = self._x(cluster.start), self.base + 0.34
        for other, parameters in cluster.couplings.items():
            if not other.is_rail and other.start - cluster.start == 1:
                xs = x + _radius(cluster.members[0]), self._x(other.start) - _radius(other.members[0])
                self._paint_line(xs, (top, top), parameters, (sum(xs) / 2, top))
        for number, (port, other) in enumerate(self._ports(cluster)):
            parameters = cluster.couplings[other]
            if other.is_rail:
                end = self._y(other.lane) + RAIL / 2
                self._paint_line((port, port), (top, end), parameters, (port, self.base - 0.25 - 0.15 * (number % 3)))
                self.axes.plot([port], [end], "o", color=LINE, markersize=3, zorder=5)
            elif (cluster, other) in self.long_lines:
                y = self._y(self.long_lines[cluster, other])
                far = next(place for place, back in self._ports(other) if back is cluster)
                self._paint_line((port, port, far, far), (top, y, y, top), parameters, ((port + far) / 2, y))

    def _ports(self, cluster: Cluster) -> list[tuple[float, Cluster]]:
        """Where the lines that leave a cluster downwards do so."""
        below = [o for o in cluster.couplings if o.is_rail or abs(o.start - cluster.start) > 1]
        below.sort(key=lambda other: (other.start + other.end, other.lane))
        x = self._x(cluster.start)
        return [(x + 0.24 * (place - (len(below) - 1) / 2), other) for place, other in enumerate(below)]

    def _paint_line(
        self, xs: Sequence[float], ys: Sequence[float], parameters: float, label: tuple[float, float]
    ) -> None:
        self.axes.plot(xs, ys, color=LINE, lw=_line_width(parameters), solid_capstyle="round", zorder=2)
        box = {"fc": "white", "ec": "none", "pad": 0.6}
        self.axes.text(*label, _short(parameters), fontsize=6, color=INK, bbox=box, zorder=2.5, **_CENTRED)

    def _paint_legend(self) -> None:
        free = len(self.structure.free)
        title = f"{len(self.structure.groups)} groups of neurons, of which {free} may be permuted"
        self.axes.text(SIDE, self.height - 0.25, title, fontsize=10, weight="bold", color=INK, va="center")
        kinds: list[Line2D] = [
            Line2D([], [], marker="o", ls="", markersize=8, mfc=COLOURS[kind], mec=INK, label=meaning)
            for kind, meaning in MEANINGS.items()
        ]
        kinds.append(Line2D([], [], color=LINE, lw=2, label="parameters between two groups, and how many"))
        self.axes.legend(
            handles=kinds, loc="upper left", bbox_to_anchor=(SIDE, self.height - 0.35),
            bbox_transform=self.axes.transData, fontsize=7, frameon=False, borderaxespad=0, ncols=2,
        )  # fmt: skip


_CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}


def _radius(group: Group) -> float:
    return min(0.17 + 0.03 * math.log10(group.size + 1), 0.3)


def _line_width(parameters: float) -> float:
    return 0.5 + 0.45 * math.log10(parameters + 1)
