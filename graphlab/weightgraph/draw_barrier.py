"""A picture of the loss between two networks, before and after aligning them."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from graphlab.checkpoint.atomic import atomic_file
from graphlab.weightgraph.barrier import Barriers


def draw_barrier(barriers: Barriers, file: str | PathLike[str], loss: str = "loss") -> None:
    """Write a PNG picture of both curves; ``loss`` names what they measure."""
    figure = Figure(figsize=(6, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    for label, curve, colour in (
        ("as given", barriers.before, "#d1495b"),
        ("aligned", barriers.after, "#22577a"),
    ):
        axes.plot(curve.weights, curve.losses, label=f"{label}: barrier {curve.barrier:.4g}", color=colour)
    axes.set(xlabel="from A to B: weight of B", ylabel=loss)
    axes.grid(alpha=0.25)
    axes.legend()
    with atomic_file(Path(file)) as opened:
        FigureCanvasAgg(figure).print_png(opened)  # type: ignore[no-untyped-call]
