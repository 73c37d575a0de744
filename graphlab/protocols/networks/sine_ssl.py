"""Representations of sine waves without labels (Navon et al., ICML 2023, section 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from graphlab.datasets.zoos import Zoo
from graphlab.engine import Selection, protocol
from graphlab.nn.info_nce import info_nce
from graphlab.protocols.networks.base import NetworksConfig, NetworkTask
from graphlab.weightgraph import WeightGraphBatch
from graphlab.weightgraph.augment import dropout, gaussian_noise
from graphlab.weightgraph.mlp_weights import MLPWeights


@dataclass(frozen=True)
class SineSSLConfig(NetworksConfig):
    """Settings of :class:`SineSSL`.

    Attributes:
        features: Of a network, and of its projection.
        noise, drop: Strengths of the noise and the dropout that make a network's second view.
        temperature: Of the loss.
    """

    dataset: str = "sine-inr"
    batch_size: int = 128
    features: int = 16
    noise: float = 0.2
    drop: float = 0.5
    temperature: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shuffle_labels or self.augmentation:
            raise ValueError("nothing to shuffle or to add: there are no labels, and the views are augmented already")
        if self.features < 1 or self.temperature <= 0 or self.batch_size < 2:
            raise ValueError(
                "expected features >= 1, temperature > 0 and batch_size >= 2, got "
                f"{self.features}, {self.temperature}, {self.batch_size}"
            )


class Contrastive(nn.Module):
    """An encoder of networks with a projection: what the loss compares is ``projection(encoder(batch))``."""

    def __init__(self, encoder: nn.Module, features: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, features))

    def forward(self, batch: WeightGraphBatch) -> tuple[Tensor, Tensor]:
        """``[B, features]`` twice: the representations and their projections."""
        encoded = self.encoder(batch)
        return encoded, self.projection(encoded)


@protocol("sine-ssl", config=SineSSLConfig)
class SineSSL(NetworkTask[SineSSLConfig]):
    """InfoNCE of each network and its augmented copy.

    The epoch is selected by the validation loss. Reports the mean squared error, over test networks, of amplitude and
    frequency by a linear regression from the representations of the training networks.
    """

    selection: ClassVar[Selection] = Selection("val_loss", "min", report=("test_mse", "val_loss"))

    def module(self) -> nn.Module:
        encoder = self.build_model(networks=self.parts["train"], out_channels=self.config.features)
        model = Contrastive(encoder, self.config.features)
        for name in ("layout", "layout_options"):
            if hasattr(encoder, name):
                setattr(model, name, getattr(encoder, name))
        return model

    def labels(self, networks: Zoo) -> Tensor:
        return torch.stack([networks.fact("amplitude"), networks.fact("frequency")], dim=1)

    def views(self, networks: Zoo, index: Tensor, generator: torch.Generator) -> WeightGraphBatch:
        """The networks, then their augmented copies."""
        chosen = networks[index]
        x = MLPWeights.of_stacked(chosen.stacked())
        augmented = dropout(gaussian_noise(x, self.config.noise, generator), self.config.drop, generator).stacked()
        wiring = chosen.wirings(self.layout, **self.layout_options)[0]
        members = [
            (wiring, {name: own[place] for name, own in stacked.items()})
            for stacked in (chosen.stacked(), augmented)
            for place in range(len(chosen))
        ]
        return WeightGraphBatch(members).to(self.fabric.device)

    def training_loss(self, networks: Zoo, index: Tensor) -> Tensor:
        _, projected = self.model(self.views(networks, index, self.draws))
        return info_nce(projected, self.config.temperature)

    def evaluate(self) -> Mapping[str, float]:
        drawn = torch.Generator().manual_seed(0)
        losses, networks = [], self.parts["val"]
        for index in self.chunks(networks):
            _, projected = self.model(self.views(networks, index, drawn))
            losses.append(info_nce(projected, self.config.temperature).item() * len(index))
        encoded = {name: self.encode(name) for name in ("train", "test")}
        fitted = torch.linalg.lstsq(encoded["train"], self.targets["train"].double(), driver="gelsd").solution
        error = (encoded["test"] @ fitted - self.targets["test"]).square().mean().item()
        return {"val_loss": sum(losses) / len(networks), "test_mse": error}

    def encode(self, name: str) -> Tensor:
        """float64 ``[networks, 1 + features]``: 1 and the representations of a part."""
        networks = self.parts[name]
        rows = torch.cat([self.answers(networks, index)[0].cpu() for index in self.chunks(networks)]).double()
        return torch.cat([torch.ones(len(rows), 1, dtype=torch.float64), rows], dim=1)
