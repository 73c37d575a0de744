"""Changing the image that a network is by changing its parameters (Zhou et al., 2023; Kofinas et al., ICLR 2024)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from graphlab.datasets.zoos import Zoo
from graphlab.datasets.zoos.architectures import siren_architecture
from graphlab.engine import Selection, protocol
from graphlab.nn.models.siren import pixel_grid, sirens
from graphlab.protocols.networks.base import NetworksConfig, NetworkTask
from graphlab.protocols.networks.pictures import draw_images
from graphlab.weightgraph import WeightGraphBatch

_SHOWN = 8


def dilate(images: Tensor) -> Tensor:
    """``[B, height, width]``: the largest value in the 3 x 3 pixels around each."""
    return functional.max_pool2d(images.unsqueeze(1), 3, stride=1, padding=1).squeeze(1)


def contrast(images: Tensor) -> Tensor:
    """``[B, height, width]``: differences from 1/2 doubled, cut to [0, 1]."""
    return (2 * images - 0.5).clamp(0, 1)


EDITS: dict[str, Callable[[Tensor], Tensor]] = {"dilate": dilate, "contrast": contrast}
"""By name. Dilation is as published for MNIST; for contrast CIFAR's CLAHE is published, and this is ours."""


@dataclass(frozen=True)
class INREditingConfig(NetworksConfig):
    """Settings of :class:`INREditing`.

    Attributes:
        edit: One of :data:`EDITS`.
        pixels: Of a row and of a column of the images that are compared; MNIST's have 28.
    """

    dataset: str = "digits-inr"
    edit: Literal["dilate", "contrast"] = "dilate"
    pixels: int = 8
    clip: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pixels < 2:
            raise ValueError(f"expected images of 2 pixels or more, got {self.pixels}")


@protocol("inr-editing", config=INREditingConfig)
class INREditing(NetworkTask[INREditingConfig]):
    """The mean squared error between what the edited network shows and the edited image.

    The target is made of what the network itself shows, cut to [0, 1]: a zoo does not hold the images. Reports the test
    error at the best validation error, beside that of leaving every network as it is (``test_unedited``). The picture
    ``edited.png`` shows input, result and target of some test networks.
    """

    selection: ClassVar[Selection] = Selection("val_mse", "min", report=("test_mse", "val_mse", "test_unedited"))
    out_channels = None

    def prepare(self) -> None:
        super().prepare()
        self.architecture = siren_architecture(self.parts["train"])
        if (self.architecture.num_inputs, self.architecture.num_outputs) != (2, 1):
            raise ValueError(f"expected images, SIRENs from 2 to 1, got the layout {self.architecture.layout}")
        self.grid = pixel_grid(self.config.pixels, self.config.pixels).to(self.fabric.device)

    def show(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """``[B, pixels, pixels]``: the images of stacked networks."""
        shown = sirens(tensors, self.grid, self.architecture.w0, self.architecture.offset)
        return shown.view(-1, self.config.pixels, self.config.pixels)

    def labels(self, networks: Zoo) -> Tensor:
        with torch.no_grad():
            return EDITS[self.config.edit](self.show(networks.to(self.fabric.device).stacked()).clamp(0, 1)).cpu()

    def loss(self, answers: Tensor, labels: Tensor) -> Tensor:
        return functional.mse_loss(answers, labels)

    def answers(self, networks: Zoo, index: Tensor, augmentation: tuple[str, ...] = ()) -> Tensor:
        """``[B, pixels, pixels]``: the images of the edited networks."""
        edited: WeightGraphBatch = super().answers(networks, index, augmentation)
        states = edited.state_dicts()
        return self.show({name: torch.stack([state[name] for state in states]) for name in states[0]})

    def evaluate(self) -> Mapping[str, float]:
        metrics = {f"{name}_mse": self.loss(self.predict(name), self.targets[name]).item() for name in ("val", "test")}
        unedited = self.show(self.parts["test"].to(self.fabric.device).stacked()).cpu()
        return {**metrics, "test_unedited": self.loss(unedited, self.targets["test"]).item()}

    def draw(self, folder: Path) -> None:
        networks = self.parts["test"][:_SHOWN]
        rows = {
            "input": self.show(networks.to(self.fabric.device).stacked()).cpu(),
            "edited": self.answers(networks, torch.arange(len(networks))).cpu(),
            "target": self.targets["test"][:_SHOWN],
        }
        draw_images(rows, folder / "edited.png")
