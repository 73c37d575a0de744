"""Zoos of convolutional classifiers of many architectures, sampled as for the CNN Wild Park and trained on digits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import functional

from graphlab.datasets.zoos.architectures import Architecture, CNNArchitecture
from graphlab.datasets.zoos.digits import digits
from graphlab.datasets.zoos.making import Made, Tell, initial, seed_of
from graphlab.datasets.zoos.zoo import Stacks

_TRAINING_IMAGES = 1200
_CLASSES = 10


@dataclass(frozen=True)
class CNNRecipe:
    """Networks sampled from the space of the CNN Wild Park, each kept at several steps of its training.

    A unit is one architecture: ``networks`` of it are trained at once, each from its own initialisation, with its own
    learning rate (log-uniform in ``lr``) and its own order of the images: 1,200 digits for training, 597 for the test
    accuracy, all shifted and scaled to mean 0 and deviation 1. Kernels, channels, activations and residuals are drawn
    for each layer as in the specification of neural_graphs, 3; the defaults are its sizes.

    Of ten units seven are for training, one for validation and two for testing; a unit that drew the architecture of an
    earlier one goes with it, so no architecture, network or trajectory is on two sides. Facts: ``architecture`` (the
    unit), ``network``, ``step``, ``lr``, ``split``, ``train_accuracy``, ``test_accuracy``, ``test_loss`` (of the
    parameters as they are kept).
    """

    kind: ClassVar[str] = "cnn"
    depth: tuple[int, ...] = (2, 3, 4, 5)
    channels: tuple[int, ...] = (4, 8, 16, 32)
    kernels: tuple[int, ...] = (3, 5, 7)
    activations: tuple[str, ...] = ("relu", "gelu", "tanh", "sigmoid", "leaky_relu")
    networks: int = 4
    checkpoints: tuple[int, ...] = (40, 120, 400)
    lr: tuple[float, ...] = (3e-3, 3e-2)
    batch_size: int = 16
    seed: int = 0
    dtype: str = "float16"
    shard_units: int = 16

    def __post_init__(self) -> None:
        for name, least in (("depth", 1), ("channels", 1), ("kernels", 1), ("checkpoints", 0)):
            if not getattr(self, name) or min(getattr(self, name)) < least:
                raise ValueError(f"{name}: expected one number or more, none below {least}, got {getattr(self, name)}")
        if any(kernel % 2 == 0 for kernel in self.kernels) or list(self.checkpoints) != sorted(set(self.checkpoints)):
            raise ValueError(f"expected odd kernels and rising checkpoints, got {self.kernels}, {self.checkpoints}")
        if len(self.lr) != 2 or not 0 < self.lr[0] <= self.lr[1]:
            raise ValueError(f"lr: expected the least and the largest, both above 0, got {self.lr}")
        if min(self.networks, self.batch_size, self.shard_units) < 1 or not self.activations:
            raise ValueError("expected networks, batch_size and shard_units of 1 or more, and an activation")
        if self.dtype not in ("float16", "bfloat16", "float32"):
            raise ValueError(f"expected dtype float16, bfloat16 or float32, got {self.dtype!r}")
        self.sample(0).module()

    @property
    def unit(self) -> int:
        return self.networks * len(self.checkpoints)

    def sample(self, unit: int) -> CNNArchitecture:
        """The architecture of a unit: one draw from the space."""
        draw = np.random.default_rng(seed_of(self.seed, unit))
        depth = int(draw.choice(self.depth))
        # An earlier layer but the one directly before, whose output the convolution reads anyway; or none.
        origins = [int(draw.choice([-1, *range(layer - 1)])) for layer in range(depth)]
        return CNNArchitecture(
            channels=(1, *(int(draw.choice(self.channels)) for _ in range(depth))),
            kernel_size=tuple(int(draw.choice(self.kernels)) for _ in range(depth)),
            num_classes=_CLASSES,
            residual=tuple(origins),
            activation=tuple(str(draw.choice(self.activations)) for _ in range(depth)),
        )

    def make(self, units: range, tell: Tell | None = None) -> Made:
        stacks, facts = [], []
        for done, unit in enumerate(units):
            own, known = self._train(unit)
            stacks.append(own)
            facts.append(known)
            if tell is not None:
                tell((done + 1) / len(units))
        merged = _merged(stacks, facts)
        return Made(
            [own for own, _ in merged], {name: torch.cat([own[name] for _, own in merged]) for name in facts[0]}
        )

    def _train(self, unit: int) -> tuple[Stacks, dict[str, Tensor]]:
        """All networks of a unit at all checkpoints, checkpoint by checkpoint."""
        architecture = self.sample(unit)
        first = next(other for other in range(unit + 1) if self.sample(other) == architecture)
        seeds = [seed_of(self.seed, unit, network) for network in range(self.networks)]
        low, high = np.log(self.lr)
        rates = torch.tensor([float(np.exp(np.random.default_rng(seed).uniform(low, high))) for seed in seeds])
        trained = train_stacked(
            architecture, initial(architecture, seeds), rates, seeds, self.checkpoints, self.batch_size
        )
        dtype, count = getattr(torch, self.dtype), len(self.checkpoints)
        kept = [{name: own.to(dtype).float() for name, own in tensors.items()} for tensors in trained]
        judged = [judge(architecture, tensors) for tensors in kept]
        facts = {
            "architecture": torch.full((self.unit,), unit),
            "network": (unit * self.networks + torch.arange(self.networks)).repeat(count),
            "step": torch.tensor(self.checkpoints).repeat_interleave(self.networks),
            "lr": rates.repeat(count),
            "split": torch.full((self.unit,), (0, 0, 0, 0, 0, 0, 0, 1, 2, 2)[first % 10]),
            **{name: torch.cat([own[name] for own in judged]) for name in judged[0]},
        }
        return Stacks(architecture, {name: torch.cat([own[name] for own in kept]) for name in kept[0]}), facts


def train_stacked(
    architecture: CNNArchitecture,
    start: Mapping[str, Tensor],
    rates: Tensor,
    seeds: list[int],
    checkpoints: tuple[int, ...],
    batch_size: int,
) -> list[dict[str, Tensor]]:
    """Train B networks of one architecture at once, each with its own learning rate and order of images.

    Parameters are ``start + rates * moved`` and Adam moves ``moved`` with rate 1. Its steps do not depend on the scale
    of the gradient, so this is Adam with a rate for each network.

    Args:
        architecture: Of all networks.
        start: ``[B, *shape]`` by name.
        rates: ``[B]``.
        seeds: Of the orders, one a network.
        checkpoints: Steps after which the parameters are kept, rising.
        batch_size: Images of a step.

    Returns:
        The parameters at each checkpoint.
    """
    images, labels = _images()
    module = architecture.module()
    forward = vmap(lambda tensors, x: functional_call(module, tensors, (x,)))
    moved = {name: torch.zeros_like(own).requires_grad_() for name, own in start.items()}
    scales = {name: rates.view(-1, *[1] * (own.dim() - 1)) for name, own in start.items()}
    adam = torch.optim.Adam(moved.values(), lr=1.0, foreach=True)
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    kept = []
    for step in range(checkpoints[-1] + 1):
        tensors = {name: torch.addcmul(own, scales[name], moved[name]) for name, own in start.items()}
        if step in checkpoints:
            kept.append({name: own.detach() for name, own in tensors.items()})
        if step == checkpoints[-1]:
            break
        chosen = torch.stack([torch.randint(_TRAINING_IMAGES, (batch_size,), generator=own) for own in draws])
        scores = forward(tensors, images[chosen])
        loss = functional.cross_entropy(scores.flatten(0, 1), labels[chosen].flatten(), reduction="sum") / batch_size
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    return kept


@torch.no_grad()
def judge(architecture: CNNArchitecture, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``[B]`` each: accuracy on the training images, accuracy and loss on the others."""
    images, labels = _images()
    module = architecture.module()
    forward = vmap(lambda own, x: functional_call(module, own, (x,)), in_dims=(0, None))
    scores = torch.cat([forward(dict(tensors), part) for part in torch.split(images, 600)], dim=1)
    right = (scores.argmax(-1) == labels).float()
    tested = scores[:, _TRAINING_IMAGES:].transpose(1, 2)
    losses = functional.cross_entropy(tested, labels[_TRAINING_IMAGES:].expand(len(tested), -1), reduction="none")
    return {
        "train_accuracy": right[:, :_TRAINING_IMAGES].mean(1),
        "test_accuracy": right[:, _TRAINING_IMAGES:].mean(1),
        "test_loss": losses.mean(1),
    }


def _images() -> tuple[Tensor, Tensor]:
    """``[1797, 1, 8, 8]`` of mean 0 and deviation 1, and labels."""
    images, labels, _ = digits()
    return ((images - images.mean()) / images.std()).unsqueeze(1), labels


def _merged(stacks: list[Stacks], facts: list[dict[str, Tensor]]) -> list[tuple[Stacks, dict[str, Tensor]]]:
    """Units that drew the same architecture as one."""
    found: dict[Architecture, list[int]] = {}
    for place, own in enumerate(stacks):
        found.setdefault(own.architecture, []).append(place)
    merged = []
    for architecture, places in found.items():
        names = stacks[places[0]].tensors
        tensors = {name: torch.cat([stacks[place].tensors[name] for place in places]) for name in names}
        columns = {name: torch.cat([facts[place][name] for place in places]) for name in facts[0]}
        merged.append((Stacks(architecture, tensors), columns))
    return merged
