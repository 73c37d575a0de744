"""``graphlab train``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from graphlab.cli.console import print_json, stderr, stdout
from graphlab.cli.errors import CommandError
from graphlab.cli.results import print_rows

if TYPE_CHECKING:
    from graphlab.engine import Experiment
    from graphlab.engine.run import Tell
    from graphlab.presets import Preset

WHAT = (
    "A model or a preset by name (`graphlab list` shows both), the YAML file of a preset of yours, or "
    "package.module:name, a model that a module of yours registers; its code is run."
)


def train(
    what: Annotated[str, typer.Argument(metavar="MODEL", help=WHAT)],
    dataset: Annotated[str | None, typer.Option(help="The data set, by name.")] = None,
    task: Annotated[
        str | None, typer.Option(help="What to train it for, where a model has several tasks (`graphlab list`).")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many runs: seeds 0, 1, ...")] = 1,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting other than in the preset.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder. Default: runs/MODEL-DATASET.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where data sets lie. Default: $GRAPHLAB_DATA.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto: the first accelerator.")] = "auto",
    precision: Annotated[str, typer.Option(help="32-true, 64-true, bf16-mixed, 16-mixed, ...")] = "32-true",
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard's event files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Train a model as published, several times, and print mean and deviation.

    The run folder holds configuration, environment, logs, weights, curves and the table. The same command again goes on
    where it was interrupted, and more seeds are added to those that are done.

    Example: [cyan]graphlab train dagnn --dataset cora --seeds 10[/]

    Example: [cyan]graphlab train dagnn --dataset cora --set K=20 --set split=planetoid --out runs/dagnn-k20[/]

    Example: [cyan]graphlab train neural-graph --task inr-classification --set epochs=20[/]

    Example: [cyan]torchrun --nproc-per-node 2 --no-python graphlab train my_package.models:mine --dataset cora[/]
    """
    from graphlab.engine import Means
    from graphlab.engine import train as run

    experiment, name = _experiment(what, dataset, task, parsed(overrides or []))
    folder = out or Path("runs") / name
    with _progress(seeds) as tell:
        summary = run(
            experiment,
            range(seeds),
            folder,
            device=device,
            precision=precision,
            data_dir=data_dir,
            means=Means(tensorboard=tensorboard, tell=tell),
        )
    if os.environ.get("RANK", "0") != "0":
        return
    if as_json:
        print_json({"folder": str(folder), **_finite(summary.document())})
        return
    print_rows([summary])
    stdout().print(f"[bold]{escape(str(folder))}[/]: curves.png, results.md, and the logs and weights of each run.")


def parsed(overrides: list[str]) -> dict[str, Any]:
    """The settings that ``NAME=VALUE`` texts give.

    Raises:
        CommandError: a text without ``=``, or a name given twice.
    """
    from graphlab.engine.settings import parse_value

    found: dict[str, Any] = {}
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals or not name or name in found:
            raise CommandError(f"--set {text}: expected NAME=VALUE, each name once")
        found[name] = parse_value(value)
    return found


def _experiment(
    what: str, dataset: str | None, task: str | None, overrides: Mapping[str, Any]
) -> tuple[Experiment, str]:
    """What is asked for, and its name."""
    from graphlab.engine import Experiment, find_model, find_protocol
    from graphlab.presets import find_preset, presets, read_preset

    chosen = {**overrides, **({} if dataset is None else {"dataset": dataset})}
    if what.endswith((".yaml", ".yml")):
        if task is not None:
            raise CommandError(f"{what} says itself what its task is; leave --task out")
        return _of_preset(read_preset(Path(what)), chosen)
    model = _registered(what)
    if task is not None:  # each task has a usual data set
        dataset = dataset or getattr(find_protocol(find_model(model).protocol(task)).config, "dataset", None)
    preset = presets().get(model) if dataset is None else find_preset(model, dataset, task)
    if preset is not None:
        return _of_preset(preset, chosen)
    known = [preset.dataset for preset in presets().values() if preset == find_preset(model, preset.dataset, task)]
    if known and dataset is None:
        raise CommandError(f"--dataset is needed; there are presets of {model} for {', '.join(known)}")
    if known:
        stderr().print(f"No preset of {escape(model)} for {escape(str(dataset))}: the defaults are taken.")
    experiment = Experiment.from_values(model, chosen, "--set", task)
    return experiment, experiment.title


def _of_preset(preset: Preset, chosen: Mapping[str, Any]) -> tuple[Experiment, str]:
    if chosen.get("dataset", preset.dataset) != preset.dataset:
        raise CommandError(f"preset {preset.name} is for {preset.dataset}, not {chosen['dataset']}")
    return preset.experiment(chosen), preset.name


def _registered(what: str) -> str:
    """The name of a model, after importing the module before the colon, if there is one."""
    module, colon, name = what.rpartition(":")
    if not colon:
        return what
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        importlib.import_module(module)
    except Exception as error:
        raise CommandError(f"{what}: cannot import {module}: {type(error).__name__}: {error}") from error
    return name


@contextmanager
def _progress(seeds: int) -> Iterator[Tell]:
    """A bar on stderr: the run, its epochs, and what was last measured."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=stderr(), transient=True, disable=not sys.stderr.isatty()) as bar:
        shown = bar.add_task("Preparing", total=None)

        def tell(seed: int, epoch: int, last: int | None, metrics: Mapping[str, float]) -> None:
            figures = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            bar.update(shown, description=f"run {seed + 1} of {seeds}  {figures}", completed=epoch, total=last)

        yield tell


def _finite(document: dict[str, Any]) -> dict[str, Any]:
    from graphlab.engine.folder import finite

    return finite(document)  # type: ignore[no-any-return]
