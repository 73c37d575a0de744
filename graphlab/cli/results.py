"""``graphlab results``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from graphlab.cli.console import cells, print_json, stdout, table
from graphlab.cli.errors import CommandError

if TYPE_CHECKING:
    from graphlab.engine import Summary


def results(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of run folders.")],
    picture: Annotated[Path | None, typer.Option("--output", "-o", help="Also draw them, into this PNG.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON, each run and both deviations.")
    ] = False,
) -> None:
    """One table, and one picture, of many run folders: mean and unbiased deviation of each figure.

    Example: [cyan]graphlab results runs/dagnn-cora runs/gcn-cora -o cora.png[/]
    """
    from graphlab.engine import read_summary
    from graphlab.engine.curves import draw_comparison
    from graphlab.engine.folder import finite

    rows = [read_summary(folder) for given in runs for folder in _run_folders(given)]
    if picture is not None:
        draw_comparison(rows, picture)
    if as_json:
        print_json(finite([{**row.document(), "config": row.config} for row in rows]))
        return
    print_rows(rows)
    if picture is not None:
        stdout().print(f"[bold]{escape(str(picture))}[/]: every run, the mean, the deviation.")


def print_rows(rows: Sequence[Summary]) -> None:
    """Print the table of these experiments."""
    from graphlab.engine.summary import table_cells

    headings, lines = table_cells(rows)
    shown = table(*headings, right=tuple(headings[1:]))
    for line in lines:
        shown.add_row(*cells(*line))
    stdout().print(shown)


def _run_folders(given: Path) -> list[Path]:
    from graphlab.engine.folder import CONFIG

    if (given / CONFIG).is_file() or not given.is_dir():
        return [given]
    inside = sorted(path.parent for path in given.glob(f"*/{CONFIG}"))
    if not inside:
        raise CommandError(f"{given}: neither a run folder nor a folder of run folders")
    return inside
