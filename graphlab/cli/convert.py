"""``graphlab convert``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from graphlab.cli import factory
from graphlab.cli.console import print_json, stdout, waiting
from graphlab.cli.errors import CommandError
from graphlab.cli.network import graph_of


def convert(
    source: Annotated[Path, typer.Argument(help="A Hugging Face folder, or a weight file together with --module.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The safetensors file to write.")],
    module: Annotated[str | None, typer.Option(help=factory.HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Turn a checkpoint into a weight-graph: one safetensors file that holds the tensors as they are and says which
    neurons index which axis of each. The file is read again and compared with the source bit for bit.

    Example: [cyan]graphlab convert all-MiniLM-L6-v2/ -o minilm.safetensors[/]

    Example: [cyan]graphlab convert resnet.pt --module my_project.nets:resnet -o resnet.safetensors[/]
    """
    from graphlab import checkpoint
    from graphlab.weightgraph import WeightGraph, equal_bytes
    from graphlab.weightgraph.graph import STRUCTURE_KEY

    start = time.perf_counter()
    with waiting("Tracing the network"):
        opened = checkpoint.open(source)
        if STRUCTURE_KEY in opened.metadata:
            raise CommandError(f"{source}: it is a weight-graph already")
        graph = graph_of(opened, module)
    traced = time.perf_counter()
    with waiting("Writing and comparing"):
        graph.save(output)
        if not equal_bytes(graph.state_dict(), WeightGraph.load(output).state_dict()):
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
    console.print(f"{report['groups']} groups of neurons, of which {report['free_groups']} may be permuted.")
    console.print("[green]Read again, it is bit for bit what the source holds.[/]")
