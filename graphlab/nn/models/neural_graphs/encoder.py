"""The encoder that all models on neural graphs begin with (specification of neural_graphs, 2.3, 2.4 and 2.9)."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphlab.nn.models.neural_graphs.labels import ACTIVATIONS, Labels
from graphlab.nn.models.neural_graphs.probes import ProbeFeatures
from graphlab.ops.fourier import fourier_linear
from graphlab.weightgraph.wiring import Wiring


class FourierFeatures(nn.Module):
    """``[cos(2 pi B v), sin(2 pi B v)]`` of ``v`` ``[..., in_channels]``: ``[..., 2 num_frequencies]``.

    ``B`` ``[num_frequencies, in_channels]`` is normal with deviation ``std``, and a buffer: it is not learned. Phases
    are computed in at least float32, under autocast as well: half precision would lose them.
    """

    b: Tensor

    def __init__(self, in_channels: int, num_frequencies: int, std: float) -> None:
        super().__init__()
        self.register_buffer("b", torch.randn(num_frequencies, in_channels) * std)

    def forward(self, values: Tensor) -> Tensor:
        dtype = torch.promote_types(values.dtype, torch.float32)
        with torch.autocast(values.device.type, enabled=False):
            phases = 2 * pi * F.linear(values.to(dtype), self.b.to(dtype))
            return torch.cat([phases.cos(), phases.sin()], dim=-1).to(values.dtype)


class GraphConstructor(nn.Module):
    """Values of nodes and edges to their first features.

    ``nodes = proj_node_in(proj_bias(x) [+ probes]) [+ spatial_embed] + pos_embed [+ act_emb]`` and
    ``edges = proj_edge_in(proj_weight(e))``. Both ``proj_bias`` and ``proj_weight`` are Fourier features, if any, then
    ``input_layers`` linear maps with SiLU between. The positional embedding has a row for each input and output and one
    for each hidden layer, so that hidden neurons remain interchangeable. Only edges that there are get encoded; see
    :meth:`absent_edge` for the others.

    Parameters have the published names, among them ``proj_mlp_edge_in``, which nothing uses: published weights hold it.

    Args:
        num_inputs, max_hidden, num_outputs: The networks' inputs, most hidden layers and outputs.
        d_node, d_edge: Features of a node and of an edge.
        slots: Values an edge carries.
        bidirectional: Encode every edge both ways, from ``[w, 0, w]`` and ``[0, w, w]``.
        num_frequencies: Fourier features of a value; ``None`` for none (published: ``sin_emb_dim``).
        inp_factor: Standard deviation of the frequencies.
        input_layers: Linear maps before ``proj_node_in`` and ``proj_edge_in``.
        pos_embed: Whether there is a positional embedding.
        num_probes: Learned inputs that the networks, which have ``max_hidden`` hidden layers, are probed with.
        activations: Names of activations to embed; ``None`` for no such embedding.
        map_size: Most positions of a map that is flattened; ``None`` for no embedding of positions.
        linear_apart: Encode linear edges on their own, from their first slot; reversed, they are encoded like kernels.
        zero_out_weights, zero_out_bias: Do not look at what edges, or nodes, carry (for ablations).
    """

    def __init__(
        self,
        num_inputs: int,
        max_hidden: int,
        num_outputs: int,
        d_node: int,
        d_edge: int,
        *,
        slots: int = 1,
        bidirectional: bool = False,
        num_frequencies: int | None = 8,
        inp_factor: float = 1.0,
        input_layers: int = 1,
        pos_embed: bool = True,
        num_probes: int = 0,
        activations: Sequence[str] | None = None,
        map_size: int | None = None,
        linear_apart: bool = False,
        zero_out_weights: bool = False,
        zero_out_bias: bool = False,
    ) -> None:
        super().__init__()
        self.num_inputs, self.max_hidden, self.num_outputs = num_inputs, max_hidden, num_outputs
        self.slots, self.bidirectional, self.activations = slots, bidirectional, activations
        directions = 3 if bidirectional else 1

        def encoder(in_channels: int, out_channels: int) -> nn.Sequential:
            return _encoder(in_channels, out_channels, num_frequencies, inp_factor, input_layers)

        self.proj_weight = None if zero_out_weights else encoder(directions * slots, d_edge)
        self.proj_bias = None if zero_out_bias else encoder(1, d_node)
        self.proj_node_in = nn.Linear(d_node, d_node)
        self.proj_edge_in = nn.Linear(d_edge, d_edge)
        self.proj_mlp_weight = encoder(directions, d_edge) if linear_apart else None
        self.proj_mlp_edge_in = nn.Linear(d_edge, d_edge) if linear_apart else None
        rows = num_inputs + max_hidden + num_outputs
        self.pos_embed = nn.Parameter(torch.randn(rows, d_node)) if pos_embed else None
        self.spatial_embed = nn.Parameter(torch.randn(map_size, d_node)) if map_size is not None else None
        self.act_emb = None
        if activations is not None:
            self.act_emb = nn.ModuleDict({"embedding": nn.Embedding(len(activations), d_node)})
        self.gpf = ProbeFeatures(num_inputs, max_hidden + 1, num_probes, d_node) if num_probes else None

    def labels(self, wiring: Wiring, activations: Sequence[str] | None = None) -> Labels:
        """Labels of a network, given the activations of its hidden layers; see :meth:`Labels.of`.

        Raises:
            ValueError: if the encoder was not made for such a network.
        """
        labels = Labels.of(
            wiring,
            self.num_inputs,
            self.max_hidden,
            self.num_outputs,
            activations if self.activations is not None else None,
            self.activations or ACTIVATIONS,
        )
        if self.spatial_embed is not None and int(labels.place.max()) >= len(self.spatial_embed):
            raise ValueError(
                f"the network's last map has {int(labels.place.max()) + 1} positions, the encoder was made for at most "
                f"{len(self.spatial_embed)}"
            )
        return labels.to(self.proj_node_in.weight.device)

    def forward(
        self, node_values: Tensor, edge_values: Tensor, labels: Labels, probes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Features of the nodes, ``[..., N, d_node]``, and of the edges, ``[..., E, d_edge]`` or, if bidirectional,
        ``[..., 2 E, d_edge]``, first all forward, then all reversed.

        Args:
            node_values: ``[..., N, 1]``: of networks drawn alike on a first axis, or of any one after the other.
            edge_values: ``[..., E, slots]``.
            labels: From :meth:`labels`; :meth:`Labels.cat` if networks come one after the other.
            probes: ``[..., N, d_node]``, what ``gpf`` made of the networks.

        Raises:
            ValueError: if edges carry another number of values, or probes are missing or not expected.
        """
        return self.nodes(node_values, labels, probes), torch.cat(self.edges(edge_values, labels.linear), dim=-2)

    def absent_edge(self) -> Tensor:
        """``[d_edge]``: how two nodes without an edge between them are encoded."""
        return self._encode(self.proj_weight, self.proj_edge_in.weight.new_zeros(1), self.slots, (0,))

    def padding(self) -> Tensor:
        """``[d_node]``: how a node that carries nothing is encoded, before it is told where it is."""
        nothing = self.proj_node_in.weight.new_zeros(1)
        values = nothing.expand(self.proj_node_in.in_features) if self.proj_bias is None else self.proj_bias(nothing)
        return cast(Tensor, self.proj_node_in(values))

    def nodes(self, values: Tensor, labels: Labels, probes: Tensor | None = None) -> Tensor:
        """Features of the nodes alone; see :meth:`forward`."""
        if (probes is None) != (self.gpf is None):
            raise ValueError(f"expected {'no ' if self.gpf is None else ''}probe features: num_probes decides")
        width = self.proj_node_in.in_features
        nodes = values.new_zeros(*values.shape[:-1], width) if self.proj_bias is None else self.proj_bias(values)
        nodes = cast(Tensor, self.proj_node_in(nodes if probes is None else nodes + probes))
        if self.spatial_embed is not None:
            nodes = nodes + _rows(self.spatial_embed, labels.place)
        if self.pos_embed is not None:
            nodes = nodes + self.pos_embed[labels.position]
        if self.act_emb is not None:
            nodes = nodes + _rows(cast(nn.Embedding, self.act_emb["embedding"]).weight, labels.activation)
        return nodes

    def edges(self, values: Tensor, linear: Tensor) -> tuple[Tensor, ...]:
        """Features of the edges in each direction, forward first: ``[*edges, d_edge]``.

        Args:
            values: ``[*edges, slots]``; fewer slots stand for zeros in the others.
            linear: bool, broadcastable to ``[*edges]``: those that carry a linear weight in their first slot.

        Raises:
            ValueError: if edges carry more values.
        """
        found = values.shape[-1]
        if found > self.slots:
            raise ValueError(f"expected {self.slots} values of an edge, got {found}")
        if not self.bidirectional:
            return (self._forward_edges(values, linear, (0,)),)
        return self._forward_edges(values, linear, (0, 2)), self._encode(self.proj_weight, values, self.slots, (1, 2))

    def _forward_edges(self, values: Tensor, linear: Tensor, parts: tuple[int, ...]) -> Tensor:
        """Of the edges themselves, given where their values lie in ``[w_ij, w_ji, w_ij + w_ji]``, or alone."""
        if self.proj_mlp_weight is None or not bool(linear.any()):
            return self._encode(self.proj_weight, values, self.slots, parts)
        if bool(linear.all()):
            return self._encode(self.proj_mlp_weight, values[..., :1], 1, parts)
        linear = linear.expand(values.shape[:-1])
        kernels = self._encode(self.proj_weight, values[~linear], self.slots, parts)
        apart = self._encode(self.proj_mlp_weight, values[linear][:, :1], 1, parts)
        encoded = kernels.new_empty(*values.shape[:-1], kernels.shape[-1])
        encoded[~linear], encoded[linear] = kernels, apart
        return encoded

    def _encode(self, proj: nn.Sequential | None, values: Tensor, slots: int, parts: tuple[int, ...]) -> Tensor:
        """``proj_edge_in(proj(v))`` where ``v`` holds the values in some parts of ``slots`` each, zeros elsewhere.

        The columns that read a value are added up, and the last two maps, both affine, are one.
        """
        own = slice(values.shape[-1])
        if proj is None:
            return self.proj_edge_in.bias.expand(*values.shape[:-1], -1)

        def columns(weight: Tensor) -> Tensor:
            first, *others = (weight[:, slots * part : slots * (part + 1)][:, own] for part in parts)
            return sum(others, first)

        maps = [(module.weight, module.bias) for module in proj if isinstance(module, nn.Linear)]
        weight, bias = maps.pop()
        last = self.proj_edge_in.weight
        maps.append((last @ weight, torch.addmv(self.proj_edge_in.bias, last, bias)))
        (weight, bias), *others = maps
        if isinstance(proj[0], FourierFeatures):
            encoded = fourier_linear(values, columns(proj[0].b), weight, bias)
        else:
            encoded = F.linear(values, columns(weight), bias)
        for weight, bias in others:
            encoded = F.linear(F.silu(encoded), weight, bias)
        return encoded


def _encoder(
    in_channels: int, out_channels: int, num_frequencies: int | None, inp_factor: float, layers: int
) -> nn.Sequential:
    """Fourier features, if any, and linear maps with SiLU between."""
    modules: list[nn.Module] = []
    if num_frequencies is not None:
        modules.append(FourierFeatures(in_channels, num_frequencies, inp_factor))
        in_channels = 2 * num_frequencies
    modules.append(nn.Linear(in_channels, out_channels))
    for _ in range(layers - 1):
        modules += [nn.SiLU(), nn.Linear(out_channels, out_channels)]
    return nn.Sequential(*modules)


def _rows(table: Tensor, rows: Tensor) -> Tensor:
    """``[N, channels]``: rows of a table, zeros for -1."""
    return table[rows.clamp(min=0)] * (rows >= 0).unsqueeze(-1)
