"""``graphlab zoo``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from graphlab.cli.console import cells, print_json, progress, stdout, table
from graphlab.cli.train import parsed

if TYPE_CHECKING:
    from graphlab.datasets.zoos import Zoo


class Kind(StrEnum):
    """What the networks of a zoo are."""

    inr = "inr"
    sine = "sine"
    cnn = "cnn"


def make(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="inr: SIRENs of the handwritten digits of scikit-learn; sine: SIRENs of sine waves; cnn: classifiers "
            "of these digits, of many architectures."
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="Of the zoo; made if absent, gone on with if it is there.")],
    count: Annotated[int, typer.Option(min=1, help="How many networks; for cnn each checkpoint is one.")] = 1797,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the recipe.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train a zoo of small networks, without any download: a folder of safetensors with an index.

    The same command again goes on where it was interrupted, and a larger --count adds networks. A network depends on
    the recipe, the seed and its number alone.

    Example: [cyan]graphlab zoo make inr zoos/digits --count 7188[/]

    Example: [cyan]graphlab zoo make sine zoos/sines --count 1000 --set steps=1500[/]

    Example: [cyan]graphlab zoo make cnn zoos/cnns --count 960 --set channels=[4,8,16] --set kernels=[3,5] --json[/]
    """
    from graphlab.datasets.zoos import CNNRecipe, DigitsRecipe, SinesRecipe, make_zoo, read_zoo
    from graphlab.engine.settings import settings

    recipes: dict[Kind, type[Any]] = {Kind.inr: DigitsRecipe, Kind.sine: SinesRecipe, Kind.cnn: CNNRecipe}
    recipe = settings(recipes[kind], {"seed": seed, **parsed(overrides or [])}, f"zoo make {kind}")
    with progress(f"Training networks ({kind})") as update:
        made = make_zoo(recipe, folder, count, update)
    _report(read_zoo(folder), folder, as_json, made)


def show(
    folder: Annotated[str, typer.Argument(metavar="ZOO", help="A folder, or the name of a zoo.")],
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a zoo of which a network is missing or damaged.")
    ] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Where data sets lie. Default: $GRAPHLAB_DATA.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """What is in a zoo: its networks, what is known of them, and what is missing or damaged.

    Example: [cyan]graphlab zoo show digits-inr[/]

    Example: [cyan]graphlab zoo show zoos/cnns --strict --json[/]
    """
    from graphlab.datasets.zoos import load_zoo

    _report(load_zoo(folder, data_dir, strict), Path(folder), as_json)


def _report(zoo: Zoo, folder: Path, as_json: bool, made: int | None = None) -> None:
    sizes = {own: sum(tensor[0].numel() for tensor in own.tensors.values()) for own in zoo.stacks}
    facts = {
        name: {"min": column.min().item(), "mean": column.double().mean().item(), "max": column.max().item()}
        for name, column in zoo.facts.items()
    }
    document = {
        "folder": str(folder),
        "networks": len(zoo),
        "architectures": len(zoo.architectures),
        "parameters": {"min": min(sizes.values()), "max": max(sizes.values())},
        "facts": facts,
        "skipped": [own._asdict() for own in zoo.skipped],
        **({} if made is None else {"made": made}),
    }
    if as_json:
        print_json(document)
        return
    console = stdout()
    known = table("fact", "least", "mean", "largest", right=("least", "mean", "largest"))
    for name, own in facts.items():
        known.add_row(*cells(name, *(f"{own[key]:.4g}" for key in ("min", "mean", "max"))))
    console.print(known)
    if zoo.skipped:
        missing = table("skipped", "networks", "why", right=("networks",))
        for skipped in zoo.skipped:
            missing.add_row(*cells(skipped.name, skipped.members, skipped.reason))
        console.print(missing)
    now = "" if made is None else f", {made:,} made now"
    console.print(
        f"[bold]{escape(str(folder))}[/]: {len(zoo):,} networks of {len(zoo.architectures):,} architectures{now}; "
        f"{sum(own.members for own in zoo.skipped):,} skipped."
    )
