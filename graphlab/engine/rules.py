"""Which epoch of a run counts, and when the run ends."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from graphlab.engine.errors import EngineError

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Selection:
    """The epoch whose figures are reported: the first at which ``metric`` is better than at every epoch before.

    Attributes:
        metric: a name that ``evaluate()`` returns.
        mode: ``min`` or ``max``; only a strict improvement counts.
        report: the metrics at that epoch which make the results table; all of them if empty.
    """

    metric: str
    mode: Literal["min", "max"]
    report: tuple[str, ...] = ()

    def improves(self, value: float, best: float | None) -> bool:
        """Whether ``value`` is strictly better than ``best`` (None: there is none yet)."""
        if best is None:
            return True
        return value < best if self.mode == "min" else value > best


class StoppingRule(Protocol):
    """Ends a run. It is asked once after every evaluation, and its state is saved with the run.

    A dataclass whose fields are numbers, strings and lists of these needs only ``stops``: see :class:`Rule`.
    """

    def stops(self, epoch: int, metrics: Metrics) -> bool:
        """Whether the run ends after this epoch (the first is 1), given what ``evaluate()`` said."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Rule:
    """For stopping rules that are dataclasses: the state is all fields."""

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


@dataclass
class MaxEpochs(Rule):
    """Stops after ``epochs`` epochs."""

    epochs: int

    def stops(self, epoch: int, metrics: Metrics) -> bool:  # noqa: ARG002
        return epoch >= self.epochs


@dataclass
class MaxCPUTime(Rule):
    """Stops after the first evaluation at which this process has computed for ``seconds``, interruptions not counted.

    How many epochs that are depends on the machine: it is for comparing methods at the same cost.
    """

    seconds: float
    spent: float = 0.0

    def __post_init__(self) -> None:
        self.since = time.process_time()

    def stops(self, epoch: int, metrics: Metrics) -> bool:  # noqa: ARG002
        now = time.process_time()
        self.spent, self.since = self.spent + now - self.since, now
        return self.spent >= self.seconds


@dataclass
class Patience(Rule):
    """Stops when ``metric`` has not become strictly better in ``patience`` evaluations in a row."""

    metric: str
    patience: int
    mode: Literal["min", "max"] = "min"
    best: float | None = None
    waited: int = 0

    def stops(self, epoch: int, metrics: Metrics) -> bool:  # noqa: ARG002
        value = value_of(metrics, self.metric)
        if Selection(self.metric, self.mode).improves(value, self.best):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return self.waited >= self.patience


@dataclass
class WindowMean(Rule):
    """Stops after an epoch beyond ``after_epoch`` whose ``metric`` exceeds the mean of the ``window`` values before it.

    The present value is not part of the mean; a shorter history counts as far as it goes. DAGNN's rule is
    ``WindowMean("val_loss", window=100, after_epoch=epochs // 2)``: never before epoch ``epochs // 2 + 1``.
    """

    metric: str
    window: int
    after_epoch: int
    history: list[float] = field(default_factory=list)

    def stops(self, epoch: int, metrics: Metrics) -> bool:
        value = value_of(metrics, self.metric)
        before, self.history = self.history, [*self.history, value][-self.window :]
        return epoch > self.after_epoch and bool(before) and value > math.fsum(before) / len(before)


def value_of(metrics: Metrics, name: str) -> float:
    """The metric of that name.

    Raises:
        EngineError: there is none, or it is NaN: a run that goes by it can neither select nor stop.
    """
    if name not in metrics:
        raise EngineError(f"evaluate() returned no {name!r}; it returned {', '.join(metrics) or 'nothing'}")
    if math.isnan(metrics[name]):
        raise EngineError(f"{name} is NaN: the run has diverged, or the data holds NaN")
    return metrics[name]


def first_to_stop(rules: Sequence[StoppingRule], epoch: int, metrics: Metrics) -> str | None:
    """The name of the first rule that ends the run; every rule is asked, so that each sees every epoch."""
    stopped = [type(rule).__name__ for rule in rules if rule.stops(epoch, metrics)]
    return stopped[0] if stopped else None
