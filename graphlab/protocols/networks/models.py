"""The models that read networks, by name: how each is made for a zoo.

See :mod:`graphlab.protocols.networks` for what a builder is given and what a model says of itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import nn

from graphlab.datasets.zoos import CNNArchitecture, Zoo
from graphlab.datasets.zoos.architectures import shapes, siren_architecture, wiring
from graphlab.engine import model
from graphlab.nn.models.dws import DWSClassifier, DWSNet
from graphlab.nn.models.gmn import GMN, GMNEditor
from graphlab.nn.models.neural_graphs import ACTIVATIONS, NGGNN, NGT, NGGNNEditor, NGTEditor, StatNN, WeightMLP
from graphlab.protocols.networks.standardised import Edited, Standardised, siren_statistics
from graphlab.weightgraph.layouts.neural_graph import degree_histogram

ON_SIRENS = ("inr-classification", "inr-editing", "sine-ssl")
ALL = ("inr-classification", "cnn-generalisation", "inr-editing", "sine-ssl")
NO_EDITS = ("inr-classification", "cnn-generalisation", "sine-ssl")


@dataclass(frozen=True)
class NeuralGraphOptions:
    """Options of :class:`~graphlab.nn.models.neural_graphs.NGGNN`, and of the model that edits.

    Attributes:
        channels, num_layers, norm, dropout: See there.
        bidirectional: Read every edge both ways.
        num_frequencies: Fourier features of a value; 0 for none.
        inp_factor: Deviation of the frequencies.
        num_probes: Learned inputs that SIRENs are probed with.
    """

    channels: int = 32
    num_layers: int = 4
    norm: Literal["graph", "batch_graph", "node"] = "graph"
    dropout: float = 0.2
    bidirectional: bool = True
    num_frequencies: int = 128
    inp_factor: float = 3.0
    num_probes: int = 0


@model("neural-graph", protocol=ALL, options=NeuralGraphOptions)
def neural_graph(options: NeuralGraphOptions, networks: Zoo, out_channels: int | None) -> nn.Module:
    own: dict[str, Any] = {
        "degrees": _degrees(networks),
        "channels": options.channels,
        "num_layers": options.num_layers,
        "norm": options.norm,
        "dropout": options.dropout,
        **_encoding(networks, options),
    }
    sizes = _sizes(networks)
    net = NGGNNEditor(*sizes, **own) if out_channels is None else NGGNN(*sizes, out_channels, **own)
    return _drawn(net, networks)


@dataclass(frozen=True)
class NeuralGraphTransformerOptions:
    """Options of :class:`~graphlab.nn.models.neural_graphs.NGT`, and of the model that edits.

    Attributes:
        d_node, d_edge, d_attn_hid, d_node_hid, d_edge_hid, d_out_hid, n_layers, n_heads, dropout: See there; the head,
            which editing does not have, is of two linear maps, of three for convolutional networks, as published.
        bidirectional, num_frequencies, inp_factor, num_probes: As :class:`NeuralGraphOptions`.
    """

    d_node: int = 64
    d_edge: int = 32
    d_attn_hid: int = 128
    d_node_hid: int = 128
    d_edge_hid: int = 64
    d_out_hid: int = 128
    n_layers: int = 4
    n_heads: int = 8
    dropout: float = 0.2
    bidirectional: bool = False
    num_frequencies: int = 128
    inp_factor: float = 1.0
    num_probes: int = 0


@model("neural-graph-transformer", protocol=ALL, options=NeuralGraphTransformerOptions)
def neural_graph_transformer(
    options: NeuralGraphTransformerOptions, networks: Zoo, out_channels: int | None
) -> nn.Module:
    own: dict[str, Any] = {
        "d_node": options.d_node,
        "d_edge": options.d_edge,
        "d_attn_hid": options.d_attn_hid,
        "d_node_hid": options.d_node_hid,
        "d_edge_hid": options.d_edge_hid,
        "n_layers": options.n_layers,
        "n_heads": options.n_heads,
        "dropout": options.dropout,
        **_encoding(networks, options),
    }
    sizes = _sizes(networks)
    if out_channels is None:
        return _drawn(NGTEditor(*sizes, **own), networks)
    own |= {"d_out_hid": options.d_out_hid, "head_layers": 3 if _are_cnns(networks) else 2}
    return _drawn(NGT(*sizes, out_channels, **own), networks)


@dataclass(frozen=True)
class GMNOptions:
    """Options of :class:`~graphlab.nn.models.gmn.GMN`, and of the model that edits.

    Attributes:
        hidden, num_layers, dropout: Channels of nodes and edges, layers of message passing, probability.
        undirected: Send messages along edges turned round as well.
        fourier: Encode numbers by Fourier features instead of a sine of a linear map.
        norms: Norms in the encoder.
    """

    hidden: int = 64
    num_layers: int = 4
    dropout: float = 0.0
    undirected: bool = True
    fourier: bool = False
    norms: bool = False


@model("gmn", protocol=ALL, options=GMNOptions)
def gmn(options: GMNOptions, networks: Zoo, out_channels: int | None) -> nn.Module:  # noqa: ARG001
    own: dict[str, Any] = {
        "undirected": options.undirected,
        "dropout": options.dropout,
        "pre_encoder_ff": options.fourier,
        "pre_encoder_norms": options.norms,
    }
    net: nn.Module
    if out_channels is None:
        net = GMNEditor(options.hidden, options.num_layers, **own)
    else:
        net = GMN(options.hidden, options.num_layers, out_channels, **own)
    net.__dict__["layout"] = "parameter_graph"
    return net


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


@model("dws", protocol=ON_SIRENS, options=DWSOptions)
def dws(options: DWSOptions, networks: Zoo, out_channels: int | None) -> nn.Module:
    dims = siren_architecture(networks).layout
    own: dict[str, Any] = {
        "reduction": options.reduction,
        "set_layer": options.set_layer,
        "num_heads": options.num_heads,
        "bn": options.bn,
        "dropout": options.dropout,
    }
    if out_channels is None:
        net = DWSNet(dims, 1, options.hidden, options.n_hidden, 1, init_scale=1.0, **own)
        return Edited(Standardised(net, networks))
    return Standardised(DWSClassifier(dims, out_channels, 1, options.hidden, options.n_hidden, **own), networks)


@dataclass(frozen=True)
class ThreeLayerOptions:
    """Options of :class:`~graphlab.nn.models.neural_graphs.StatNN` and
    :class:`~graphlab.nn.models.neural_graphs.WeightMLP`."""

    hidden: int = 1000
    dropout: float = 0.0


@model("statnn", protocol=NO_EDITS, options=ThreeLayerOptions)
def statnn(options: ThreeLayerOptions, networks: Zoo, out_channels: int) -> nn.Module:
    net = StatNN(_sizes(networks)[1], options.hidden, out_channels, options.dropout)
    return _drawn(net, networks) if _are_cnns(networks) else Standardised(net, networks)


@model("weight-mlp", protocol=("inr-classification", "sine-ssl"), options=ThreeLayerOptions)
def weight_mlp(options: ThreeLayerOptions, networks: Zoo, out_channels: int) -> nn.Module:
    parameters = sum(map(prod, shapes(siren_architecture(networks)).values()))
    return Standardised(WeightMLP(parameters, options.hidden, out_channels, options.dropout), networks)


def _are_cnns(networks: Zoo) -> bool:
    return all(isinstance(own, CNNArchitecture) for own in networks.architectures)


def _sizes(networks: Zoo) -> tuple[int, int, int]:
    """Inputs, most hidden layers, and outputs.

    Raises:
        ValueError: if networks differ in their inputs or outputs.
    """
    ends = {(own.num_inputs, own.num_outputs) for own in networks.architectures}
    if len(ends) > 1:
        raise ValueError(f"{networks.name}: expected networks of equal inputs and outputs, got {sorted(ends)}")
    ((inputs, outputs),) = ends
    return inputs, max(len(own.activations) for own in networks.architectures), outputs


def _layout_options(networks: Zoo) -> dict[str, Any]:
    """Of ``neural_graph``: the largest kernel, so that all networks' edges have slots alike."""
    sizes = [size for own in networks.architectures if isinstance(own, CNNArchitecture) for size in own.kernel_size]
    return {"max_kernel": (max(sizes), max(sizes))} if sizes else {}


def _drawn(net: nn.Module, networks: Zoo) -> nn.Module:
    """The model, saying how networks are drawn for it."""
    net.__dict__["layout_options"] = _layout_options(networks)
    net.__dict__["reads_activations"] = _are_cnns(networks) and not isinstance(net, StatNN)
    return net


def _degrees(networks: Zoo) -> list[int]:
    """The histogram of in-degrees over all networks."""
    options = _layout_options(networks)
    counts = Counter(networks.each_architecture())
    own = [degree_histogram([wiring(each, "neural_graph", **options)]) * count for each, count in counts.items()]
    return torch.nn.utils.rnn.pad_sequence(own).sum(1).tolist()


def _encoding(networks: Zoo, options: NeuralGraphOptions | NeuralGraphTransformerOptions) -> dict[str, Any]:
    """The options ``encoder`` and ``statistics`` of models on neural graphs."""
    cnns = _are_cnns(networks)
    if cnns and options.num_probes:
        raise ValueError("num_probes: convolutional networks are not probed")
    encoder = {
        "slots": prod(_layout_options(networks).get("max_kernel", (1,))),
        "bidirectional": options.bidirectional,
        "num_frequencies": options.num_frequencies or None,
        "inp_factor": options.inp_factor,
        "num_probes": options.num_probes,
        "activations": list(ACTIVATIONS) if cnns else None,
    }
    return {"encoder": encoder, "statistics": None if cnns else siren_statistics(networks)}
