"""What is shown by the image that a network is: classification of implicit neural representations.

Navon et al., ICML 2023, section 7; Kofinas et al., ICLR 2024, section 4.1. The parts are of different images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from graphlab.datasets.zoos import Zoo
from graphlab.engine import Selection, protocol
from graphlab.protocols.networks.base import NetworksConfig, NetworkTask


@dataclass(frozen=True)
class INRClassificationConfig(NetworksConfig):
    """Settings of :class:`INRClassification`."""

    dataset: str = "digits-inr"


@protocol("inr-classification", config=INRClassificationConfig)
class INRClassification(NetworkTask[INRClassificationConfig]):
    """Cross entropy of the fact ``label``; reports the test accuracy at the best validation accuracy."""

    selection: ClassVar[Selection] = Selection("val_acc", "max", report=("test_acc", "val_acc"))

    def prepare(self) -> None:
        super().prepare()
        self.out_channels = 1 + max(int(self.labels(part).max()) for part in self.parts.values())

    def labels(self, networks: Zoo) -> Tensor:
        return networks.fact("label")

    def loss(self, answers: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(answers, labels)

    def evaluate(self) -> Mapping[str, float]:
        metrics = {}
        for name in ("val", "test"):
            scores, labels = self.predict(name), self.targets[name]
            metrics[f"{name}_loss"] = functional.cross_entropy(scores, labels).item()
            metrics[f"{name}_acc"] = int((scores.argmax(dim=1) == labels).sum()) / len(labels)
        return metrics
