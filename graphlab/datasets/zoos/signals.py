"""Zoos of SIRENs: images of digits and sine waves as networks, fitted many at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from graphlab.datasets.zoos.architectures import SirenArchitecture
from graphlab.datasets.zoos.digits import SIDE, digits
from graphlab.datasets.zoos.making import Made, Tell, initial, seed_of
from graphlab.datasets.zoos.zoo import Stacks
from graphlab.nn.models.siren import pixel_grid, sirens

_TOLD_EVERY = 20


@dataclass(frozen=True)
class DigitsRecipe:
    """A SIREN for each image, each from an initialisation of its own.

    Network n is of image ``n % 1797``: what comes after the first 1,797 are further views of the same images, in the
    same part of the split. Facts: ``image``, ``view``, ``label``, ``split``, and ``psnr`` (in dB, of the parameters
    as they are kept).
    """

    kind: ClassVar[str] = "inr"
    layout: tuple[int, ...] = (2, 16, 16, 1)
    steps: int = 300
    lr: float = 2e-3
    seed: int = 0
    dtype: str = "float16"
    shard_units: int = 599

    def __post_init__(self) -> None:
        _check(self.layout, (2, 1), self.steps, self.lr, self.shard_units, self.dtype)

    @property
    def unit(self) -> int:
        return 1

    def make(self, units: range, tell: Tell | None = None) -> Made:
        images, labels, split = digits()
        numbers = torch.tensor(units)
        image = numbers % len(images)
        architecture = SirenArchitecture(self.layout)
        targets = images[image].flatten(1).unsqueeze(-1)
        start = initial(architecture, [seed_of(self.seed, number) for number in units])
        x = pixel_grid(SIDE, SIDE)
        tensors = fit_sirens(architecture, start, x, targets, self.steps, self.lr, tell=tell)
        error = _error(architecture, tensors, x, targets, self.dtype)
        facts = {
            "image": image,
            "view": numbers // len(images),
            "label": labels[image],
            "split": split[image],
            "psnr": -10 * error.log10(),
        }
        return Made([Stacks(architecture, tensors)], facts)


@dataclass(frozen=True)
class SinesRecipe:
    """A SIREN for each wave ``a sin(b x)`` on [-pi, pi), a and b uniform in (0, 10) (Navon et al., ICML 2023).

    Published: 2,000 points and at most 1,500 steps, until the error is below 1e-4. Here every network takes ``steps``
    steps on ``points`` points. Eight of ten networks are for training, one for validation, one for testing. Facts:
    ``amplitude``, ``frequency``, ``split``, and ``mse`` (of the parameters as they are kept).
    """

    kind: ClassVar[str] = "sine"
    layout: tuple[int, ...] = (1, 32, 32, 1)
    points: int = 128
    steps: int = 600
    lr: float = 1e-3
    weight_decay: float = 1e-4
    seed: int = 0
    dtype: str = "float16"
    shard_units: int = 500

    def __post_init__(self) -> None:
        _check(self.layout, (1, 1), self.steps, self.lr, self.shard_units, self.dtype)
        if self.points < 2 or self.weight_decay < 0:
            raise ValueError(f"expected 2 points or more and weight_decay >= 0, got {self.points}, {self.weight_decay}")

    @property
    def unit(self) -> int:
        return 1

    def make(self, units: range, tell: Tell | None = None) -> Made:
        seeds = [seed_of(self.seed, number) for number in units]
        drawn = torch.tensor(np.array([np.random.default_rng(seed).uniform(0, 10, 2) for seed in seeds])).float()
        amplitude, frequency = drawn.unbind(1)
        x = torch.linspace(-pi, pi, self.points + 1)[:-1].unsqueeze(1)
        targets = (amplitude.unsqueeze(1) * torch.sin(frequency.unsqueeze(1) * x.squeeze(1))).unsqueeze(-1)
        architecture = SirenArchitecture(self.layout)
        start = initial(architecture, seeds)
        tensors = fit_sirens(architecture, start, x, targets, self.steps, self.lr, self.weight_decay, tell)
        split = torch.tensor([(0, 0, 0, 0, 0, 0, 0, 0, 1, 2)[number % 10] for number in units])
        error = _error(architecture, tensors, x, targets, self.dtype)
        return Made(
            [Stacks(architecture, tensors)],
            {"amplitude": amplitude, "frequency": frequency, "split": split, "mse": error},
        )


def fit_sirens(
    architecture: SirenArchitecture,
    start: Mapping[str, Tensor],
    x: Tensor,
    targets: Tensor,
    steps: int,
    lr: float,
    weight_decay: float = 0.0,
    tell: Tell | None = None,
) -> dict[str, Tensor]:
    """Fit B networks to B signals in one optimisation.

    The sum of the networks' mean squared errors is minimised by Adam over the stacked parameters. Adam treats every
    number by itself, so each network is fitted as if it were alone.

    Args:
        architecture: Of all networks.
        start: The parameters to start from, ``[B, *shape]`` each.
        x: ``[P, n_0]``, where the signals are known.
        targets: ``[B, P, n_L]``.
        steps, lr, weight_decay: Of Adam.
        tell: If given, told how far it is.

    Returns:
        The fitted parameters.
    """
    tensors = {name: own.clone().requires_grad_() for name, own in start.items()}
    adam = torch.optim.Adam(tensors.values(), lr=lr, weight_decay=weight_decay, foreach=True)
    for step in range(steps):
        answers = sirens(tensors, x, architecture.w0, architecture.offset)
        loss = (answers - targets).square().mean(dim=(1, 2)).sum()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        if tell is not None and step % _TOLD_EVERY == 0:
            tell(step / steps)
    return {name: own.detach() for name, own in tensors.items()}


def _error(
    architecture: SirenArchitecture, tensors: Mapping[str, Tensor], x: Tensor, targets: Tensor, dtype: str
) -> Tensor:
    """``[B]``: mean squared errors of the parameters in the dtype that they are kept in."""
    kept = {name: own.to(getattr(torch, dtype)).to(own.dtype) for name, own in tensors.items()}
    return (sirens(kept, x, architecture.w0, architecture.offset) - targets).square().mean(dim=(1, 2))


def _check(layout: tuple[int, ...], ends: tuple[int, int], steps: int, lr: float, shard: int, dtype: str) -> None:
    if len(layout) < 2 or (layout[0], layout[-1]) != ends or min(layout) < 1:
        raise ValueError(f"expected a layout such as {[ends[0], 16, ends[1]]}, with these ends, got {list(layout)}")
    if steps < 1 or lr <= 0 or shard < 1:
        raise ValueError(f"expected steps >= 1, lr > 0 and shard_units >= 1, got {steps}, {lr}, {shard}")
    if dtype not in ("float16", "bfloat16", "float32"):
        raise ValueError(f"expected dtype float16, bfloat16 or float32, got {dtype!r}")
