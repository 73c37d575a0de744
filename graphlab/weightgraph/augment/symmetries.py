"""Augmentations that leave what a network computes as it is: factors and phases of hidden neurons.

Permutations are :meth:`~graphlab.weightgraph.mlp_weights.MLPWeights.permute`. :func:`rescaled` is for a network of any
architecture, whose rescalings :func:`~graphlab.weightgraph.rescalings` derives; the others are for stacked multilayer
perceptrons whose activation is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import pi

import torch
from torch import Tensor

from graphlab.weightgraph.augment.draws import between, per_neuron, probability, uniform
from graphlab.weightgraph.graph import WeightGraph
from graphlab.weightgraph.mlp_weights import MLPWeights
from graphlab.weightgraph.rescaling import Rescaling, random_factors, rescale


def rescaled(
    graph: WeightGraph, rescalings: Iterable[Rescaling], generator: torch.Generator | None = None
) -> WeightGraph:
    """A network of any architecture with random factors, positive or signs, for each of its rescalings."""
    for rescaling in rescalings:
        graph = rescale(graph, rescaling, random_factors(graph.structure, rescaling, generator))
    return graph


def scale_neurons(x: MLPWeights, factors: Sequence[Tensor]) -> MLPWeights:
    """Hidden neurons multiplied by factors c, what reads them divided: ``c W_i``, ``c b_i`` and ``W_{i+1} / c``.

    The function stays the same for positive factors and ReLU, and for factors 1 and -1 and an odd activation.

    Args:
        x: Networks.
        factors: For each hidden layer ``[B, d_k]`` or ``[B, d_k, features]``.

    Raises:
        ValueError: naming the layer, for factors of another shape, not finite, or 0.
    """
    return _scaled(x, _nonzero(per_neuron("factors", x, factors)))


def positive_scale(
    x: MLPWeights,
    bound: float = 0.15,
    generator: torch.Generator | None = None,
    *,
    factors: Sequence[Tensor] | None = None,
) -> MLPWeights:
    """:func:`scale_neurons` by factors uniform in ``1 +- bound``: a symmetry of ReLU networks.

    Args:
        x: Networks.
        bound: Below 1.
        generator: Of the factors.
        factors: Instead: as for :func:`scale_neurons`.

    Raises:
        ValueError: for a bound outside [0, 1), or factors that are not positive.
    """
    if factors is None:
        if not 0 <= bound < 1:
            raise ValueError(f"bound: expected a number in [0, 1), got {bound}")
        factors = [1 + between(x, (len(x), width), bound, generator) for width in x.dims[1:-1]]
    found = _nonzero(per_neuron("factors", x, factors))
    for layer, own in enumerate(found):
        if not bool((own > 0).all()):
            raise ValueError(f"factors, hidden layer {layer}: expected positive numbers")
    return _scaled(x, found)


def siren_negation(
    x: MLPWeights, p: float = 0.5, generator: torch.Generator | None = None, *, negate: Sequence[Tensor] | None = None
) -> MLPWeights:
    """Each hidden neuron is negated with probability ``p``: a symmetry where the activation is odd (sine, tanh).

    Args:
        x: Networks.
        p: Probability.
        generator: Of the neurons.
        negate: Instead: for each hidden layer ``[B, d_k]`` or ``[B, d_k, features]``, 1 or true for a negated neuron.

    Raises:
        ValueError: for ``p`` outside [0, 1], or numbers of another shape.
    """
    if negate is None:
        probability("p", p)
        negate = [uniform(x, (len(x), width), generator) < p for width in x.dims[1:-1]]
    return _scaled(x, [1 - 2 * own for own in per_neuron("negate", x, negate)])


def siren_bias(
    x: MLPWeights,
    k_max: int = 4,
    w0: float = 30.0,
    generator: torch.Generator | None = None,
    *,
    k: Sequence[Tensor] | None = None,
) -> MLPWeights:
    """Phases of hidden neurons move by k half periods: ``b_i + k pi / w0`` and ``(-1)^k W_{i+1}``.

    A symmetry of ``sin(w0 z)``. k is an integer, uniform in ``-k_max, ..., k_max - 1``.

    Args:
        x: SIRENs.
        k_max: Of which k are drawn.
        w0: Of all hidden layers.
        generator: Of k.
        k: Instead: for each hidden layer integers ``[B, d_k]`` or ``[B, d_k, features]``.

    Raises:
        ValueError: for ``k_max`` below 1, or numbers of another shape.
    """
    if k is None:
        if k_max < 1:
            raise ValueError(f"k_max: expected 1 or more, got {k_max}")
        device = x.weights[0].device
        k = [
            torch.randint(-k_max, k_max, (len(x), width), generator=generator, device=device) for width in x.dims[1:-1]
        ]
    weights, biases = list(x.weights), list(x.biases)
    for layer, own in enumerate(per_neuron("k", x, k)):
        biases[layer] = biases[layer] + own * (pi / w0)
        weights[layer + 1] = weights[layer + 1] * (1 - 2 * own.remainder(2)).unsqueeze(2)
    return MLPWeights(tuple(weights), tuple(biases))


def _scaled(x: MLPWeights, factors: Sequence[Tensor]) -> MLPWeights:
    weights, biases = list(x.weights), list(x.biases)
    for layer, own in enumerate(factors):
        weights[layer] = weights[layer] * own.unsqueeze(1)
        biases[layer] = biases[layer] * own
        weights[layer + 1] = weights[layer + 1] / own.unsqueeze(2)
    return MLPWeights(tuple(weights), tuple(biases))


def _nonzero(factors: list[Tensor]) -> list[Tensor]:
    for layer, own in enumerate(factors):
        if not bool((own.isfinite() & (own != 0)).all()):
            raise ValueError(f"factors, hidden layer {layer}: expected finite numbers other than 0")
    return factors
