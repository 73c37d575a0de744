"""``graphlab draw``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from graphlab.cli.console import stdout, waiting
from graphlab.cli.network import structure_of


def draw(
    path: Annotated[Path, typer.Argument(help="A Hugging Face folder, or a saved weight-graph.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG file to write.")],
) -> None:
    """Draw a network as its groups of neurons and the parameters between them; layers that repeat are drawn once.

    Example: [cyan]graphlab draw all-MiniLM-L6-v2/ -o minilm.png[/]
    """
    from graphlab import checkpoint
    from graphlab.weightgraph.draw import draw as paint

    with waiting("Drawing the network"):
        structure = structure_of(checkpoint.open(path))
        paint(structure, output)
    free = len(structure.free)
    stdout().print(
        f"[bold]{escape(str(output))}[/]: {len(structure.groups)} groups of neurons, of which {free} may be permuted."
    )
