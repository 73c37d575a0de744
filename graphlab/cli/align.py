"""``graphlab align``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from graphlab.cli import factory
from graphlab.cli.console import cells, print_json, progress, stdout, table, waiting
from graphlab.cli.errors import CommandError
from graphlab.cli.network import graph_of

if TYPE_CHECKING:
    from graphlab.weightgraph.align import Alignment


def align(
    a: Annotated[Path, typer.Argument(help="A weight-graph, a Hugging Face folder, or a weight file with --module.")],
    b: Annotated[Path, typer.Argument(help="Another network of the same structure, the one to reorder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where B, aligned, goes, as a weight-graph.")],
    module: Annotated[str | None, typer.Option(help=factory.HELP)] = None,
    seed: Annotated[int, typer.Option(help="Of the order in which groups of neurons are visited.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Reorder the neurons of network B so that its weights come closest to those of network A, by weight matching
    (Git Re-Basin). What B computes stays the same.

    Example: [cyan]graphlab align first.safetensors second.safetensors -o aligned.safetensors[/]

    Example: [cyan]graphlab align first.pt second.pt --module my_project.nets:resnet -o aligned.safetensors[/]
    """
    from graphlab import checkpoint
    from graphlab.weightgraph.align import align as match

    with waiting("Tracing the networks"):
        first, second = graph_of(checkpoint.open(a), module), graph_of(checkpoint.open(b), module)
    start = time.perf_counter()
    with progress("Matching neurons") as update:
        try:
            result = match(first, second, seed, progress=update)
        except ValueError as error:
            raise CommandError(f"{a}, {b}: {error}") from error
    seconds = time.perf_counter() - start
    result.graph.save(output)
    report = {
        "a": str(a),
        "b": str(b),
        "output": str(output),
        "objectives": list(result.objectives),
        "distance_before": result.distance_before,
        "distance_after": result.distance_after,
        "moved": result.moved,
        "seconds": seconds,
    }
    if as_json:
        print_json(report)
    else:
        _print(result, output, seconds)


def _print(result: Alignment, output: Path, seconds: float) -> None:
    console = stdout()
    structure = result.graph.structure
    groups = table("group", "size", "within", "moved", right=("size", "moved"))
    for name, count in result.moved.items():
        group = structure.groups[name]
        places = group.size * structure.copies(group)
        groups.add_row(*cells(name, f"{group.size:,}", ", ".join(group.within), f"{count:,} of {places:,}"))
    console.print(groups)
    summary = table("", "before", "after", right=("before", "after"))
    summary.add_row(*cells("objective <A, B>", f"{result.objectives[0]:.6g}", f"{result.objectives[-1]:.6g}"))
    summary.add_row(*cells("distance |A - B|", f"{result.distance_before:.6g}", f"{result.distance_after:.6g}"))
    console.print(summary)
    moved = sum(map(bool, result.moved.values()))
    console.print(
        f"{moved} of {len(result.moved)} free groups moved, in {len(result.objectives) - 1} sweeps and {seconds:.1f} s."
    )
    console.print(f"[bold]{escape(str(output))}[/]: B, aligned, as a weight-graph.")
