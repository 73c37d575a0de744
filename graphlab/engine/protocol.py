"""What is trained and how it is judged: the one class that a task writes.

A protocol says what an epoch of training is, what to evaluate, which epoch counts and when to stop. The engine
(:func:`graphlab.engine.train`) does the rest: seeds, device, precision, processes, several runs, checkpoints, logs,
tables. In full, for a module ``net`` and a dataclass of numbers::

    @dataclass(frozen=True)
    class Config:
        lr: float = 0.01
        epochs: int = 200

    class Regression(Protocol[Config]):
        selection = Selection("val_loss", "min", report=("test_loss",))

        def prepare(self):                                          # once, for all runs
            self.data = load()

        def setup(self, seed):                                      # once a run
            net = self.build_model(in_channels=3, out_channels=1)
            self.model, self.optimizer = self.fabric.setup(net, Adam(net.parameters(), lr=self.config.lr))
            self.stopping = [MaxEpochs(self.config.epochs)]

        def train_epoch(self):                                      # in training mode
            loss = mse_loss(self.model(self.data.x), self.data.y)
            self.step(loss)
            return {"train_loss": float(loss)}

        def evaluate(self):                                         # in evaluation mode, without gradients
            return {"val_loss": ..., "test_loss": ...}

Mini-batches come from a loader of PyG's that the protocol makes, through ``self.fabric.setup_dataloaders(loader)``: it
moves batches to the device and gives each process its share. A loader that samples around nodes takes its share itself,
with ``input_nodes=nodes[fabric.global_rank :: fabric.world_size]``, and goes through
``setup_dataloaders(loader, use_distributed_sampler=False)``.

Everything that a run changes is an attribute set in ``setup``; what has a ``state_dict`` is then saved and resumed
without a line of code (see :meth:`Protocol.state_dict`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from graphlab.engine.errors import EngineError
from graphlab.engine.rules import Selection, StoppingRule

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Config = TypeVar("Config")


class Protocol(ABC, Generic[Config]):
    """A published (or your own) way to train and judge a model. See the module's docstring for one in full.

    Attributes:
        config: the settings: a frozen dataclass whose fields are numbers, strings, booleans, None and tuples of these.
        build_model: makes a new module of the model chosen, from what the protocol knows of the data, such as
            ``build_model(in_channels=1433, out_channels=7)``. Its weights are drawn from torch's default generator.
        data_dir: where data sets lie, as told on the command line; None: wherever the data set looks by default.
        fabric: Lightning's, for device, precision and processes. ``fabric.device`` is where tensors go;
            ``fabric.setup(model, optimizer)`` and ``fabric.setup_dataloaders(loader)`` do it for you.
        model: set by ``setup``: what is trained, saved and handed back.
        optimizer: set by ``setup``: what :meth:`step` steps.
        stopping: set by ``setup``, anew for each run, since rules have a state. The first rule that says so ends it.
        schedule: set by ``setup``, or None. The engine steps it once after each epoch (with the metric that selects,
            if it waits for a plateau); a schedule that goes by batches is an attribute of another name that
            ``train_epoch`` steps.
        clip: the largest norm of all gradients together that :meth:`step` lets through; None: any.
        evaluate_every: ``evaluate`` runs after every so many epochs, and after the one that ends the run.
    """

    selection: ClassVar[Selection]

    model: nn.Module
    optimizer: torch.optim.Optimizer
    stopping: Sequence[StoppingRule] = ()
    schedule: LRScheduler | ReduceLROnPlateau | None = None
    clip: float | None = None
    evaluate_every: int = 1

    def __init__(
        self, config: Config, build_model: Callable[..., nn.Module], fabric: Fabric, data_dir: Path | None = None
    ) -> None:
        self.config = config
        self.build_model = build_model
        self.fabric = fabric
        self.data_dir = data_dir
        self.prepare()

    def prepare(self) -> None:
        """Load what all runs share, such as the data set. Called once."""

    @abstractmethod
    def setup(self, seed: int) -> None:
        """Make what belongs to one run: model, optimiser, stopping rules, random splits.

        torch's default generator, numpy's and Python's have just been seeded with ``seed``, the same on every process.
        A generator of your own is saved too if it is an attribute.
        """

    @abstractmethod
    def train_epoch(self) -> Mapping[str, float]:
        """Train for one epoch: whatever lies between two evaluations or checkpoints (a pass, a number of steps).

        ``model.train()`` has been called.

        Returns:
            What to log. With several processes, the mean over them is logged.
        """

    @abstractmethod
    def evaluate(self) -> Mapping[str, float]:
        """Judge the model; ``model.eval()`` and ``torch.no_grad()`` are in force.

        Returns:
            Metrics, among them those that select and stop. With several processes, those of the first count:
            evaluate on all data, or gather (``fabric.all_gather``).
        """

    def draw(self, folder: Path) -> None:
        """Write pictures of the model into the folder of the run that has just ended; by default none.

        The model has the weights of the selected epoch; evaluation mode and ``torch.no_grad()`` are in force.
        """

    def step(self, loss: Tensor) -> None:
        """One step of ``optimizer`` down the gradient of ``loss`` (a scalar), clipped by ``clip``."""
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        if self.clip is not None:
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.clip)
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on bit for bit: the state of each attribute that has one, generators included.

        Attributes with ``state_dict`` and ``load_state_dict`` (modules, optimisers, schedules), generators, and the
        stopping rules. A protocol that changes other attributes (a layer's number) adds them here and in
        ``load_state_dict``. Values are tensors, numbers, strings, None, and lists, tuples and dicts of these.
        """
        state = {name: _state(value) for name, value in vars(self).items() if _is_stateful(value)}
        return {**state, "stopping": [rule.state_dict() for rule in self.stopping]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state of :meth:`state_dict`, after ``setup`` with the same seed.

        Raises:
            EngineError: the state is of other attributes or stopping rules.
        """
        mine = {name: value for name, value in vars(self).items() if _is_stateful(value)}
        if {*mine, "stopping"} != set(state) or len(state["stopping"]) != len(self.stopping):
            raise EngineError(
                f"the checkpoint holds {', '.join(sorted(state))} and {len(state.get('stopping', []))} stopping rules; "
                f"the protocol has {', '.join(sorted({*mine, 'stopping'}))} and {len(self.stopping)}"
            )
        for name, value in mine.items():
            if isinstance(value, torch.Generator):
                value.set_state(state[name])
            else:
                value.load_state_dict(state[name])
        for rule, kept in zip(self.stopping, state["stopping"], strict=True):
            rule.load_state_dict(kept)


def _is_stateful(value: object) -> bool:
    has_state = hasattr(value, "state_dict") and hasattr(value, "load_state_dict")
    return isinstance(value, torch.Generator) or has_state


def _state(value: Any) -> Any:
    return value.get_state() if isinstance(value, torch.Generator) else value.state_dict()
