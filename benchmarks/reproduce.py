"""Runs a published table in resumable pieces: ``python -m benchmarks.reproduce TABLE --budget-minutes 20``.

A table is a file ``benchmarks/tables/TABLE.yaml``: a list of presets, settings that differ from them, and how many
seeds each takes. Each call goes on where the last one stopped, a few seeds of each row in turn, so that every row has
some runs early, and writes ``benchmarks/results/TABLE.md`` with the rows that are not complete marked partial, and
``TABLE.png`` with every run. Nothing is committed. The run folders are ``runs/reproduce/TABLE/ROW``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.report import machine
from graphlab.engine import EngineError, Experiment, Means, read_summary, train
from graphlab.engine.curves import draw_comparison
from graphlab.engine.folder import CONFIG, write_text
from graphlab.engine.settings import settings
from graphlab.engine.summary import shown, table_cells
from graphlab.presets import Preset, presets

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs" / "reproduce"
IN_TURN = 5
"""How many seeds of a row are run before the next row's turn."""


@dataclass(frozen=True)
class Row:
    """A preset, with some settings replaced."""

    preset: Preset
    replaced: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return ",".join([self.preset.name, *(f"{name}={value}" for name, value in self.replaced.items())])

    def experiment(self) -> Experiment:
        return self.preset.experiment(self.replaced)


@dataclass(frozen=True)
class Heading:
    """What a table's file says besides its rows."""

    title: str
    seeds: int
    note: str = ""


def read_table(path: Path) -> tuple[Heading, list[Row]]:
    """The table in a file.

    Raises:
        EngineError: the file has other keys, names an unknown preset, or a row comes twice.
    """
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        known = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise EngineError(f"no table {path.stem}; there are {', '.join(known)}") from None
    if not isinstance(document, dict) or not isinstance(document.get("rows"), list):
        raise EngineError(f"{path}: expected a mapping with a list of rows")
    rows = [_row(entry, f"{path}, row {number}") for number, entry in enumerate(document.pop("rows"), 1)]
    if len({row.name for row in rows}) < len(rows):
        raise EngineError(f"{path}: a row comes twice")
    return settings(Heading, document, str(path)), rows


def run_table(heading: Heading, rows: Sequence[Row], runs: Path, budget_seconds: float, data_dir: Path | None) -> None:
    """Go on with the table until it is complete or the time is over."""
    deadline = time.monotonic() + budget_seconds
    for first in range(0, heading.seeds, IN_TURN):
        seeds = range(first, min(first + IN_TURN, heading.seeds))
        for row in rows:
            if time.monotonic() < deadline and not ended(runs / row.name).issuperset(seeds):
                train(row.experiment(), seeds, runs / row.name, data_dir=data_dir, means=Means(deadline=deadline))


def report(heading: Heading, rows: Sequence[Row], runs: Path) -> str:
    """The table as Markdown, partial rows marked."""
    begun = {row.name: read_summary(runs / row.name) for row in rows if (runs / row.name / CONFIG).exists()}
    headings, cells = table_cells(list(begun.values()))
    lines = dict(zip(begun, cells, strict=True))
    text = [f"# {heading.title}\n", f"{heading.note}\n"] if heading.note else [f"# {heading.title}\n"]
    text.append("| " + " | ".join([*headings, "published"]) + " |")
    text.append("| --- |" + " ---: |" * len(headings))
    for row in rows:
        line = lines.get(row.name, [row.name, "0", *[""] * (len(headings) - 2)])
        done = len(begun[row.name].runs) if row.name in begun else 0
        line[1] = f"{done}" if done == heading.seeds else f"{done} of {heading.seeds}, partial"
        text.append("| " + " | ".join([*line, _published(row)]) + " |")
    text += ["", *(f"- {name}: {value}" for name, value in machine()), ""]
    return "\n".join(text)


def _row(entry: Any, where: str) -> Row:
    if not isinstance(entry, dict) or not {"preset"} <= set(entry) <= {"preset", "set"}:
        raise EngineError(f"{where}: expected preset and, if need be, set; got {entry!r}")
    if entry["preset"] not in presets():
        raise EngineError(f"{where}: no preset {entry['preset']!r}; there are {', '.join(presets())}")
    row = Row(presets()[entry["preset"]], entry.get("set", {}))
    row.experiment()  # whatever is wrong with its settings is said before anything runs
    return row


def ended(folder: Path) -> set[int]:
    """The seeds whose runs in this folder have ended."""
    return {run.seed for run in read_summary(folder).runs} if (folder / CONFIG).exists() else set()


def _published(row: Row) -> str:
    """What the preset's source reports, unless the row is about other settings."""
    figures = {} if row.replaced else row.preset.published
    return "; ".join(f"{name} {shown(name, p.mean, p.std)}" for name, p in figures.items())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reproduce", description=__doc__)
    parser.add_argument("table", help="a file in benchmarks/tables, without its ending")
    parser.add_argument("--budget-minutes", type=float, required=True)
    parser.add_argument("--data-dir", type=Path)
    given = parser.parse_args()
    heading, rows = read_table(HERE / "tables" / f"{given.table}.yaml")
    runs = RUNS / given.table
    try:
        run_table(heading, rows, runs, 60 * given.budget_minutes, given.data_dir)
    finally:
        write_text(HERE / "results" / f"{given.table}.md", report(heading, rows, runs))
        if shown := [read_summary(runs / row.name) for row in rows if ended(runs / row.name)]:
            draw_comparison(shown, HERE / "results" / f"{given.table}.png")


if __name__ == "__main__":
    main()
