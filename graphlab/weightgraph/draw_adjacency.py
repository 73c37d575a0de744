"""A picture of the adjacency of a drawn network: where edges come from, where they lead, and what they carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import AsinhNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from graphlab.checkpoint.atomic import atomic_file
from graphlab.weightgraph.adjacency import Adjacency, Band, adjacency
from graphlab.weightgraph.wiring import Wiring

EXACT, POOLED = 2_000, 1_000
"""Up to how many nodes a cell of the matrix is a pair of nodes, and how many pixels a side it has beyond."""
DPI = 150
# What follows is in pixels: the side of a small matrix, what is around a matrix and its labels, the size of those.
SIDE, EDGE, TITLE, RIGHT = 1_000, 36, 110, 250
LINE, LETTER, LETTERS = 19, 7.6, 44
SIGNED, UNSIGNED = "RdBu_r", "YlGnBu"
INK, PALE, RULE, NOTHING, NOT_FINITE = "#22223b", "#5c677d", "#8d99ae", "#eeebe4", "#e0009f"


def draw_adjacency(wiring: Wiring, tensors: Mapping[str, Tensor], file: str | PathLike[str]) -> Adjacency:
    """Write a PNG picture of the adjacency matrix, and return what it shows.

    Up to 2,000 nodes, a cell is a pair of nodes and shows the weight between them: of several (kernel taps) the root
    mean square, with the sign of their mean. Beyond, a pixel shows the root mean square of the weights between many
    nodes, without a sign. Pairs without an edge are grey, and what is not finite has a colour of its own.

    Raises:
        WiringError: for a network without nodes.
    """
    drawn = adjacency(wiring, tensors, EXACT if wiring.num_nodes <= EXACT else POOLED)
    _Picture(drawn, f"{wiring.num_nodes:,} nodes and {wiring.num_edges:,} edges").save(Path(file))
    return drawn


class _Picture:
    """Everything is placed in pixels from the top left, and a cell of the matrix is a whole number of them."""

    def __init__(self, drawn: Adjacency, title: str) -> None:
        self.drawn = drawn
        self.cell = max(1, round(SIDE / len(drawn.rms)))
        self.side = len(drawn.rms) * self.cell
        self.labels = {band: f"{_shortened(band.label)} ({band.size:,})" for band in drawn.bands}
        self.left = 2 * EDGE + round(LETTER * max(map(len, self.labels.values())))
        self.top = self.left + TITLE
        self.width, self.height = self.left + self.side + RIGHT, self.top + self.side + EDGE
        self.figure = Figure(figsize=(self.width / DPI, self.height / DPI), dpi=DPI, facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.axis("off")
        self._paint_matrix()
        self._paint_bands()
        self._paint_words(title)
        self.axes.set(xlim=(0, self.width), ylim=(self.height, 0))

    def save(self, file: Path) -> None:
        FigureCanvasAgg(self.figure)
        with atomic_file(file) as picture:
            self.figure.savefig(picture, format="png")

    def _paint_matrix(self) -> None:
        drawn = self.drawn
        values = torch.where(drawn.mean < 0, -drawn.rms, drawn.rms) if drawn.exact else drawn.rms
        there, finite = drawn.entries > 0, values.isfinite()
        middle, limit = _scale(values[there & finite])
        norm = AsinhNorm(middle, -limit if drawn.exact else 0, limit)
        scale = ScalarMappable(norm, SIGNED if drawn.exact else UNSIGNED)
        image = scale.to_rgba(values.where(finite, 0).numpy())
        image[~finite.numpy()] = to_rgba(NOT_FINITE)
        image[~there.numpy()] = to_rgba(NOTHING)
        frame = (self.left, self.left + self.side, self.top + self.side, self.top)
        self.axes.imshow(image, extent=frame, interpolation="nearest", aspect="auto")
        length = round(self.side * 0.55)
        place = self.figure.add_axes(self._within(self.left + self.side + 50, self.top, 24, length))
        bar = self.figure.colorbar(scale, cax=place, extend="both" if drawn.exact else "max")
        ticks = np.asarray(norm.inverse(np.linspace(0, 1, 9))).tolist()
        bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks], minor=False)
        bar.minorticks_off()
        bar.outline.set_linewidth(0.5)
        bar.ax.tick_params(labelsize=7, labelcolor=INK, color=RULE, width=0.5, length=3)
        kinds = [(NOTHING, "no edge")] + ([(NOT_FINITE, "not finite")] if not finite.all() else [])
        for number, (colour, meaning) in enumerate(kinds):
            x, y = self.left + self.side + 50, self.top + length + 60 + 40 * number
            self.axes.add_patch(Rectangle((x, y - 12), 24, 24, fc=colour, ec=RULE, lw=0.5))
            self._write(x + 36, y, meaning, 7, INK)

    def _paint_bands(self) -> None:
        ends = [(band.start + band.pixels) * self.cell for band in self.drawn.bands]
        for end in ends[:-1]:
            self.axes.plot([self.left, self.left + self.side], [self.top + end] * 2, color=RULE, lw=0.4, alpha=0.7)
            self.axes.plot([self.left + end] * 2, [self.top, self.top + self.side], color=RULE, lw=0.4, alpha=0.7)
        self.axes.add_patch(Rectangle((self.left, self.top), self.side, self.side, fc="none", ec=INK, lw=0.8))
        for band, middle, place in _labels(self.drawn.bands, self.cell, self.side):
            away, along = np.array([0, 6, 16, 20]), np.array([middle, middle, place, place])
            self.axes.plot(self.left - away, self.top + along, color=RULE, lw=0.5)
            self.axes.plot(self.left + along, self.top - away, color=RULE, lw=0.5)
            label, upright = self.labels[band], {"ha": "center", "va": "bottom", "rotation": 90}
            self._write(self.left - 26, self.top + place, label, 6.5, INK, ha="right")
            self._write(self.left + place, self.top - 26, label, 6.5, INK, **upright)

    def _paint_words(self, title: str) -> None:
        if self.drawn.exact:
            shown = "Colour: the weight; of several (kernel taps), their root mean square with the sign of their mean."
        else:
            shown = "A pixel: the root mean square of its weights. The side of a range grows with the root of its size."
        self._write(20, 34, title, 11, INK, weight="bold")
        self._write(20, 62, f"An edge leads from its row to its column.\n{shown}", 7, PALE, va="top")

    def _within(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        """A rectangle of pixels as fractions of the figure, from the bottom left."""
        return x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height

    def _write(self, x: float, y: float, text: str, size: float, colour: str, **how: Any) -> None:
        self.axes.text(x, y, text, fontsize=size, color=colour, parse_math=False, **{"va": "center", **how})


def _scale(values: Tensor) -> tuple[float, float]:
    """A middling value, and what the strongest colour stands for: at most ten times that, so that most have some."""
    if not values.any():
        return 1.0, 1.0
    middle, high = np.quantile(values[values != 0].abs().numpy(), (0.5, 0.999)).tolist()
    return middle, min(high, 10 * middle)


def _shortened(name: str) -> str:
    """The last parts of a long name: of the last of several factors, if need be."""
    if len(name) <= LETTERS:
        return name
    last = name.rpartition(" . ")[2]
    return f"…{last if len(last) < LETTERS else last[-LETTERS:].partition('.')[2] or last[-LETTERS:]}"


def _labels(bands: Sequence[Band], cell: int, side: int) -> list[tuple[Band, float, float]]:
    """The bands that can be labelled, with their middles and the places of their labels, in pixels.

    If there are more than fit, the largest are; labels are pushed apart so that they do not overlap.
    """
    largest = sorted(bands, key=lambda band: -band.pixels)[: side // LINE]
    chosen = sorted(largest, key=lambda band: band.start)
    middles = [(band.start + band.pixels / 2) * cell for band in chosen]
    places = list(middles)
    for number in range(1, len(places)):
        places[number] = max(places[number], places[number - 1] + LINE)
    limit = side - LINE / 2
    for number in reversed(range(len(places))):
        places[number] = min(places[number], limit)
        limit = places[number] - LINE
    return list(zip(chosen, middles, places, strict=True))
