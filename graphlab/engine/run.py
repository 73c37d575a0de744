"""One run: one seed, from the first epoch, or from where it was interrupted, to the last."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from graphlab import checkpoint
from graphlab.engine import folder as files
from graphlab.engine.errors import EngineError
from graphlab.engine.protocol import Protocol
from graphlab.engine.result import RunResult, read_result
from graphlab.engine.rules import MaxEpochs, first_to_stop, value_of
from graphlab.engine.seeding import generator_states, seed_all, set_generator_states
from graphlab.engine.state import read_state, write_state
from graphlab.nn.pretrained import Pretrained, save_config

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch.utils.tensorboard import SummaryWriter

_WRITING_AT_MOST = 20  # one part in so many of the time goes into checkpoints
_SAMPLER_EPOCH = (
    "_num_iter_calls"  # Fabric's loaders count their passes to shuffle each differently, and do not save it
)


@dataclass
class _Progress:
    """How far a run is: everything that the engine itself, not the protocol, has to remember."""

    epoch: int = 0
    seconds: float = 0.0
    best: float | None = None
    selected_epoch: int = 0
    selected: dict[str, float] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)


Tell = Callable[[int, int, int | None, Mapping[str, float]], None]
"""Called after every epoch with the seed, the epoch, the last epoch if it is known, and what was measured."""


@dataclass(frozen=True)
class Means:
    """What a run is given besides its protocol and seed.

    Attributes:
        save_every: seconds between checkpoints, more where one takes over a twentieth of that to write; 0: after every
            epoch.
        deadline: the value of ``time.monotonic()`` at which to stop with a checkpoint; None: never.
        tensorboard: whether to write event files.
        tell: told of every epoch.
    """

    save_every: float = 10.0
    deadline: float | None = None
    tensorboard: bool = False
    tell: Tell | None = None


def run_seed(protocol: Protocol[Any], seed: int, folder: Path, means: Means) -> RunResult | None:
    """Run one seed to its end, or to the deadline.

    A run that has ended is not repeated; one that was interrupted goes on from its last checkpoint, and on a CPU ends
    bit for bit as if it had not been interrupted.

    Returns:
        How it ended; None if the deadline came first.

    Raises:
        EngineError: the metric that selects or stops is missing or NaN, or the checkpoint is not of this protocol.
        CheckpointError: the checkpoint or the result is damaged.
    """
    if protocol.fabric.broadcast((folder / files.RESULT).exists()):
        return read_result(folder / files.RESULT)
    if _is_past(means.deadline, protocol):
        return None
    with ExitStack() as open_files:
        run = _Run(protocol, seed, folder, means, open_files)
        return run.to_the_end()


class _Run:
    def __init__(self, protocol: Protocol[Any], seed: int, folder: Path, means: Means, open_files: ExitStack) -> None:
        self.protocol, self.seed, self.folder, self.means = protocol, seed, folder, means
        self.fabric = protocol.fabric
        self.is_first = self.fabric.global_rank == 0
        self.progress = _Progress()
        seed_all(seed)
        try:
            protocol.setup(seed)
        except ValueError as error:
            raise EngineError(f"{folder.parent.name}: {error}") from error
        if not self.is_first:
            seed_all(seed, self.fabric.global_rank)
        if self.is_first:
            folder.mkdir(exist_ok=True)
        if self.fabric.broadcast((folder / files.STATE).exists()):
            self._resume()
        self.saved, self.wait = time.monotonic(), means.save_every
        if self.is_first:
            files.cut_log(folder / files.LOG, self.progress.epoch)
            self.log = open_files.enter_context((folder / files.LOG).open("a", encoding="utf-8"))
            self.board = _board(folder / "tensorboard", self.progress.epoch) if means.tensorboard else None
            if self.board is not None:
                open_files.callback(self.board.close)

    def to_the_end(self) -> RunResult | None:
        while True:
            stopped_by = self._epoch()
            if stopped_by is not None:
                return self._finish(stopped_by)
            if _is_past(self.means.deadline, self.protocol):
                self._save()
                return None
            if self.fabric.broadcast(time.monotonic() - self.saved >= self.wait):
                self._save()

    def _epoch(self) -> str | None:
        """Train and evaluate once; return the name of the rule that ends the run here."""
        protocol, progress = self.protocol, self.progress
        start = time.perf_counter()
        progress.epoch += 1
        protocol.model.train()
        metrics = {name: float(value) for name, value in protocol.train_epoch().items()}
        if self.fabric.world_size > 1:
            metrics = dict(zip(metrics, _mean_over_processes(self.fabric, list(metrics.values())), strict=True))
        last = _last_epoch(protocol)
        stopped_by = None
        if progress.epoch % protocol.evaluate_every == 0 or progress.epoch == last:
            evaluated = self._evaluate()
            stopped_by = first_to_stop(protocol.stopping, progress.epoch, evaluated)
            metrics |= evaluated
        if protocol.schedule is not None:
            metrics["lr"] = float(protocol.schedule.get_last_lr()[0])
            if not isinstance(protocol.schedule, ReduceLROnPlateau):
                protocol.schedule.step()
            elif protocol.selection.metric in metrics:
                protocol.schedule.step(metrics[protocol.selection.metric])
        seconds = time.perf_counter() - start
        progress.seconds += seconds
        if self.is_first:
            self._write(metrics, seconds)
            if self.means.tell is not None:
                self.means.tell(self.seed, progress.epoch, last, metrics)
        return stopped_by

    def _evaluate(self) -> dict[str, float]:
        protocol, progress = self.protocol, self.progress
        protocol.model.eval()
        with torch.no_grad():
            metrics = {name: float(value) for name, value in protocol.evaluate().items()}
        metrics = self.fabric.broadcast(metrics)
        selection = protocol.selection
        value = value_of(metrics, selection.metric)
        if selection.improves(value, progress.best):
            progress.best, progress.selected_epoch, progress.selected = value, progress.epoch, metrics
            progress.weights = {k: v.detach().cpu().clone() for k, v in protocol.model.state_dict().items()}
        return metrics

    def _write(self, metrics: Mapping[str, float], seconds: float) -> None:
        epoch = self.progress.epoch
        line = {"epoch": epoch, "seconds": round(seconds, 6), **metrics}
        self.log.write(json.dumps(files.finite(line), allow_nan=False) + "\n")
        self.log.flush()
        if self.board is not None:
            for name, value in metrics.items():
                self.board.add_scalar(name, value, epoch)

    def _save(self) -> None:
        start = time.monotonic()
        states: list[Any] = [generator_states()]
        if self.fabric.world_size > 1:
            states = [None] * self.fabric.world_size
            torch.distributed.all_gather_object(states, generator_states())
        if self.is_first:
            state = {
                "progress": vars(self.progress),
                "protocol": self.protocol.state_dict(),
                "precision": self.fabric.strategy.precision.state_dict(),  # the scale of 16-mixed
                "generators": states,
                "passes": {name: vars(loader)[_SAMPLER_EPOCH] for name, loader in self._loaders().items()},
            }
            write_state(state, self.folder / files.STATE)
        self.fabric.barrier()
        self.saved = time.monotonic()
        if self.wait:
            self.wait = max(self.means.save_every, _WRITING_AT_MOST * (self.saved - start))

    def _resume(self) -> None:
        path = self.folder / files.STATE
        state = read_state(path)
        try:
            self.protocol.load_state_dict(state["protocol"])
            self.fabric.strategy.precision.load_state_dict(state["precision"])
            for name, loader in self._loaders().items():
                vars(loader)[_SAMPLER_EPOCH] = state["passes"][name]
            self.progress = _Progress(**state["progress"])
            set_generator_states(state["generators"][self.fabric.global_rank])
        except (EngineError, ValueError, RuntimeError, KeyError, TypeError, IndexError) as error:
            raise EngineError(f"{path} does not fit the protocol: {error}") from error

    def _loaders(self) -> dict[str, Any]:
        attributes = vars(self.protocol).items()
        return {name: value for name, value in attributes if _SAMPLER_EPOCH in getattr(value, "__dict__", ())}

    def _finish(self, stopped_by: str) -> RunResult:
        progress = self.progress
        result = RunResult(
            seed=self.seed,
            epochs=progress.epoch,
            stopped_by=stopped_by,
            selected_epoch=progress.selected_epoch,
            selected=progress.selected,
            seconds=round(progress.seconds, 3),
            parameters=sum(p.numel() for p in self.protocol.model.parameters()),
            report=self.protocol.selection.report,
        )
        if self.is_first:
            checkpoint.save(progress.weights, self.folder / files.WEIGHTS, {"format": "pt"})
            model = getattr(self.protocol.model, "module", self.protocol.model)  # Fabric wraps it
            if isinstance(model, Pretrained):
                save_config(model, self.folder)
            self.protocol.model.load_state_dict(progress.weights)
            self.protocol.model.eval()
            with torch.no_grad():
                self.protocol.draw(self.folder)
            files.write_json(self.folder / files.RESULT, asdict(result))
            (self.folder / files.STATE).unlink(missing_ok=True)
        self.fabric.barrier()
        return result


def _last_epoch(protocol: Protocol[Any]) -> int | None:
    return min((rule.epochs for rule in protocol.stopping if isinstance(rule, MaxEpochs)), default=None)


def _is_past(deadline: float | None, protocol: Protocol[Any]) -> bool:
    return deadline is not None and bool(protocol.fabric.broadcast(time.monotonic() >= deadline))


def _mean_over_processes(fabric: Fabric, values: list[float]) -> list[float]:
    total = torch.tensor(values, dtype=torch.float64, device=fabric.device)
    torch.distributed.all_reduce(total)
    return (total / fabric.world_size).tolist()


def _board(folder: Path, epoch: int) -> SummaryWriter:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise EngineError("TensorBoard is not installed: pip install 'graphlab-torch[tensorboard]'") from error
    return SummaryWriter(str(folder), purge_step=epoch + 1)
