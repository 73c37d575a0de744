"""``graphlab inspect``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from graphlab.cli.console import cells, print_json, progress, stdout, table, waiting
from graphlab.cli.errors import CommandError
from graphlab.cli.network import GUESSED, structure_of
from graphlab.names import merged

if TYPE_CHECKING:
    from graphlab.checkpoint import Checkpoint
    from graphlab.weightgraph import Structure

_LONG = 24


def inspect(
    path: Annotated[Path, typer.Argument(help="A weight file, or a folder with one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what a checkpoint is: its format, its tensors, whether any value is NaN or infinite, and its
    groups of neurons, guessed from names and shapes where a file holds tensors alone. Nothing from the file is run.

    Example: [cyan]graphlab inspect all-MiniLM-L6-v2/[/]
    """
    from graphlab import checkpoint

    opened = checkpoint.open(path)
    with progress("Looking for NaN and infinity") as update:
        nonfinite = opened.nonfinite(update)
    structure, without = _structure(opened)
    if as_json:
        print_json(_document(opened, nonfinite, structure, without))
        return
    console = stdout()
    _print_facts(console, opened, nonfinite)
    _print_tensors(console, opened)
    if structure is not None:
        _print_groups(console, structure)
    else:
        console.print(f"No structure: {without}", style="yellow", markup=False)


def _structure(opened: Checkpoint) -> tuple[Structure | None, str]:
    """The structure of the network, or why there is none."""
    from graphlab.capture import CaptureError
    from graphlab.checkpoint import CheckpointError

    try:
        with waiting("Tracing the network"):
            return structure_of(opened), ""
    except (CommandError, CheckpointError, CaptureError, ImportError, ValueError) as error:
        return None, str(error)


def _facts(opened: Checkpoint) -> dict[str, Any]:
    dtypes = Counter(str(spec.dtype).removeprefix("torch.") for spec in opened.specs.values())
    return {
        "path": str(opened.path),
        "format": opened.format,
        "files": sorted({str(spec.file) for spec in opened.specs.values()}),
        "tensors": len(opened),
        "parameters": opened.num_parameters,
        "bytes": opened.nbytes,
        "dtypes": dict(dtypes),
        "prefix": opened.prefix,
        "tied": [list(names) for names in opened.tied],
        "adapter": opened.adapter,
        "beside": list(opened.extra),
    }


def _document(
    opened: Checkpoint, nonfinite: dict[str, int], structure: Structure | None, without: str
) -> dict[str, Any]:
    from graphlab.weightgraph.guess import is_guess

    return {
        **_facts(opened),
        "nonfinite": nonfinite,
        "specs": {
            name: {"shape": list(spec.shape), "dtype": str(spec.dtype).removeprefix("torch.")}
            for name, spec in opened.specs.items()
        },
        "structure": structure and structure.to_json(),
        "guessed": structure is not None and is_guess(structure),
        "no_structure": without or None,
    }


def _print_facts(console: Console, opened: Checkpoint, nonfinite: dict[str, int]) -> None:
    facts = _facts(opened)
    adapter = opened.adapter or {}
    lines = {
        "format": facts["format"] + (f", {len(facts['files'])} files" if len(facts["files"]) > 1 else ""),
        "tensors": f"{len(opened):,}",
        "parameters": f"{opened.num_parameters:,}",
        "bytes": f"{opened.nbytes:,}",
        "dtypes": ", ".join(f"{name} ({count})" for name, count in facts["dtypes"].items()),
        "prefix": opened.prefix and f"{opened.prefix} (removed from every name)",
        "tied": "; ".join(" = ".join(names) for names in opened.tied),
        "adapter": f"{adapter.get('peft_type')} of {adapter.get('base_model_name_or_path')}" if adapter else "",
        "beside": ", ".join(opened.extra),
    }
    console.print(Text(str(opened.path), style="bold"))
    for label, text in lines.items():
        if text:
            console.print(Text(f"  {label:<12}"), *cells(text), sep="")
    if nonfinite:
        wrong = ", ".join(f"{name} ({count:,})" for name, count in nonfinite.items())
        console.print(Text("  values      "), *cells(f"NaN or infinite in {wrong}"), sep="", style="bold red")
    else:
        console.print("  values      all finite", style="green")


def _print_tensors(console: Console, opened: Checkpoint) -> None:
    facts = {
        name: (str(list(spec.shape)), str(spec.dtype).removeprefix("torch.")) for name, spec in opened.specs.items()
    }
    rows = merged(facts) if len(facts) > _LONG else [(name, known, 1) for name, known in facts.items()]
    shown = table("tensor", "how many", "shape", "dtype", right=("how many",))
    for pattern, known, count in rows:
        shown.add_row(*cells(pattern, count, *known))
    console.print(shown)


def _print_groups(console: Console, structure: Structure) -> None:
    from graphlab.weightgraph.guess import is_guess
    from graphlab.weightgraph.summary import group_lines

    shown = table(
        "group",
        "how many",
        "size",
        "status",
        "passes through",
        right=("how many",),
        caption=f"{len(structure.groups)} groups of neurons, of which {len(structure.free)} may be permuted",
    )
    for line in group_lines(structure):
        size, status, passes = line.text
        style = "green" if status == "free" else "dim"
        shown.add_row(*cells(line.name, line.count, size), *cells(status, style=style), *cells(passes))
    console.print(shown)
    for operator in structure.without_rule:
        console.print(f"No rule for {operator}: what it touches is taken as fixed.", style="yellow")
    if is_guess(structure):
        console.print(GUESSED, style="yellow", markup=False)
