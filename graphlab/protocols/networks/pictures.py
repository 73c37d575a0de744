"""Pictures of what models on networks do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from graphlab.engine.curves import write_png

_DPI = 120
_COLOURS = ("#22577a", "#5c677d")


def draw_images(rows: Mapping[str, Tensor], file: Path) -> None:
    """Write a PNG of images below each other: a row for each name, ``[images, height, width]``, black to white."""
    columns = max(map(len, rows.values()))
    figure = Figure(figsize=(0.9 * columns + 0.8, 0.95 * len(rows)), dpi=_DPI, layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(line, images, strict=False):
            axes.imshow(image.numpy(), cmap="gray", vmin=0, vmax=1)
        for axes in line:
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    write_png(figure, file)


def draw_accuracies(predicted: Tensor, true: Tensor, file: Path) -> None:
    """Write a PNG of predicted against true accuracies ``[n]``, a dot each."""
    figure = Figure(figsize=(4.2, 4.0), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=_COLOURS[1], linewidth=1, linestyle="--")
    axes.scatter(true.numpy(), predicted.numpy(), s=14, alpha=0.6, color=_COLOURS[0], linewidths=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="true accuracy", ylabel="predicted accuracy", aspect="equal")
    axes.grid(alpha=0.25)
    write_png(figure, file)
