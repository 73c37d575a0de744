"""Trains pairs of networks apart, aligns the second to the first, and measures the loss on the line between them.

    python -m benchmarks.align   # about three minutes on two cores

An MLP, a CNN with BatchNorm and a small ViT learn scikit-learn's digits twice each, from different seeds and with
batches in different orders. The second is aligned by weights, and by activations on 500 training digits. Losses and
accuracies are of held-out digits, on one torch thread. The CNN is measured twice: with BatchNorm's statistics
interpolated like everything else, and reset by a pass over the training digits at each point. Writes
``benchmarks/results/align.md`` and ``align.png``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from rich.console import Console
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from benchmarks.process import ROOT
from benchmarks.report import Section, machine, show, write
from graphlab.capture import capture
from graphlab.weightgraph import WeightGraph
from graphlab.weightgraph.activation_matching import align_activations
from graphlab.weightgraph.align import Alignment, align
from graphlab.weightgraph.barrier import Barriers, interpolation_barrier

RESULTS = ROOT / "benchmarks" / "results"
EPOCHS = 40
POINTS = 25
EXAMPLES = 500
State = dict[str, Tensor]


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )


def cnn() -> nn.Module:
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

    layers = [*block(1, 32), *block(32, 64), nn.MaxPool2d(2), *block(64, 64)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class ViT(nn.Module):
    """Two pre-norm blocks on 16 patches of 2 x 2 pixels."""

    def __init__(self, width: int = 48, heads: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 2, 2)
        self.positions = nn.Parameter(torch.randn(1, 16, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.patches(x).flatten(2).transpose(1, 2) + self.positions).mean(1))


@dataclass(frozen=True)
class Digits:
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor

    @classmethod
    def load(cls) -> Digits:
        images, labels = load_digits(return_X_y=True)
        split = train_test_split(images, labels, test_size=0.25, random_state=0, stratify=labels)
        train, test = (torch.tensor(part, dtype=torch.float32).view(-1, 1, 8, 8) / 16 for part in split[:2])
        return cls(train, torch.tensor(split[2]), test, torch.tensor(split[3]))


def trained(build: Callable[[], nn.Module], digits: Digits, seed: int) -> nn.Module:
    """A network trained by AdamW with a one-cycle schedule."""
    torch.manual_seed(seed)
    module = build()
    steps = EPOCHS * -(-len(digits.train) // 64)
    optimizer = torch.optim.AdamW(module.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(digits.train)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(module(digits.train[batch]), digits.train_labels[batch]).backward()
            optimizer.step()
            schedule.step()
    return module.eval()


class Evaluation:
    """What :func:`interpolation_barrier` calls: functions of a state dict."""

    def __init__(self, module: nn.Module, digits: Digits) -> None:
        self.module = module
        self.digits = digits

    @torch.no_grad()
    def loss(self, state: State) -> float:
        return float(F.cross_entropy(functional_call(self.module, state, self.digits.test), self.digits.test_labels))

    @torch.no_grad()
    def error(self, state: State) -> float:
        found = functional_call(self.module, state, self.digits.test).argmax(1)
        return float((found != self.digits.test_labels).float().mean())

    @torch.no_grad()
    def with_statistics(self, state: State) -> State:
        """The state with BatchNorm's running statistics those of the training digits."""
        norms = [module for module in self.module.modules() if isinstance(module, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        self.module.load_state_dict(state)
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        self.module.train()(self.digits.train)
        self.module.eval()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        return {name: tensor.clone() for name, tensor in self.module.state_dict().items()}


@dataclass(frozen=True)
class Row:
    name: str
    by: str
    parameters: int
    alignment: Alignment
    seconds: float
    loss: Barriers
    error: Barriers

    def cells(self) -> list[str]:
        loss, error = self.loss, self.error
        return [
            *(self.name, self.by, f"{self.parameters:,}", f"{self.seconds:.2f}"),
            f"{self.alignment.distance_before:.1f} -> {self.alignment.distance_after:.1f}",
            f"{100 * (1 - error.before.losses[0]):.1f}, {100 * (1 - error.before.losses[-1]):.1f}",
            *(f"{value:.3f}" for value in (loss.before.barrier, loss.after.barrier)),
            *(f"{100 * (1 - max(curve.losses)):.1f}" for curve in (error.before, error.after)),
        ]


HEADINGS = [
    *("networks", "matched by", "parameters", "align s", "distance", "accuracy of the ends %"),
    *("loss barrier before", "loss barrier after", "worst accuracy before %", "worst accuracy after %"),
]


def rows(name: str, build: Callable[[], nn.Module], digits: Digits) -> list[Row]:
    """Trains a pair and aligns it both ways; further rows have the statistics reset where there is BatchNorm."""
    modules = [trained(build, digits, seed) for seed in (0, 1)]
    a, b = (WeightGraph.from_module(module, (digits.test[:2],)) for module in modules)
    examples = (digits.train[:EXAMPLES],)
    program = capture(modules[0], examples)
    alignments = []
    for by, match in (
        ("weights", lambda: align(a, b)),
        ("activations", lambda: align_activations(a, b, program, examples)),
    ):
        start = time.perf_counter()
        alignments.append((by, match(), time.perf_counter() - start))
    evaluation = Evaluation(build().eval(), digits)
    found = []
    normed = any(isinstance(module, nn.BatchNorm2d) for module in evaluation.module.modules())
    for label, prepare in [(name, None), (f"{name}, statistics reset", evaluation.with_statistics)][: 1 + normed]:
        for by, alignment, seconds in alignments:
            loss, error = (
                interpolation_barrier(a, b, measure, POINTS, prepare, alignment.graph)
                for measure in (evaluation.loss, evaluation.error)
            )
            found.append(Row(label, by, a.num_parameters, alignment, seconds, loss, error))
    return found


def plot(found: list[Row]) -> None:
    names = list(dict.fromkeys(row.name for row in found))
    figure = Figure(figsize=(3.2 * len(names), 5.2), layout="constrained")
    axes = figure.subplots(2, len(names), sharex=True)
    for column, name in enumerate(names):
        rows_of = [row for row in found if row.name == name]
        curves = [("as trained", rows_of[0].loss.before, rows_of[0].error.before)]
        curves += [(f"aligned by {row.by}", row.loss.after, row.error.after) for row in rows_of]
        for label, loss, error in curves:
            axes[0, column].plot(loss.weights, loss.losses, label=label)
            axes[1, column].plot(error.weights, [100 * (1 - value) for value in error.losses], label=label)
        axes[0, column].set_title(name, fontsize=10)
        axes[1, column].set_xlabel("weight of the second network")
    axes[0, 0].set_ylabel("test loss")
    axes[1, 0].set_ylabel("test accuracy %")
    axes[0, 0].legend()
    figure.savefig(RESULTS / "align.png", dpi=110)


def main() -> None:
    torch.set_num_threads(1)
    about = machine()
    console = Console()
    digits = Digits.load()
    found = []
    for name, build in (("MLP", mlp), ("CNN with BatchNorm", cnn), ("ViT", ViT)):
        with console.status(f"{name}: training two, aligning, interpolating"):
            found += rows(name, build, digits)
    RESULTS.mkdir(parents=True, exist_ok=True)
    plot(found)
    sections: list[Section] = [("Between two networks", HEADINGS, [row.cells() for row in found])]
    show(console, sections)
    note = (
        "A *barrier* is the most that the test loss on the line between two networks is above the line between their "
        "losses. *Before*: as trained; *after*: the second aligned to the first. The curves are in `align.png`."
    )
    write(RESULTS / "align.md", "Aligning networks", "python -m benchmarks.align", about, note, sections)


if __name__ == "__main__":
    main()
