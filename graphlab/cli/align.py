"""``graphlab align``."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from graphlab.cli import factory
from graphlab.cli.console import cells, print_json, progress, stdout, table, waiting
from graphlab.cli.errors import CommandError
from graphlab.cli.network import graph_of, network_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from graphlab.weightgraph import WeightGraph
    from graphlab.weightgraph.align import Alignment


class Criterion(StrEnum):
    """What is compared."""

    weights = "weights"
    activations = "activations"


def align(
    a: Annotated[Path, typer.Argument(help="A weight-graph, a Hugging Face folder, or a weight file with --module.")],
    b: Annotated[Path, typer.Argument(help="Another network of the same structure, the one to reorder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where B, aligned, goes, as a weight-graph.")],
    module: Annotated[str | None, typer.Option(help=factory.HELP)] = None,
    by: Annotated[
        Criterion, typer.Option(help="What is compared: weights, or what neurons compute on the same inputs.")
    ] = Criterion.weights,
    inputs: Annotated[
        Path | None,
        typer.Option(
            help="For --by activations: a safetensors file of inputs, named 0, 1, ... or like the keyword arguments. "
            "Default: the inputs that --module gives, or examples made for the Hugging Face folder."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the order in which groups of neurons are visited.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Reorder the neurons of network B so that its weights, or its activations, come closest to those of network A (Git
    Re-Basin). What B computes stays the same.

    Example: [cyan]graphlab align first.safetensors second.safetensors -o aligned.safetensors[/]

    Example: [cyan]graphlab align first.pt second.pt --module my_project.nets:resnet -o aligned.safetensors[/]

    Example: [cyan]graphlab align first.pt second.pt --module my_project.nets:resnet --by activations --inputs
    images.safetensors -o aligned.safetensors[/]
    """
    from graphlab import checkpoint

    if inputs is not None and by is not Criterion.activations:
        raise CommandError("--inputs are for --by activations")
    with waiting("Tracing the networks"):
        first, second = graph_of(checkpoint.open(a), module), graph_of(checkpoint.open(b), module)
        match = _matcher(by, a, module, inputs)
    start = time.perf_counter()
    with progress("Matching neurons") as update:
        try:
            result = match(first, second, seed, update)
        except ValueError as error:
            raise CommandError(f"{a}, {b}: {error}") from error
    seconds = time.perf_counter() - start
    result.graph.save(output)
    report = {
        "a": str(a),
        "b": str(b),
        "output": str(output),
        "by": by.value,
        "matched_by_weights": list(result.by_weights),
        "objectives": list(result.objectives),
        "distance_before": result.distance_before,
        "distance_after": result.distance_after,
        "moved": result.moved,
        "seconds": seconds,
    }
    if as_json:
        print_json(report)
    else:
        _print(result, by, output, seconds)


def _matcher(
    by: Criterion, a: Path, module: str | None, inputs: Path | None
) -> Callable[[WeightGraph, WeightGraph, int, Callable[[int, int], None]], Alignment]:
    from graphlab import checkpoint
    from graphlab.capture import capture
    from graphlab.weightgraph.activation_matching import align_activations
    from graphlab.weightgraph.align import align as align_weights

    if by is Criterion.weights:
        return lambda first, second, seed, update: align_weights(first, second, seed, progress=update)
    network = network_of(checkpoint.open(a)) if module is None else factory.load_network(module)
    args, kwargs = list(network.args), dict(network.kwargs)
    if inputs is not None:
        given = checkpoint.open(inputs)
        expected = [*map(str, range(len(args))), *kwargs]
        if set(given) != set(expected):
            raise CommandError(f"{inputs}: expected tensors named {', '.join(expected)}, got {', '.join(given)}")
        args, kwargs = [given[str(place)] for place in range(len(args))], {name: given[name] for name in kwargs}
    program = capture(network.module, args, kwargs)
    return lambda first, second, seed, update: align_activations(
        first, second, program, args, kwargs, seed, progress=update
    )


def _print(result: Alignment, by: Criterion, output: Path, seconds: float) -> None:
    console = stdout()
    structure = result.graph.structure
    groups = table("group", "size", "within", "moved", right=("size", "moved"))
    for name, count in result.moved.items():
        group = structure.groups[name]
        places = group.size * structure.copies(group)
        groups.add_row(*cells(name, f"{group.size:,}", ", ".join(group.within), f"{count:,} of {places:,}"))
    console.print(groups)
    objective = "objective <A, B>" if by is Criterion.weights else "sum of correlations"
    summary = table("", "before", "after", right=("before", "after"))
    summary.add_row(*cells(objective, f"{result.objectives[0]:.6g}", f"{result.objectives[-1]:.6g}"))
    summary.add_row(*cells("distance |A - B|", f"{result.distance_before:.6g}", f"{result.distance_after:.6g}"))
    console.print(summary)
    moved = sum(map(bool, result.moved.values()))
    console.print(
        f"{moved} of {len(result.moved)} free groups moved, in {len(result.objectives) - 1} sweeps and {seconds:.1f} s."
    )
    if by is Criterion.activations and result.by_weights:
        console.print(f"Matched by weights, since no tensor shows them: {escape(', '.join(result.by_weights))}.")
    console.print(f"[bold]{escape(str(output))}[/]: B, aligned, as a weight-graph.")
