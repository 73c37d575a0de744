"""What models on neural graphs have in common: how they read networks, and how they write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, overload

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphlab.nn.models.neural_graphs.edges import Edges, forward_states, joined
from graphlab.nn.models.neural_graphs.encoder import GraphConstructor
from graphlab.nn.models.neural_graphs.graphs import Activations, Graphs, read, written
from graphlab.nn.models.neural_graphs.labels import Labels, label_nodes
from graphlab.nn.models.neural_graphs.statistics import Statistics, check_numbers
from graphlab.nn.pretrained import Pretrained
from graphlab.weightgraph import WeightGraph, WeightGraphBatch
from graphlab.weightgraph.layouts.neural_graph import EdgeType

Answer = Callable[[Tensor], Tensor]
"""From probes ``[P, num_inputs]`` to what each node answers to them, ``[num_nodes, P]``."""


class EncoderOptions(TypedDict, total=False):
    """Options of :class:`GraphConstructor`."""

    slots: int
    bidirectional: bool
    num_frequencies: int | None
    inp_factor: float
    input_layers: int
    pos_embed: bool
    num_probes: int
    activations: Sequence[str] | None
    map_size: int | None
    linear_apart: bool
    zero_out_weights: bool
    zero_out_bias: bool


class NeuralGraphModel(Pretrained):
    """A model that reads networks as neural graphs, explicit or in blocks, by :class:`GraphConstructor`.

    Args:
        num_inputs, max_hidden, num_outputs: The networks' inputs, most hidden layers and outputs.
        d_node, d_edge: Features of a node and of an edge.
        encoder: Options of the encoder.
        statistics: ``weights_mean``, ``weights_std``, ``biases_mean`` and ``biases_std``, a number a layer, to
            standardise parameters with; default none.
    """

    def __init__(
        self,
        num_inputs: int,
        max_hidden: int,
        num_outputs: int,
        d_node: int,
        d_edge: int,
        encoder: EncoderOptions | None,
        statistics: Mapping[str, Sequence[float]] | None,
    ) -> None:
        super().__init__()
        self.construct_graph = GraphConstructor(num_inputs, max_hidden, num_outputs, d_node, d_edge, **(encoder or {}))
        self.statistics = None if statistics is None else Statistics(**statistics)

    def encode(
        self, graphs: WeightGraphBatch | Data, activations: Activations | None = None, answer: Answer | None = None
    ) -> tuple[Graphs, Tensor, list[Edges], list[Tensor]]:
        """The graphs as read, first features of their nodes, their edges in each direction, and features of these."""
        given = read(graphs, activations)
        check_numbers(given)
        encoder = self.construct_graph
        if encoder.pos_embed is not None and given.slots != encoder.slots and len(given.values):
            raise ValueError(f"expected {encoder.slots} values of an edge, got {given.slots}")
        standard = given if self.statistics is None else self.statistics.standardised(given)
        probes = None
        if encoder.gpf is not None:
            answers = encoder.gpf.perceptron(given) if answer is None else answer(encoder.gpf.inputs.squeeze(0))
            probes = encoder.gpf.project(answers, given.node_layer, given.depth[given.graph])
        x = encoder.nodes(standard.x, self._labels(given), probes)
        edges: list[Edges] = list(given.edges)
        states, back = [], []
        for own, values, type in zip(given.edges, standard.values, given.edge_type, strict=True):
            forward, *reverse = encoder.edges(values, type == EdgeType.LINEAR)
            states.append(forward)
            back += reverse
            edges += [own.reversed() for _ in reverse]
        return given, x, *joined(edges, states + back)

    def _labels(self, given: Graphs) -> Labels:
        encoder = self.construct_graph
        nowhere = torch.full_like(given.node_layer, -1)
        position = activation = nowhere
        if encoder.pos_embed is not None or encoder.act_emb is not None:
            position, activation = label_nodes(
                given.node_layer,
                given.node_order,
                given.graph,
                (encoder.num_inputs, encoder.max_hidden, encoder.num_outputs),
                given.activations if encoder.activations is not None else None,
                encoder.activations or (),
                given.order.tolist(),
            )
        if encoder.spatial_embed is not None and int(given.place.max()) >= len(encoder.spatial_embed):
            raise ValueError(
                f"a network's last map has {int(given.place.max()) + 1} positions, the encoder was made for at most "
                f"{len(encoder.spatial_embed)}"
            )
        return Labels(position, activation, given.place, nowhere)


class Editing(NeuralGraphModel):
    """A model that changes the parameters of the networks that it reads.

    .. math:: \\theta' = \\theta + s_l\\, \\mathrm{MLP}(\\text{final features of the edge or node of } \\theta)

    with a learned scale for the weights and one for the biases of each layer, 0.01 at first.

    Args:
        normalize: Take what the model says of a parameter as standardised, and undo that by the statistics.
        misread_biases: As published for NG-GNN: read the change of the biases from nodes too early by the number of
            inputs. The result is not equivariant.
    """

    def __init__(
        self,
        num_inputs: int,
        max_hidden: int,
        num_outputs: int,
        d_node: int,
        d_edge: int,
        encoder: EncoderOptions | None,
        statistics: Mapping[str, Sequence[float]] | None,
        normalize: bool,
        misread_biases: bool = False,
    ) -> None:
        super().__init__(num_inputs, max_hidden, num_outputs, d_node, d_edge, encoder, statistics)
        if normalize and statistics is None:
            raise ValueError("normalize: there are no statistics to undo")
        self.normalize, self.misread_biases = normalize, misread_biases
        slots = self.construct_graph.slots
        self.proj_edge = nn.Sequential(nn.Linear(d_edge, d_edge), nn.ReLU(), nn.Linear(d_edge, slots))
        self.proj_node = nn.Sequential(nn.Linear(d_node, d_node), nn.ReLU(), nn.Linear(d_node, 1))
        layers = range(max_hidden + 1)
        self.weight_scale, self.bias_scale = (
            nn.ParameterList([nn.Parameter(torch.tensor(0.01)) for _ in layers]) for _ in range(2)
        )

    def features(self, given: Graphs, x: Tensor, edges: list[Edges], states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Final features of nodes, and of edges."""
        raise NotImplementedError

    def changes(
        self, graphs: WeightGraphBatch | Data, activations: Activations | None = None, answer: Answer | None = None
    ) -> tuple[Graphs, Tensor]:
        """Graphs that carry what is added to each parameter, zero for all that is none; and what the model says of
        each node, ``[num_nodes, 1]``."""
        given, x, edges, states = self.encode(graphs, activations, answer)
        if int(given.depth.max()) > len(self.weight_scale):
            raise ValueError(f"a network has {int(given.depth.max())} layers, the model was made for {len(self.weight_scale)}")
        x, states = self.features(given, x, edges, states)
        states = forward_states(given.edges, edges, states)
        said = self.proj_node(x)
        weight_scale, bias_scale = (torch.stack(list(own)) for own in (self.weight_scale, self.bias_scale))
        values = []
        for number, (state, layer) in enumerate(zip(states, given.edge_layer, strict=True)):
            change = self.proj_edge(state)[..., : given.values[number].shape[-1]]
            if self.normalize and self.statistics is not None:
                change = self.statistics.restored(change, layer)
            change = change * weight_scale[layer].unsqueeze(-1)
            values.append(change if given.filled is None else torch.where(given.filled[number], change, 0))
        layer = (given.node_layer - 1).clamp(min=0)
        change = self._read(said, given)
        if self.normalize and self.statistics is not None:
            change = self.statistics.restored(change, layer, biases=True)
        here = given.node_layer > 0 if given.node_filled is None else given.node_filled
        change = torch.where(here.unsqueeze(1), change * bias_scale[layer].unsqueeze(1), 0)
        return given.with_values(values, change), said

    def _read(self, said: Tensor, given: Graphs) -> Tensor:
        """What is said of each node, or of one too early."""
        if not self.misread_biases:
            return said
        inputs = (given.node_layer == 0).long()
        count = torch.zeros_like(given.order).index_add(0, given.graph, inputs)
        return said[(torch.arange(len(said), device=said.device) - count[given.graph]).clamp(min=0)]

    @overload
    def forward(
        self, graphs: WeightGraphBatch, activations: Activations | None = None, answer: Answer | None = None
    ) -> WeightGraphBatch: ...

    @overload
    def forward(
        self, graphs: Data, activations: Activations | None = None, answer: Answer | None = None
    ) -> Data: ...

    def forward(
        self, graphs: WeightGraphBatch | Data, activations: Activations | None = None, answer: Answer | None = None
    ) -> WeightGraphBatch | Data:
        """The networks with their parameters changed, in the form given.

        Args:
            graphs, activations, answer: As for :meth:`NGGNN.forward`.
        """
        changes, _ = self.changes(graphs, activations, answer)
        given = read(graphs)
        values = [own + change for own, change in zip(given.values, changes.values, strict=True)]
        return written(graphs, values, given.x + changes.x)

    def edit(self, graphs: Sequence[WeightGraph], activations: Activations | None = None, **layout: Any) -> list[WeightGraph]:
        """Networks with their parameters changed; the structures are the same, the tensors new.

        Args:
            graphs: The networks.
            activations: Of the hidden layers of each, if the encoder embeds them.
            layout: Options of the layout ``neural_graph``.
        """
        batch = WeightGraphBatch([(graph.wiring("neural_graph", **layout), graph.tensors) for graph in graphs])
        changed = self(batch, activations).state_dicts()
        return [WeightGraph(own.structure, tensors, own.module) for own, tensors in zip(graphs, changed, strict=True)]
