"""Where commands print: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 200


def stdout() -> Console:
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)


def stderr() -> Console:
    return Console(stderr=True, width=None if sys.stderr.isatty() else PIPED_WIDTH, highlight=False)


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=1, allow_nan=False))


@contextmanager
def progress(task: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr while the block runs; the block calls what it is given with (done, total)."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=stderr(), transient=True, disable=not sys.stderr.isatty()) as bar:
        shown = bar.add_task(task, total=None)
        yield lambda done, total: bar.update(shown, completed=done, total=total)


@contextmanager
def waiting(task: str) -> Iterator[None]:
    """A spinner on stderr while the block runs."""
    with stderr().status(task):
        yield


def table(*headings: str, right: tuple[str, ...] = (), caption: str | None = None) -> Table:
    """An empty table; columns named in ``right`` are aligned to the right, long cells go over several lines."""
    made = Table(caption=caption, caption_justify="left")
    for heading in headings:
        justify: Literal["left", "right"] = "right" if heading in right else "left"
        made.add_column(heading, justify=justify, overflow="fold")
    return made


def cells(*values: object, style: str = "") -> list[Text]:
    """Table cells that print what they are given as it is: no markup, nothing that a terminal would obey."""
    return [Text("".join(c if c.isprintable() else "?" for c in str(value)), style) for value in values]
