"""``graphlab convert``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from graphlab.cli import factory
from graphlab.cli.console import print_json, stdout, waiting
from graphlab.cli.errors import CommandError
from graphlab.cli.network import GUESSED, graph_or_guess

if TYPE_CHECKING:
    from graphlab.weightgraph import WeightGraph


def convert(
    source: Annotated[Path, typer.Argument(help="A weight-graph, a Hugging Face folder, or a weight file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The safetensors file to write.")],
    module: Annotated[str | None, typer.Option(help=factory.HELP)] = None,
    layout: Annotated[
        str | None, typer.Option(help="Write an explicit graph, edge by edge: exact, neural_graph, nino, ...")
    ] = None,
    options: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An option of the layout.")
    ] = None,
    positions: Annotated[int, typer.Option(help="Laplacian positions a node of the explicit graph.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Turn a checkpoint into a weight-graph: one safetensors file that holds the tensors as they are and says which
    neurons index which axis of each. With --layout, into an explicit graph: edge_index, edge_attr, types. The file is
    read again and compared with the source bit for bit. Of a weight file without --module the neurons are guessed
    from names and shapes, and none may be permuted.

    Example: [cyan]graphlab convert all-MiniLM-L6-v2/ -o minilm.safetensors[/]

    Example: [cyan]graphlab convert resnet.pt --module my_project.nets:resnet -o resnet.safetensors[/]

    Example: [cyan]graphlab convert gpt2/ -o gpt2-graph.safetensors --layout nino --set wiring=published[/]
    """
    from graphlab import checkpoint
    from graphlab.weightgraph import WeightGraph, equal_bytes
    from graphlab.weightgraph.graph import STRUCTURE_KEY
    from graphlab.weightgraph.guess import is_guess

    if layout is None and (options or positions):
        raise CommandError("--set and --positions are about an explicit graph: give --layout too")
    start = time.perf_counter()
    with waiting("Tracing the network"):
        opened = checkpoint.open(source)
        if layout is None and STRUCTURE_KEY in opened.metadata:
            raise CommandError(f"{source}: it is a weight-graph already")
        graph = graph_or_guess(opened, module)
    traced = time.perf_counter()
    drawn: dict[str, Any] = {}
    with waiting("Writing and comparing"):
        if layout is None:
            graph.save(output)
            again = WeightGraph.load(output)
        else:
            again, drawn = _explicit(graph, output, layout, _parsed(options or []), positions)
        if not equal_bytes(graph.state_dict(), again.state_dict()):
            raise CommandError(f"{output}: what was read again is not, bit for bit, what was written")
    written = time.perf_counter()
    report = {
        "source": str(source),
        "output": str(output),
        "bytes": output.stat().st_size,
        "tensors": len(graph.tensors),
        "parameters": graph.num_parameters,
        "groups": len(graph.structure.groups),
        "free_groups": len(graph.structure.free),
        "guessed": is_guess(graph.structure),
        **drawn,
        "equal_bytes": True,
        "seconds": {"trace": traced - start, "write_and_compare": written - traced},
    }
    if as_json:
        print_json(report)
        return
    console = stdout()
    console.print(
        f"[bold]{escape(str(output))}[/]: {report['bytes']:,} bytes, {report['tensors']} tensors, "
        f"{report['parameters']:,} parameters, in {written - start:.1f} s"
    )
    if drawn:
        console.print(f"Layout {layout}: {drawn['nodes']:,} nodes, {drawn['edges']:,} edges.")
    else:
        console.print(f"{report['groups']} groups of neurons, of which {report['free_groups']} may be permuted.")
    if report["guessed"]:
        console.print(GUESSED, style="yellow", markup=False)
    console.print("[green]Read again, it is bit for bit what the source holds.[/]")


def _explicit(
    graph: WeightGraph, output: Path, layout: str, options: dict[str, Any], positions: int
) -> tuple[WeightGraph, dict[str, Any]]:
    """Write an explicit graph; the weights that the file gives back, and what to report."""
    from graphlab.weightgraph.graph_file import load_graph, save_graph
    from graphlab.weightgraph.wiring import WiringError

    try:
        data = graph.to_data(layout, positions, **options)
    except WiringError as error:
        raise CommandError(f"{layout} cannot hold this network: {error}") from error
    save_graph(data, output, layout, options)
    again = graph.with_data(load_graph(output)[0], layout, **options)
    return again, {"layout": layout, "options": options, "nodes": data.num_nodes, "edges": data.num_edges}


def _parsed(options: list[str]) -> dict[str, Any]:
    """NAME=VALUE, where a value that is JSON (a number, true) is read as such."""
    parsed = {}
    for option in options:
        name, separator, value = option.partition("=")
        if not (name and separator):
            raise CommandError(f"--set {option}: expected NAME=VALUE")
        try:
            parsed[name] = json.loads(value)
        except ValueError:
            parsed[name] = value
    return parsed
