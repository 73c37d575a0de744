"""``graphlab draw``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from graphlab.cli.console import stdout, waiting
from graphlab.cli.network import GUESSED, graph_or_guess, structure_of


def draw(
    path: Annotated[Path, typer.Argument(help="A Hugging Face folder, a saved weight-graph, or a weight file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG file to write.")],
    adjacency: Annotated[
        bool, typer.Option("--adjacency", help="Draw its weights as a matrix of neurons; large networks are pooled.")
    ] = False,
) -> None:
    """Draw a network as its groups of neurons and the parameters between them; layers that repeat are drawn once.

    Example: [cyan]graphlab draw all-MiniLM-L6-v2/ -o minilm.png[/]

    Example: [cyan]graphlab draw all-MiniLM-L6-v2/ -o minilm.png --adjacency[/]
    """
    from graphlab import checkpoint
    from graphlab.weightgraph import WeightGraph
    from graphlab.weightgraph.draw import draw as paint
    from graphlab.weightgraph.draw_adjacency import draw_adjacency
    from graphlab.weightgraph.graph import STRUCTURE_KEY
    from graphlab.weightgraph.guess import is_guess

    with waiting("Drawing the network"):
        opened = checkpoint.open(path)
        if adjacency:
            saved = STRUCTURE_KEY in opened.metadata
            graph = WeightGraph.load(path) if saved else graph_or_guess(opened, None)
            structure, wiring = graph.structure, graph.wiring()
            side = len(draw_adjacency(wiring, graph.tensors, output).rms)
            pooled = "" if side == wiring.num_nodes else f", pooled to {side} x {side} pixels"
            what = f"{wiring.num_edges:,} edges between {wiring.num_nodes:,} nodes{pooled}"
        else:
            structure = structure_of(opened)
            paint(structure, output)
            what = f"{len(structure.groups)} groups of neurons, of which {len(structure.free)} may be permuted"
    stdout().print(f"[bold]{escape(str(output))}[/]: {what}.")
    if is_guess(structure):
        stdout().print(GUESSED, style="yellow", markup=False)
