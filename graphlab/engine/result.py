"""How one run ended, and the file that says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from graphlab.checkpoint import CheckpointError
from graphlab.checkpoint.strict_json import read_object


@dataclass(frozen=True)
class RunResult:
    """How one run ended.

    Attributes:
        seed: it started from.
        epochs: how many it took.
        stopped_by: the stopping rule that ended it.
        selected_epoch: the epoch that counts.
        selected: every metric at that epoch.
        seconds: spent in training and evaluation, interruptions not counted.
        parameters: how many the model has.
        report: the metrics that make the results table; empty: all.
    """

    seed: int
    epochs: int
    stopped_by: str
    selected_epoch: int
    selected: dict[str, float]
    seconds: float
    parameters: int
    report: tuple[str, ...]


def read_result(path: Path) -> RunResult:
    """A finished run's result.

    Raises:
        CheckpointError: the file is damaged.
    """
    document = read_object(path, "result of a run")
    try:
        return RunResult(**{**document, "report": tuple(document["report"])})
    except (TypeError, KeyError) as error:
        raise CheckpointError(path, f"not the result of a run: {error}") from error
