"""``graphlab align``."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from graphlab.cli import factory
from graphlab.cli.console import cells, print_json, progress, stdout, table, waiting
from graphlab.cli.errors import CommandError
from graphlab.cli.network import GIVE_MODULE, graph_of, network_with_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from graphlab.weightgraph import WeightGraph
    from graphlab.weightgraph.align import Alignment
    from graphlab.weightgraph.barrier import Barriers


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
    curve: Annotated[
        Path | None,
        typer.Option(help="A PNG file: the loss on the line from A to B, as it is and aligned. Runs the network."),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="For --curve: package.module:function of yours, called with the network and returning a number. "
            "Default: how far outputs are from those of A and B on the inputs."
        ),
    ] = None,
    points: Annotated[int, typer.Option(min=2, help="For --curve: how many networks on each line.")] = 25,
    seed: Annotated[int, typer.Option(help="Of the order in which groups of neurons are visited.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Reorder the neurons of network B so that its weights, or its activations, come closest to those of network A (Git
    Re-Basin). What B computes stays the same.

    Example: [cyan]graphlab align first.safetensors second.safetensors -o aligned.safetensors[/]

    Example: [cyan]graphlab align first.pt second.pt --module my_project.nets:resnet -o aligned.safetensors[/]

    Example: [cyan]graphlab align first.pt second.pt --module my_project.nets:resnet --by activations --inputs
    images.safetensors -o aligned.safetensors[/]

    Example: [cyan]graphlab align first.pt second.pt --module my_project.nets:resnet -o aligned.safetensors --curve
    barrier.png --loss my_project.nets:test_loss[/]
    """
    from graphlab import checkpoint
    from graphlab.weightgraph.draw_barrier import draw_barrier

    runs = by is Criterion.activations or curve is not None
    if inputs is not None and not runs:
        raise CommandError("--inputs are for --by activations and --curve")
    if loss is not None and curve is None:
        raise CommandError("--loss is for --curve")
    with waiting("Tracing the networks"):
        first, second = graph_of(checkpoint.open(a), module), graph_of(checkpoint.open(b), module)
        network = _network(a, module, inputs) if runs else None
        match = _matcher(by, network)
        measure = _loss(first, second, network, loss) if curve is not None and network is not None else None
    start = time.perf_counter()
    with progress("Matching neurons") as update:
        try:
            result = match(first, second, seed, update)
        except ValueError as error:
            raise CommandError(f"{a}, {b}: {error}") from error
    seconds = time.perf_counter() - start
    barriers = _barriers(first, second, result, measure, points) if measure else None
    if barriers is not None and curve is not None:
        draw_barrier(barriers, curve, "distance of outputs from those of A and B" if loss is None else loss)
    result.graph.save(output)
    report: dict[str, Any] = {
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
    if barriers is not None:
        curves = {"before": barriers.before, "after": barriers.after}
        report["curves"] = {name: {"losses": list(own.losses), "barrier": own.barrier} for name, own in curves.items()}
    if as_json:
        print_json(report)
    else:
        _print(result, by, output, seconds, barriers, curve)


def _network(a: Path, module: str | None, inputs: Path | None) -> factory.Network:
    """What runs, with the inputs that a file holds, if one is given."""
    from graphlab import checkpoint

    network = network_with_weights(str(a) if module is None else module, advice=GIVE_MODULE)
    if inputs is None:
        return network
    given = checkpoint.open(inputs)
    places = [str(place) for place in range(len(network.args))]
    expected = [*places, *network.kwargs]
    if set(given) != set(expected):
        raise CommandError(f"{inputs}: expected tensors named {', '.join(expected)}, got {', '.join(given)}")
    kwargs = {name: given[name] for name in network.kwargs}
    return factory.Network(network.module, [given[place] for place in places], kwargs)


def _matcher(
    by: Criterion, network: factory.Network | None
) -> Callable[[WeightGraph, WeightGraph, int, Callable[[int, int], None]], Alignment]:
    from graphlab.capture import capture
    from graphlab.weightgraph.activation_matching import align_activations
    from graphlab.weightgraph.align import align as align_weights

    if by is Criterion.weights or network is None:
        return lambda first, second, seed, update: align_weights(first, second, seed, progress=update)
    program = capture(network.module, network.args, network.kwargs)
    return lambda first, second, seed, update: align_activations(
        first, second, program, network.args, network.kwargs, seed, progress=update
    )


def _loss(
    first: WeightGraph, second: WeightGraph, network: factory.Network, function: str | None
) -> Callable[[Mapping[str, Tensor]], float]:
    """What a state dict loses: as a function of the user's says, or by its outputs."""
    from graphlab.capture import capture
    from graphlab.weightgraph.barrier import output_distance

    if function is None:
        program = capture(network.module, network.args, network.kwargs)
        return output_distance(first, second, program, network.args, network.kwargs)
    call = factory.load_function(function)

    def loss(state: Mapping[str, Tensor]) -> float:
        network.module.load_state_dict(state)
        try:
            return float(call(network.module))
        except Exception as error:
            raise CommandError(f"{function}: it failed: {type(error).__name__}: {error}") from error

    return loss


def _barriers(
    first: WeightGraph,
    second: WeightGraph,
    result: Alignment,
    loss: Callable[[Mapping[str, Tensor]], float],
    points: int,
) -> Barriers:
    from graphlab.weightgraph.barrier import interpolation_barrier

    with progress("Walking from A to B") as update:
        return interpolation_barrier(first, second, loss, points, aligned=result.graph, progress=update)


def _print(
    result: Alignment, by: Criterion, output: Path, seconds: float, barriers: Barriers | None, curve: Path | None
) -> None:
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
    if barriers is not None:
        console.print(f"[bold]{escape(str(curve))}[/]: the way from A to B. {barriers}.")
    console.print(f"[bold]{escape(str(output))}[/]: B, aligned, as a weight-graph.")
