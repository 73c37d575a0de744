"""A picture of many networks in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from graphlab.checkpoint.atomic import atomic_file

_NAMED = 60
_DPI = 130


def draw_map(places: Tensor, names: Sequence[str], groups: Sequence[str], file: Path) -> None:
    """Write a PNG of networks as dots, with their names if there are not too many.

    Args:
        places: ``[networks, 2]``.
        names: Of the networks.
        groups: For each network what gives it its colour; the legend has them if there are several.
        file: To write.
    """
    figure = Figure(figsize=(7.5, 6.0), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    kinds = list(dict.fromkeys(groups))
    colours = colormaps["tab10" if len(kinds) <= 10 else "tab20"]
    for number, kind in enumerate(kinds):
        own = places[[place for place, group in enumerate(groups) if group == kind]].numpy()
        axes.scatter(
            own[:, 0], own[:, 1], s=28, color=colours(number % colours.N), label=kind, alpha=0.85, linewidths=0
        )
    if len(names) <= _NAMED:
        for name, (x, y) in zip(names, places.tolist(), strict=True):
            axes.annotate(name, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=6, parse_math=False)
    if 1 < len(kinds) <= 20:
        axes.legend(fontsize=7)
    axes.set(xticks=[], yticks=[])
    axes.margins(0.15, 0.08)  # for the names
    with atomic_file(file) as stream:
        FigureCanvasAgg(figure).print_png(stream)  # type: ignore[no-untyped-call]
