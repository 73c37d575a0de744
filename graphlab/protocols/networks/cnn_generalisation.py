"""How well a network generalises, read off its parameters (Unterthiner et al., 2020; Kofinas et al., ICLR 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor
from torch.nn import functional

from graphlab.datasets.zoos import Zoo
from graphlab.engine import Selection, protocol
from graphlab.metrics import kendall_tau, r2_score
from graphlab.protocols.networks.base import NetworksConfig, NetworkTask
from graphlab.protocols.networks.pictures import draw_accuracies


@dataclass(frozen=True)
class CNNGeneralisationConfig(NetworksConfig):
    """Settings of :class:`CNNGeneralisation`.

    Attributes:
        loss: ``bce``: binary cross entropy of the sigmoid with the accuracy; ``mse``: the squared error of the sigmoid.
    """

    dataset: str = "digits-cnn"
    loss: Literal["bce", "mse"] = "bce"


@protocol("cnn-generalisation", config=CNNGeneralisationConfig)
class CNNGeneralisation(NetworkTask[CNNGeneralisationConfig]):
    """The sigmoid of a model's answer is the fact ``test_accuracy``.

    Reports Kendall's tau-b and R^2 on the test networks at the best tau on the validation networks. The picture
    ``accuracies.png`` shows predicted against true accuracy.
    """

    selection: ClassVar[Selection] = Selection("val_tau", "max", report=("test_tau", "test_r2", "val_tau"))
    out_channels = 1

    def labels(self, networks: Zoo) -> Tensor:
        accuracies = networks.fact("test_accuracy")
        if not bool(((accuracies >= 0) & (accuracies <= 1)).all()):
            raise ValueError(f"{networks.name}: expected accuracies from 0 to 1")
        return accuracies

    def loss(self, answers: Tensor, labels: Tensor) -> Tensor:
        if self.config.loss == "bce":
            return functional.binary_cross_entropy_with_logits(answers.squeeze(1), labels)
        return functional.mse_loss(answers.squeeze(1).sigmoid(), labels)

    def evaluate(self) -> Mapping[str, float]:
        metrics = {}
        for name in ("val", "test"):
            answers, accuracies = self.predict(name), self.targets[name]
            metrics[f"{name}_loss"] = self.loss(answers, accuracies).item()
            metrics[f"{name}_tau"] = kendall_tau(answers.squeeze(1), accuracies)
            metrics[f"{name}_r2"] = r2_score(answers.squeeze(1).sigmoid(), accuracies)
        return metrics

    def draw(self, folder: Path) -> None:
        predicted, true = self.predict("test").squeeze(1).sigmoid(), self.targets["test"]
        draw_accuracies(predicted, true, folder / "accuracies.png")
