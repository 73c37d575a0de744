"""The models that read networks, by name: how each is made for a zoo.

See :mod:`graphlab.protocols.networks` for what a builder is given and what a model says of itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from graphlab.datasets.zoos import Zoo
from graphlab.datasets.zoos.architectures import siren_architecture
from graphlab.engine import model
from graphlab.nn.models.dws import DWSClassifier, DWSNet
from graphlab.protocols.networks.standardised import Edited, Standardised


@dataclass(frozen=True)
class DWSOptions:
    """Options of :class:`~graphlab.nn.models.dws.DWSClassifier`, and of the network that edits.

    Attributes:
        hidden, n_hidden: Features of an entry, and hidden layers.
        reduction: How entries are pooled.
        set_layer: ``sab`` or ``ds``.
        num_heads: Of ``sab``.
        bn: Batch norm.
        dropout: Probability.
    """

    hidden: int = 32
    n_hidden: int = 4
    reduction: str = "max"
    set_layer: str = "sab"
    num_heads: int = 8
    bn: bool = True
    dropout: float = 0.0


@model("dws", protocol=("inr-classification", "inr-editing", "sine-ssl"), options=DWSOptions)
def dws(options: DWSOptions, networks: Zoo, out_channels: int | None) -> nn.Module:
    dims = siren_architecture(networks).layout
    shared: dict[str, Any] = {
        "reduction": options.reduction,
        "set_layer": options.set_layer,
        "num_heads": options.num_heads,
        "bn": options.bn,
        "dropout": options.dropout,
    }
    if out_channels is None:
        net = DWSNet(dims, 1, options.hidden, options.n_hidden, 1, init_scale=1.0, **shared)
        return Edited(Standardised(net, networks))
    return Standardised(DWSClassifier(dims, out_channels, 1, options.hidden, options.n_hidden, **shared), networks)
