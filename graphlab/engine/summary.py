"""Several runs as one row: mean, both standard deviations, and the tables made of such rows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from graphlab.checkpoint.strict_json import read_object
from graphlab.engine import folder as files
from graphlab.engine.errors import EngineError
from graphlab.engine.result import RunResult, read_result


@dataclass(frozen=True)
class Statistics:
    """One metric over several runs.

    Attributes:
        values: one for each run, in the order of the seeds.
        mean: of the values.
        std: unbiased (divided by n - 1); None for a single run.
        population_std: divided by n.
    """

    values: tuple[float, ...]
    mean: float
    std: float | None
    population_std: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Statistics:
        """The statistics of one or more numbers; NaN if one is."""
        if not all(map(math.isfinite, values)):
            return cls(tuple(values), math.nan, math.nan, math.nan)
        std = statistics.stdev(values) if len(values) > 1 else None
        return cls(tuple(values), statistics.fmean(values), std, statistics.pstdev(values))


@dataclass(frozen=True)
class Summary:
    """The runs of one experiment so far.

    Attributes:
        name: of the row in a table.
        config: what is in the folder's ``config.json``.
        runs: the finished ones, by seed.
        report: the metrics that the table shows.
        unfinished: seeds that have begun and not ended.
    """

    name: str
    config: dict[str, Any]
    runs: tuple[RunResult, ...]
    report: tuple[str, ...]
    unfinished: tuple[int, ...]

    def metrics(self) -> dict[str, Statistics]:
        """Every metric at the selected epoch, over the finished runs."""
        names = self.runs[0].selected if self.runs else {}
        return {name: Statistics.of([_number(run.selected[name]) for run in self.runs]) for name in names}

    def document(self) -> dict[str, Any]:
        """The summary as a JSON object."""
        return {
            "name": self.name,
            "report": list(self.report),
            "metrics": {name: asdict(value) for name, value in self.metrics().items()},
            "runs": [asdict(run) for run in self.runs],
            "unfinished": list(self.unfinished),
        }


def read_summary(folder: Path) -> Summary:
    """What a run folder holds.

    Raises:
        EngineError: it is no run folder.
        CheckpointError: a file in it is damaged.
    """
    if not (folder / files.CONFIG).is_file():
        raise EngineError(f"{folder} is no run folder: it has no {files.CONFIG}")
    config = read_object(folder / files.CONFIG, "run's configuration")
    numbers = (path.name.removeprefix("seed-") for path in folder.glob("seed-*") if path.is_dir())
    seeds = sorted(int(number) for number in numbers if number.isdecimal())
    ended = [seed for seed in seeds if (files.seed_folder(folder, seed) / files.RESULT).exists()]
    runs = tuple(read_result(files.seed_folder(folder, seed) / files.RESULT) for seed in ended)
    report = tuple(runs[0].report or runs[0].selected) if runs else ()
    return Summary(folder.name, config, runs, report, tuple(seed for seed in seeds if seed not in ended))


def markdown_table(rows: Sequence[Summary]) -> str:
    """A table of experiments: each figure as mean and unbiased deviation, those in unfinished rows marked partial."""
    headings, lines = table_cells(rows)
    ruled = ["---", *["---:"] * (len(headings) - 1)]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in [headings, ruled, *lines])


def table_cells(rows: Sequence[Summary]) -> tuple[list[str], list[list[str]]]:
    """The headings and the lines of a table of experiments."""
    names = list(dict.fromkeys(name for row in rows for name in row.report))
    headings = ["experiment", "runs", *(f"{name} (%)" if _is_share(name) else name for name in names)]
    lines = []
    for row in rows:
        metrics = row.metrics()
        runs = f"{len(row.runs)}" + (f" (+{len(row.unfinished)} partial)" if row.unfinished else "")
        figures = [shown(n, metrics[n].mean, metrics[n].std) if n in metrics else "" for n in names]
        seconds = f"{statistics.fmean(run.seconds for run in row.runs):.1f}" if row.runs else ""
        parameters = f"{row.runs[0].parameters:,}" if row.runs else ""
        lines.append([row.name, runs, *figures, seconds, parameters])
    return [*headings, "seconds a run", "parameters"], lines


def shown(name: str, mean: float, std: float | None) -> str:
    """A metric as tables show it: ``84.40 ± 0.50``; accuracies in per cent."""
    scale, digits = (100, 2) if _is_share(name) else (1, 4)
    return f"{scale * mean:.{digits}f}" + ("" if std is None else f" ± {scale * std:.{digits}f}")


def _is_share(name: str) -> bool:
    return name.endswith(("acc", "accuracy"))


def _number(value: float | None) -> float:
    return math.nan if value is None else value  # JSON has no NaN: it was written as null
