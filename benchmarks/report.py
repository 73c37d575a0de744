"""What every benchmark reports: the machine, its targets, and tables on the console and in a Markdown file."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.process import ROOT

Section = tuple[str, list[str], list[list[str]]]
"""The title of a table, its headings and its rows."""


def machine() -> list[tuple[str, str]]:
    """Date, commit, machine, load and versions, each with its name."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        model = lines[0] if lines else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    packages = ("graphlab-torch", "torch", "torch-geometric", "transformers", "safetensors")
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return [
        ("date", datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("commit", described or "unknown"),
        ("machine", f"{model}, {cores} cores, {memory:.0f} GB, {platform.system()}"),
        ("load average at the start", f"{os.getloadavg()[0]:.1f}"),
        ("versions", f"Python {platform.python_version()}, {versions}"),
    ]


@dataclass(frozen=True)
class Target:
    """A measured value beside its target; ``met`` is None where nothing was measured."""

    what: str
    measured: str
    target: str
    met: bool | None

    def cells(self) -> list[str]:
        return [self.what, self.measured, self.target, {True: "yes", False: "NO", None: "-"}[self.met]]


def below(what: str, value: float | None, limit: float, unit: str, digits: int = 2) -> Target:
    """The target that ``value`` is less than ``limit``."""
    if value is None:
        return Target(what, "not measured", f"< {limit:g} {unit}".strip(), None)
    return Target(what, f"{value:.{digits}f} {unit}".strip(), f"< {limit:g} {unit}".strip(), value < limit)


def show(console: Console, sections: list[Section]) -> None:
    """Prints the tables."""
    for title, headings, rows in sections:
        table = Table(*headings, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    """Returns a table of Markdown."""
    rule = ["---"] * len(headings)
    return "\n".join("| " + " | ".join(row) + " |" for row in [headings, rule, *rows])


def write(
    path: Path, title: str, command: str, about: list[tuple[str, str]], note: str, sections: list[Section]
) -> None:
    """Writes a Markdown file: the command that made it, facts about the run, a note on the columns, the tables."""
    lines = [f"# {title}", "", f"Made by `{command}`, which says how it measures.", ""]
    lines += [f"- {name}: {text}" for name, text in about]
    lines += ["", note]
    for heading, headings, rows in sections:
        lines += ["", f"## {heading}", "", markdown_table(headings, rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", "utf-8")
