"""Probe features: what the neurons of a network answer to learned inputs (specification of neural_graphs, 2.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from graphlab.nn.models.neural_graphs.graphs import Graphs


def sine(x: Tensor) -> Tensor:
    """``sin(30 x)``, the activation of the published SIRENs."""
    return torch.sin(30 * x)


def perceptron_answers(
    tensors: Mapping[str, Tensor],
    inputs: Tensor,
    activation: Callable[[Tensor], Tensor] = sine,
    offset: float = 0.5,
) -> list[Tensor]:
    """``[B, n_l, P]`` for each layer l: what the neurons of stacked multilayer perceptrons answer to P inputs.

    Args:
        tensors: ``l.weight`` ``[B, n_{l+1}, n_l]`` and ``l.bias`` ``[B, n_{l+1}]`` for l = 0, 1, ...; biases may be
            missing.
        inputs: ``[1, P, n_0]`` or ``[B, P, n_0]``.
        activation: Of the hidden layers; default that of the published sine networks.
        offset: Added to the outputs.
    """
    weights = [tensors[f"{layer}.weight"] for layer in range(sum(not name.endswith(".bias") for name in tensors))]
    answers = [inputs.transpose(1, 2).expand(len(weights[0]), -1, -1)]
    for layer, weight in enumerate(weights):
        heard = weight @ answers[-1]
        if (bias := tensors.get(f"{layer}.bias")) is not None:
            heard = heard + bias.unsqueeze(-1)
        answers.append(heard + offset if layer == len(weights) - 1 else activation(heard))
    return answers


class ProbeFeatures(nn.Module):
    """Features of the neurons of multilayer perceptrons, from their answers to ``num_probes`` learned inputs.

    With ``a_0 = inputs`` and ``a_{l+1} = activation(W_l a_l + b_l)``, but ``a_L = W_{L-1} a_{L-1} + b_{L-1} + offset``,
    the neurons of layer l have ``LayerNorm_l(Lin_l(a_l))``, a neuron's answers to all inputs being what ``Lin_l``
    reads. Nothing tells the neurons of a layer apart.

    Args:
        num_inputs: Of the networks.
        num_layers: Weights of the networks, L.
        num_probes: Learned inputs, uniform in [-1, 1] at first.
        channels: Features of a node.
        activation: Of the hidden layers.
        offset: Added to the outputs; published images are centred on 0.5.
    """

    def __init__(
        self,
        num_inputs: int,
        num_layers: int,
        num_probes: int,
        channels: int,
        activation: Callable[[Tensor], Tensor] = sine,
        offset: float = 0.5,
    ) -> None:
        super().__init__()
        self.activation, self.offset = activation, offset
        self.inputs = nn.Parameter(torch.empty(1, num_probes, num_inputs).uniform_(-1, 1))
        self.proj = nn.ModuleList(
            nn.Sequential(nn.Linear(num_probes, channels), nn.LayerNorm(channels)) for _ in range(num_layers + 1)
        )

    def forward(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """``[B, N, channels]``: features of all nodes, layer by layer.

        Args:
            tensors: ``l.weight`` ``[B, n_{l+1}, n_l]`` and ``l.bias`` ``[B, n_{l+1}]`` for l = 0, 1, ..., not
                standardised; biases may be missing.

        Raises:
            ValueError: if there are more or fewer weights than layers.
        """
        depth = len(self.proj) - 1
        weights = [f"{layer}.weight" for layer in range(depth)]
        if {name for name in tensors if not name.endswith(".bias")} != set(weights):
            raise ValueError(f"expected {', '.join(weights)} and biases, got {', '.join(tensors)}")
        answers = perceptron_answers(tensors, self.inputs, self.activation, self.offset)
        features = [cast(Tensor, proj(answer)) for proj, answer in zip(self.proj, answers, strict=True)]
        return torch.cat(features, dim=1)

    def perceptron(self, graphs: Graphs) -> Tensor:
        """``[num_nodes, num_probes]``: what the neurons of multilayer perceptrons answer to the probes.

        Args:
            graphs: Whose edges carry a weight each and lead from layer to layer; not standardised.

        Raises:
            ValueError: if edges carry more than a weight, or networks read other inputs than there are.
        """
        if graphs.slots != 1:
            raise ValueError(
                f"edges carry {graphs.slots} values: no multilayer perceptron has these; say how networks answer"
            )
        inputs = (graphs.node_layer == 0).nonzero().squeeze(1)
        if len(inputs) != len(graphs) * self.inputs.shape[2]:
            raise ValueError(f"expected networks of {self.inputs.shape[2]} inputs, as probes have")
        answers = graphs.x.new_zeros(len(graphs.x), self.inputs.shape[1])
        answers = answers.index_copy(0, inputs, self.inputs[0].t().to(answers.dtype).repeat(len(graphs), 1))
        last = graphs.node_layer == graphs.depth[graphs.graph]
        for layer in range(1, int(graphs.depth.max()) + 1):
            heard = graphs.x + sum(
                edges.carried(values.squeeze(-1), answers, number == layer - 1)
                for edges, values, number in zip(graphs.edges, graphs.values, graphs.edge_layer, strict=True)
            )
            here = (graphs.node_layer == layer).nonzero().squeeze(1)
            heard = heard[here]
            made = torch.where(last[here].unsqueeze(1), heard + self.offset, self.activation(heard))
            answers = answers.index_copy(0, here, made)
        return answers

    def project(self, answers: Tensor, layer: Tensor, depth: Tensor) -> Tensor:
        """``[num_nodes, channels]``: features from answers ``[num_nodes, num_probes]``.

        Args:
            layer, depth: int64 ``[num_nodes]``: layer of a node, and that of the outputs of its network, which the last
                projection is for, however deep the network.
        """
        number = torch.where((layer == depth) & (depth > 0), len(self.proj) - 1, layer)
        places = [(number == own).nonzero().squeeze(1) for own in range(len(self.proj))]
        made = [proj(answers[place]) for proj, place in zip(self.proj, places, strict=True)]
        return torch.cat(made)[torch.cat(places).argsort()]
