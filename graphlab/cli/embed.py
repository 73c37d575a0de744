"""``graphlab embed``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from graphlab.cli.console import cells, print_json, progress, stdout, table
from graphlab.cli.errors import CommandError

if TYPE_CHECKING:
    from graphlab.weightgraph.population import Neighbour, Population


class Method(StrEnum):
    """How networks are laid into the plane."""

    pca = "pca"
    tsne = "tsne"


def embed(
    folder: Annotated[Path, typer.Argument(help="With checkpoints at any depth, of any mix of architectures.")],
    picture: Annotated[Path | None, typer.Option("--output", "-o", help="Draw the map into this PNG.")] = None,
    method: Annotated[Method, typer.Option(help="Of the map.")] = Method.pca,
    neighbours: Annotated[int, typer.Option(min=1, help="How many of the nearest networks to list.")] = 3,
    seed: Annotated[int, typer.Option(help="Of t-SNE.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON: embeddings, map, neighbours, what was skipped.")
    ] = False,
) -> None:
    """An embedding of every checkpoint below a folder, a map of them, and the nearest neighbours of each.

    The embedding is made of statistics of the weights, kernels and vectors of each part of the network: transformers,
    convolutional networks and perceptrons are compared on equal terms. Nothing in the files is run.

    Example: [cyan]graphlab embed models -o map.png[/]

    Example: [cyan]graphlab embed models --method tsne --neighbours 5 --json[/]
    """
    from graphlab import checkpoint
    from graphlab.engine.folder import finite
    from graphlab.weightgraph.draw_map import draw_map
    from graphlab.weightgraph.population import Population

    paths = {str(path.relative_to(folder)): path for path in checkpoint.find(folder)}
    if not paths:
        raise CommandError(f"{folder}: no checkpoints in it")
    with progress("Reading checkpoints") as update:
        population = Population.of(paths, update)
    near = population.neighbours(neighbours)
    try:
        places = population.map(method.value, seed)
    except ValueError as error:
        raise CommandError(f"{folder}: {error}") from error
    if picture is not None:
        draw_map(places, population.names, [str(Path(name).parent) for name in population.names], picture)
    if as_json:
        columns = population.names, population.parameters, population.embeddings.tolist(), places.tolist()
        checkpoints = [
            {"name": name, "parameters": count, "embedding": own, "map": place, "neighbours": _listed(near[name])}
            for name, count, own, place in zip(*columns, strict=True)
        ]
        print_json(finite({"method": method.value, "checkpoints": checkpoints, "skipped": dict(population.skipped)}))
        return
    _print(population, near)
    if picture is not None:
        stdout().print(f"[bold]{escape(str(picture))}[/]: a dot for each checkpoint, a colour for each folder.")


def _listed(near: list[Neighbour]) -> list[dict[str, str | float]]:
    return [{"name": own.name, "distance": own.distance} for own in near]


def _print(population: Population, near: dict[str, list[Neighbour]]) -> None:
    console = stdout()
    shown = table("checkpoint", "parameters", "nearest (distance)", right=("parameters",))
    for name, count in zip(population.names, population.parameters, strict=True):
        listed = ", ".join(f"{own.name} ({own.distance:.1f})" for own in near[name])
        shown.add_row(*cells(name, f"{count:,}", listed))
    console.print(shown)
    for name, reason in population.skipped.items():
        console.print(f"[yellow]skipped[/] {escape(name)}: {escape(reason)}", soft_wrap=True)
    console.print(f"{len(population.names):,} checkpoints, {len(population.skipped):,} skipped.")
