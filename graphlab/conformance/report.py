"""What a run of golden cases came to: one row a case, a table, an exit code."""

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from graphlab.conformance.compare import Comparison


class Status(StrEnum):
    """How a case ended."""

    PASS = "pass"
    FAIL = "fail"
    NOT_COVERED = "not covered"
    DUMPED = "dumped"
    """The adapter gave all results, and the (stripped) case records none to compare them with."""


_COLOURS = {Status.PASS: "green", Status.FAIL: "bold red", Status.NOT_COVERED: "yellow", Status.DUMPED: "cyan"}


@dataclass(frozen=True)
class Row:
    """The outcome of one case.

    Attributes:
        error: the largest absolute difference in it, infinite where a difference is no number; ``None`` if nothing was
            compared.
        reason: the first thing that is wrong, else empty.
        traceback: of the exception that ended the adapter, else empty.
    """

    system: str
    family: str
    case: str
    status: Status
    error: float | None = None
    reason: str = ""
    seconds: float = 0.0
    traceback: str = ""
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Report:
    """The rows of all cases, in the order in which they ran."""

    rows: tuple[Row, ...]

    @property
    def exit_code(self) -> int:
        """1 if a case failed, else 2 if one is not covered, else 0."""
        statuses = {row.status for row in self.rows}
        return 1 if Status.FAIL in statuses else 2 if Status.NOT_COVERED in statuses else 0

    @property
    def summary(self) -> str:
        """``12 pass, 1 fail``."""
        counts = Counter(row.status for row in self.rows)
        return ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])

    def to_json(self) -> str:
        """The whole report as JSON text, with null in place of infinite errors."""
        document = {
            "exit_code": self.exit_code,
            "summary": Counter(str(row.status) for row in self.rows),
            "rows": [_without_infinities(asdict(row)) for row in self.rows],
        }
        return json.dumps(document, indent=1, allow_nan=False)

    def to_table(self) -> Table:
        """A table for the terminal, with the summary below."""
        table = Table(caption=self.summary)
        for heading in ("system", "family", "case", "status", "worst error", "seconds", "reason"):
            justify: Literal["left", "right"] = "right" if heading in ("worst error", "seconds") else "left"
            table.add_column(heading, justify=justify, overflow="fold")
        for row in self.rows:
            table.add_row(
                *map(Text, (row.system, row.family, row.case)),
                Text(row.status, style=_COLOURS[row.status]),
                Text("" if row.error is None else f"{row.error:.1e}"),
                Text(f"{row.seconds:.2f}"),
                Text(row.reason),
            )
        return table


def _without_infinities(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_infinities(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_without_infinities(entry) for entry in value]
        case float() if math.isinf(value):
            return None
        case _:
            return value
