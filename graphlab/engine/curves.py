"""Pictures of training: the curves of one experiment, and experiments beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from graphlab.checkpoint.atomic import atomic_file
from graphlab.engine import folder as files
from graphlab.engine.errors import EngineError
from graphlab.engine.summary import Summary

_NOT_DRAWN = ("epoch", "seconds")
_COLOURS = ("#22577a", "#d1495b", "#edae49", "#5c677d", "#66a182", "#9d6b9e")
_PANEL, _ROW = (5.2, 3.4), 0.42  # inches: a panel of curves, and the height of an experiment beside others
_DPI = 120


def draw_curves(folder: Path, summary: Summary, file: Path) -> None:
    """Write a PNG of everything in the logs of a run folder against the epoch.

    Metrics whose names end alike (``train_loss``, ``val_loss``) share a panel. Each run is a thin line, their mean a
    thick one as far as all runs go, and the epochs that count are dots.
    """
    seeds = [*(run.seed for run in summary.runs), *summary.unfinished]
    logs = {seed: files.read_log(files.seed_folder(folder, seed) / files.LOG) for seed in seeds}
    selected = {run.seed: run.selected_epoch for run in summary.runs}
    panels = _panels([name for log in logs.values() for line in log[:1] + log[-1:] for name in line])
    if not panels:
        return
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(_PANEL[0] * columns, _PANEL[1] * rows), dpi=_DPI, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes, (title, names) in zip(grid, panels.items(), strict=False):
        for name, colour in zip(names, _COLOURS * len(names), strict=False):
            _draw_metric(axes, name, colour, logs, selected)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
    for axes in list(grid):  # what is left over in the last row
        axes.set_axis_off()
    count = f"{len(logs)} run" + ("s" if len(logs) > 1 else "")
    figure.suptitle(f"{summary.name}, {count}")
    write_png(figure, file)


def draw_comparison(rows: Sequence[Summary], file: Path) -> None:
    """Write a PNG of experiments beside each other: a panel a metric, with every run, the mean and the deviation.

    Raises:
        EngineError: none of them has a finished run.
    """
    rows = [row for row in rows if row.runs]
    names = list(dict.fromkeys(name for row in rows for name in row.report))
    if not names:
        raise EngineError("there is nothing to draw: no run has ended")
    figure = Figure(figsize=(_PANEL[0] * len(names), 1.4 + _ROW * len(rows)), dpi=_DPI, layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for axes, name in zip(panels, names, strict=True):
        for height, row in enumerate(reversed(rows)):
            value = row.metrics().get(name)
            if value is None:
                continue
            axes.plot(value.values, [height] * len(value.values), "o", color=_COLOURS[0], alpha=0.3, markersize=4)
            axes.errorbar(value.mean, height, xerr=value.std, fmt="D", color=_COLOURS[1], capsize=4, markersize=5)
        axes.set(title=name, yticks=range(len(rows)), yticklabels=[row.name for row in reversed(rows)])
        axes.margins(y=0.5 / len(rows) + 0.05)
        axes.grid(alpha=0.25, axis="x")
    write_png(figure, file)


def _panels(names: Sequence[str]) -> dict[str, list[str]]:
    """The metrics of each panel: those that share what follows the first underscore."""
    panels: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        if name not in _NOT_DRAWN:
            panels.setdefault(name.partition("_")[2] or name, []).append(name)
    return panels


def _draw_metric(
    axes: Axes,
    name: str,
    colour: str,
    logs: Mapping[int, Sequence[Mapping[str, Any]]],
    selected: Mapping[int, int],
) -> None:
    curves = {seed: _curve(log, name) for seed, log in logs.items()}
    for seed, (epochs, values) in curves.items():
        axes.plot(epochs, values, color=colour, linewidth=0.8, alpha=0.35)
        counts = epochs == selected.get(seed)
        axes.plot(epochs[counts], values[counts], "o", color=colour, markersize=3, zorder=3)
    shortest = min(len(epochs) for epochs, _ in curves.values())
    epochs = next(iter(curves.values()))[0][:shortest]
    mean = np.mean([values[:shortest] for _, values in curves.values()], axis=0)
    axes.plot(epochs, mean, color=colour, linewidth=1.8, label=name)


def _curve(log: Sequence[Mapping[str, Any]], name: str) -> tuple[Any, Any]:
    """Epochs and values of a metric; null (what was not finite) as NaN, which is not drawn."""
    points = [(line["epoch"], line[name]) for line in log if name in line]
    return np.array([epoch for epoch, _ in points], dtype=int), np.array([value for _, value in points], dtype=float)


def write_png(figure: Figure, file: Path) -> None:
    """Write a figure, atomically."""
    with atomic_file(file) as stream:
        FigureCanvasAgg(figure).print_png(stream)  # type: ignore[no-untyped-call]
