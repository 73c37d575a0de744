"""Probe features: what the neurons of a network answer to learned inputs (specification of neural_graphs, 2.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn


def sine(x: Tensor) -> Tensor:
    """``sin(30 x)``, the activation of the published SIRENs."""
    return torch.sin(30 * x)


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
        answers = self.inputs.transpose(1, 2).expand(tensors[weights[0]].shape[0], -1, -1)
        features = [cast(Tensor, self.proj[0](answers))]
        for layer, name in enumerate(weights):
            answers = tensors[name] @ answers
            if (bias := tensors.get(f"{layer}.bias")) is not None:
                answers = answers + bias.unsqueeze(-1)
            answers = answers + self.offset if layer == depth - 1 else self.activation(answers)
            features.append(self.proj[layer + 1](answers))
        return torch.cat(features, dim=1)
