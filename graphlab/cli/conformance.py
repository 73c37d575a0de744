"""``graphlab conformance``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphlab.cli.console import stdout, waiting


def conformance(
    path: Annotated[Path, typer.Argument(help="A system's folder, a folder of such folders, or one JSON file.")],
    dump: Annotated[Path | None, typer.Option(help="Write what graphlab computes into this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Run golden cases (recorded results of the published systems) and compare.

    Exit code: 0 if all pass, 1 if one fails, 2 if none fails but one is not covered.

    Example: [cyan]graphlab conformance golden/dagnn --dump out/dagnn[/]
    """
    from graphlab.conformance import run

    with waiting("Running the cases"):
        report = run(path, dump)
    if as_json:
        print(report.to_json())
    else:
        stdout().print(report.to_table())
    raise typer.Exit(report.exit_code)
