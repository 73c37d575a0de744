"""What augmentations have in common: numbers that are drawn unless they are given, and their shapes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphlab.weightgraph.mlp_weights import MLPWeights


def uniform(x: MLPWeights, shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """Uniform numbers in [0, 1) in the dtype and on the device of the networks."""
    first = x.weights[0]
    return torch.rand(tuple(shape), generator=generator, dtype=first.dtype, device=first.device)


def between(x: MLPWeights, shape: Sequence[int], bound: float, generator: torch.Generator | None) -> Tensor:
    """Uniform numbers in [-bound, bound)."""
    return bound * (2 * uniform(x, shape, generator) - 1)


def per_network(name: str, x: MLPWeights, given: Tensor) -> Tensor:
    """``[B]`` in the dtype of the networks, of a number for all or one for each.

    Raises:
        ValueError: for another number of numbers.
    """
    if given.numel() not in (1, len(x)):
        raise ValueError(f"{name}: expected 1 or {len(x)} numbers, one a network, got {list(given.shape)}")
    return given.to(x.weights[0]).flatten().expand(len(x))


def per_neuron(name: str, x: MLPWeights, given: Sequence[Tensor]) -> list[Tensor]:
    """For each hidden layer ``[B, d_k, features]`` or ``[B, d_k, 1]``.

    Raises:
        ValueError: naming the layer, for numbers that are not of its neurons.
    """
    hidden = x.dims[1:-1]
    if len(given) != len(hidden):
        raise ValueError(f"{name}: expected numbers for {len(hidden)} hidden layers, got {len(given)}")
    found = []
    for layer, (own, width) in enumerate(zip(given, hidden, strict=True)):
        own = own.unsqueeze(-1) if own.dim() == 2 else own
        if own.dim() != 3 or own.shape[:2] != (len(x), width) or own.shape[2] not in (1, x.features):
            raise ValueError(
                f"{name}, hidden layer {layer}: expected [{len(x)}, {width}] or [{len(x)}, {width}, {x.features}], got "
                f"{list(own.shape)}"
            )
        found.append(own.to(x.weights[0]))
    return found


def probability(name: str, value: float) -> float:
    """Raises ``ValueError`` outside [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: expected a number in [0, 1], got {value}")
    return value
