"""What all tasks on zoos share: loading, mini-batches, augmentation, the optimiser and how long it runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from graphlab.datasets.zoos import Zoo, load_zoo
from graphlab.datasets.zoos.architectures import siren_architecture
from graphlab.datasets.zoos.zoo import SPLITS, described
from graphlab.engine import MaxCPUTime, MaxEpochs, Protocol, StoppingRule
from graphlab.engine.warmup import linear_warmup
from graphlab.weightgraph import WeightGraphBatch
from graphlab.weightgraph.augment import dropout, gaussian_noise, rotate, scale, siren_negation, translate
from graphlab.weightgraph.mlp_weights import MLPWeights

Draw = Callable[[MLPWeights, torch.Generator], MLPWeights]

AUGMENTATIONS: dict[str, Draw] = {
    "translate": lambda x, own: translate(x, 0.25, own),
    "rotate": lambda x, own: rotate(x, 45.0, own),
    "noise": lambda x, own: gaussian_noise(x, 0.1, own),
    "dropout": lambda x, own: dropout(x, 0.01, own),
    "scale": lambda x, own: scale(x, 0.2, own),
    "negation": lambda x, own: siren_negation(x, 0.5, own),
    "permute": lambda x, own: x.permute(x.random_permutations(own)),
}
"""By name, with the strengths of neural_graphs, section 3; ``negation`` and ``permute`` leave the function as it is."""


@dataclass(frozen=True)
class NetworksConfig:
    """Settings of all tasks on zoos.

    Attributes:
        dataset: A zoo that :func:`~graphlab.datasets.zoos.load_zoo` finds: a name, or a folder.
        strict: Refuse a zoo of which any network is missing or damaged.
        views: Train on the first so many networks of each image (zoos that have the fact ``view``); 0: on all.
        augmentation: Names of :data:`AUGMENTATIONS`, applied to training networks in this order; SIRENs of one layout
            only.
        shuffle_labels: The control at chance: every training network gets the label of another one, drawn at random.
        lr, weight_decay: Of AdamW, with amsgrad.
        batch_size: Networks of a step.
        epochs: At most so many passes over the training networks.
        evaluate_every: So many passes between two evaluations.
        cpu_minutes: At most so many minutes of this process's time; None: any.
        warmup: Steps until the learning rate is reached.
        clip: The largest norm of the gradient.
    """

    dataset: str
    strict: bool = False
    views: int = 0
    augmentation: tuple[str, ...] = ()
    shuffle_labels: bool = False
    lr: float = 1e-3
    weight_decay: float = 5e-4
    batch_size: int = 64
    epochs: int = 100
    evaluate_every: int = 1
    cpu_minutes: float | None = None
    warmup: int = 100
    clip: float = 10.0

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.weight_decay < 0 or self.clip <= 0:
            raise ValueError(
                f"expected lr > 0, weight_decay >= 0 and clip > 0, got {self.lr}, {self.weight_decay}, {self.clip}"
            )
        if min(self.batch_size, self.epochs, self.evaluate_every) < 1 or min(self.warmup, self.views) < 0:
            raise ValueError(
                "expected batch_size, epochs and evaluate_every of 1 or more, warmup and views of 0 or more, got "
                f"{self.batch_size}, {self.epochs}, {self.evaluate_every}, {self.warmup}, {self.views}"
            )
        if self.cpu_minutes is not None and self.cpu_minutes <= 0:
            raise ValueError(f"expected cpu_minutes > 0, got {self.cpu_minutes}")
        if unknown := [name for name in self.augmentation if name not in AUGMENTATIONS]:
            raise ValueError(f"no augmentation {', '.join(unknown)}; there are {', '.join(AUGMENTATIONS)}")


Config = TypeVar("Config", bound=NetworksConfig)


class NetworkTask(Protocol[Config]):
    """A task on a zoo, divided into networks for training, validation and testing; the epoch is selected on validation.

    A subclass says what is wanted of a model (:attr:`out_channels`), what the labels are and what the loss is.

    Raises:
        DatasetError: if the zoo cannot be had.

    Warns:
        UserWarning: if networks of the zoo were skipped, with the list.
    """

    out_channels: int | None

    def load(self) -> Zoo:
        """The zoo."""
        return load_zoo(self.config.dataset, self.data_dir, self.config.strict)

    def labels(self, networks: Zoo) -> Tensor:
        """``[networks, ...]``: what is to be learned of each."""
        raise NotImplementedError

    def loss(self, answers: Tensor, labels: Tensor) -> Tensor:
        """A scalar: the mean loss of the networks."""
        raise NotImplementedError

    def prepare(self) -> None:
        zoo = self.load()
        if zoo.skipped:
            warnings.warn(f"{zoo.name}:{described(zoo.skipped)}", stacklevel=2)
        self.parts: dict[str, Zoo] = {name: zoo.split(name) for name in SPLITS}
        if self.config.views:
            train = self.parts["train"]
            self.parts["train"] = train[train.fact("view") < self.config.views]
        if self.config.augmentation:
            siren_architecture(self.parts["train"])

    def module(self) -> nn.Module:
        """The module to train."""
        return self.build_model(networks=self.parts["train"], out_channels=self.out_channels)

    def setup(self, seed: int) -> None:
        config, net = self.config, self.module()
        self.layout = getattr(net, "layout", "neural_graph")
        self.layout_options: Mapping[str, Any] = getattr(net, "layout_options", {})
        self.reads_activations = bool(getattr(net, "reads_activations", False))
        adamw = torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay, amsgrad=True)
        self.model, self.optimizer = self.fabric.setup(net, adamw)
        self.warmup = linear_warmup(self.optimizer, config.warmup)
        self.clip, self.evaluate_every = config.clip, config.evaluate_every
        self.draws = torch.Generator().manual_seed(seed)
        self.targets = {name: self.labels(part) for name, part in self.parts.items()}
        if config.shuffle_labels:
            order = torch.randperm(len(self.targets["train"]), generator=self.draws)
            self.targets["train"] = self.targets["train"][order]
        self.stopping: list[StoppingRule] = [MaxEpochs(config.epochs)]
        if config.cpu_minutes is not None:
            self.stopping.append(MaxCPUTime(60 * config.cpu_minutes))

    def batch(self, networks: Zoo, index: Tensor, augmentation: tuple[str, ...] = ()) -> WeightGraphBatch:
        """Networks as one graph, drawn as the model reads them."""
        if not augmentation:
            return networks.batch(index, self.layout, **self.layout_options).to(self.fabric.device)
        x = MLPWeights.of_stacked(networks[index].stacked())
        for name in augmentation:
            x = AUGMENTATIONS[name](x, self.draws)
        columns = {name: own.contiguous().unbind() for name, own in x.stacked().items()}
        wiring = networks[index].wirings(self.layout, **self.layout_options)[0]
        members = [{name: column[place] for name, column in columns.items()} for place in range(len(index))]
        return WeightGraphBatch([(wiring, own) for own in members]).to(self.fabric.device)

    def answers(self, networks: Zoo, index: Tensor, augmentation: tuple[str, ...] = ()) -> Any:
        """What the model gives for networks."""
        batch = self.batch(networks, index, augmentation)
        if not self.reads_activations:
            return self.model(batch)
        return self.model(batch, [own.activations for own in networks[index].each_architecture()])

    def chunks(self, networks: Zoo) -> Iterator[Tensor]:
        """Places of the networks in their order, ``batch_size`` at a time."""
        return iter(torch.arange(len(networks)).split(self.config.batch_size))  # type: ignore[no-untyped-call]

    def shuffled(self) -> Iterator[Tensor]:
        """Places of the training networks in a new order, in equal parts of at most ``batch_size``.

        Each process has its share.
        """
        order = torch.randperm(len(self.parts["train"]), generator=self.draws)
        share = order[self.fabric.global_rank :: self.fabric.world_size]
        return iter(share.tensor_split(-(-len(share) // self.config.batch_size)))

    def train_epoch(self) -> Mapping[str, float]:
        networks, total = self.parts["train"], 0.0
        count = 0
        for index in self.shuffled():
            loss = self.training_loss(networks, index)
            self.step(loss)
            self.warmup.step()
            total, count = total + loss.item() * len(index), count + len(index)
        return {"train_loss": total / count}

    def training_loss(self, networks: Zoo, index: Tensor) -> Tensor:
        """The loss of a step."""
        labels = self.targets["train"][index].to(self.fabric.device)
        return self.loss(self.answers(networks, index, self.config.augmentation), labels)

    def predict(self, name: str) -> Tensor:
        """``[networks, out_channels]`` of a part, on the processor."""
        networks = self.parts[name]
        return torch.cat([self.answers(networks, index).cpu() for index in self.chunks(networks)])
