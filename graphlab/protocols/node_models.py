"""The models that classify nodes, by name, with their options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from graphlab.engine import model
from graphlab.nn.models.baselines import APPNP, GAT, GCN, MLP
from graphlab.nn.models.dagnn import DAGNN


@dataclass(frozen=True)
class DAGNNOptions:
    """Options of :class:`~graphlab.nn.models.dagnn.DAGNN`."""

    hidden: int = 64
    K: int = 10
    dropout: float = 0.8
    readout: Literal["gate", "last", "mean"] = "gate"
    gate_bias: bool = True


@dataclass(frozen=True)
class ArxivDAGNNOptions:
    """Options of the variant of :class:`~graphlab.nn.models.dagnn.DAGNN` for ogbn-arxiv."""

    hidden: int = 256
    K: int = 16
    dropout: float = 0.2


@dataclass(frozen=True)
class TwoLayerOptions:
    """Options of MLP and GCN."""

    hidden: int = 64
    dropout: float = 0.5


@dataclass(frozen=True)
class GATOptions:
    """Options of GAT; ``hidden`` units in each of the heads."""

    hidden: int = 8
    heads: int = 8
    dropout: float = 0.6


@dataclass(frozen=True)
class APPNPOptions:
    """Options of APPNP."""

    hidden: int = 64
    K: int = 10
    alpha: float = 0.1
    dropout: float = 0.5


@model("dagnn", protocol="node-classification", options=DAGNNOptions)
def dagnn(options: DAGNNOptions, in_channels: int, out_channels: int) -> DAGNN:
    return DAGNN(
        in_channels,
        options.hidden,
        out_channels,
        options.K,
        options.dropout,
        readout=options.readout,
        gate_bias=options.gate_bias,
    )


@model("dagnn-arxiv", protocol="node-classification-by-accuracy", options=ArxivDAGNNOptions)
def dagnn_arxiv(options: ArxivDAGNNOptions, in_channels: int, out_channels: int) -> DAGNN:
    return DAGNN(in_channels, options.hidden, out_channels, options.K, options.dropout, batch_norm=True)


@model("mlp", protocol="node-classification", options=TwoLayerOptions)
def mlp(options: TwoLayerOptions, in_channels: int, out_channels: int) -> MLP:
    return MLP(in_channels, options.hidden, out_channels, options.dropout)


@model("gcn", protocol="node-classification", options=TwoLayerOptions)
def gcn(options: TwoLayerOptions, in_channels: int, out_channels: int) -> GCN:
    return GCN(in_channels, options.hidden, out_channels, options.dropout)


@model("gat", protocol="node-classification", options=GATOptions)
def gat(options: GATOptions, in_channels: int, out_channels: int) -> GAT:
    return GAT(in_channels, options.hidden, out_channels, options.heads, options.dropout)


@model("appnp", protocol="node-classification", options=APPNPOptions)
def appnp(options: APPNPOptions, in_channels: int, out_channels: int) -> APPNP:
    return APPNP(in_channels, options.hidden, out_channels, options.K, options.alpha, options.dropout)
