"""A small protocol and model of its own: a line through noise, with dropout, a schedule and mini-batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from graphlab import checkpoint
from graphlab.engine import MaxEpochs, Patience, Protocol, Selection, Summary, model, protocol, registry
from graphlab.engine.folder import read_log
from graphlab.nn.pretrained import Pretrained
from graphlab.weightgraph import equal_bytes


@dataclass(frozen=True)
class Options:
    hidden: int = 8
    dropout: float = 0.1


@model("toy-mlp", protocol="toy-regression", options=Options)
def mlp(options: Options, in_channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(in_channels, options.hidden),
        nn.ReLU(),
        nn.Dropout(options.dropout),
        nn.Linear(options.hidden, 1),
    )


class Net(Pretrained):
    def __init__(self, in_channels: int, hidden: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(in_channels, hidden), nn.Linear(hidden, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x).relu())


@model("toy-pretrained", protocol="toy-regression", options=Options)
def net(options: Options, in_channels: int) -> Net:
    return Net(in_channels, options.hidden)


@dataclass(frozen=True)
class Config:
    dataset: str = "line"
    lr: float = 0.01
    epochs: int = 6
    patience: int = 50
    clip: float | None = 1.0


@protocol("toy-regression", Config)
class Regression(Protocol[Config]):
    selection = Selection("val_loss", "min", report=("val_loss", "test_accuracy"))

    def prepare(self) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(96, 3, generator=generator)
        y = x.sum(1, keepdim=True) + 0.1 * torch.randn(96, 1, generator=generator)
        self.x, self.y = x[64:], y[64:]
        self.data = TensorDataset(x[:64], y[:64])

    def setup(self, seed: int) -> None:
        net = self.build_model(in_channels=3)
        self.model, self.optimizer = self.fabric.setup(net, torch.optim.Adam(net.parameters(), lr=self.config.lr))
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, 3)
        self.clip = self.config.clip
        self.order = torch.Generator().manual_seed(seed)
        self.loader = self.fabric.setup_dataloaders(DataLoader(self.data, 16, shuffle=True, generator=self.order))
        self.stopping = [MaxEpochs(self.config.epochs), Patience("val_loss", self.config.patience)]

    def train_epoch(self) -> dict[str, float]:
        losses = []
        for x, y in self.loader:
            noise = float(np.random.randn()) * 1e-3
            loss = nn.functional.mse_loss(self.model(x + noise), y)
            self.step(loss)
            losses.append(float(loss.detach()))
        return {"train_loss": sum(losses) / len(losses)}

    def evaluate(self) -> dict[str, float]:
        error = self.model(self.x) - self.y
        return {"val_loss": float(error.square().mean()), "test_accuracy": float((error.abs() < 0.5).float().mean())}


@contextmanager
def registered(cls: type[Regression]) -> Iterator[None]:
    """That protocol in the place of :class:`Regression`."""
    before = registry._PROTOCOLS["toy-regression"]
    registry._PROTOCOLS["toy-regression"] = replace(before, protocol=cls)
    try:
        yield
    finally:
        registry._PROTOCOLS["toy-regression"] = before


def assert_same_runs(first: Path, second: Path, expected: Summary, got: Summary) -> None:
    """Two folders hold the same runs: figures, logs and weights, bit for bit, times excepted."""
    for a, b in zip(expected.runs, got.runs, strict=True):
        assert replace(a, seconds=0) == replace(b, seconds=0)
        logs = [read_log(folder / f"seed-{a.seed}" / "log.jsonl") for folder in (first, second)]
        without_times = [[{**line, "seconds": 0} for line in log] for log in logs]
        assert without_times[0] == without_times[1]
        weights = [checkpoint.open(folder / f"seed-{a.seed}" / "model.safetensors") for folder in (first, second)]
        assert equal_bytes(dict(weights[0]), dict(weights[1]))
