"""Augmentations that move, turn or scale what a network's inputs see: of an image in the weights, the picture."""

from __future__ import annotations

import torch
from torch import Tensor

from graphlab.weightgraph.augment.draws import between, per_network, uniform
from graphlab.weightgraph.augment.noise import along
from graphlab.weightgraph.mlp_weights import MLPWeights


def translate(
    x: MLPWeights,
    scale: float = 0.25,
    generator: torch.Generator | None = None,
    *,
    shift: Tensor | None = None,
    depth: Tensor | None = None,
) -> MLPWeights:
    """``b_{o-1} + t W_0 ... W_{o-1}``, t uniform in ``+-scale``, the depth o uniform in 1, ..., L-1.

    At depth 1 the network computes ``f(x + t)``. Deeper it would if the layers before were linear.

    Args:
        x: Networks.
        scale: The largest shift.
        generator: Of shift and depth.
        shift: Instead: t, ``[B, d_0]`` or ``[B, d_0, features]``.
        depth: Instead: o, ``[B]``, or one for all.

    Raises:
        ValueError: for shifts of another shape, or depths outside 1, ..., L-1 (1 for one layer).
    """
    deepest, (batch, inputs) = max(x.num_layers - 1, 1), (len(x), x.dims[0])
    if shift is None:
        shift = between(x, (batch, inputs, x.features), scale, generator)
    if depth is None:
        depth = torch.randint(1, deepest + 1, (batch,), generator=generator, device=shift.device)
    shift = (shift.unsqueeze(-1) if shift.dim() == 2 else shift).to(x.weights[0])
    if shift.dim() != 3 or shift.shape[:2] != (batch, inputs) or shift.shape[2] not in (1, x.features):
        raise ValueError(
            f"shift: expected [{batch}, {inputs}] or [{batch}, {inputs}, {x.features}], got {list(shift.shape)}"
        )
    if bool(((depth < 1) | (depth > deepest)).any()):
        raise ValueError(f"depth: expected 1 to {deepest}, got {depth.tolist()}")
    at = per_network("depth", x, depth)
    biases = list(x.biases)
    for layer in range(deepest):
        shift = torch.einsum("bic,bijc->bjc", shift.expand(-1, -1, x.features), x.weights[layer])
        biases[layer] = biases[layer] + torch.where(along(at == layer + 1, shift), shift, 0)
    return MLPWeights(x.weights, tuple(biases))


def rotate(
    x: MLPWeights, degrees: float = 30.0, generator: torch.Generator | None = None, *, angle: Tensor | None = None
) -> MLPWeights:
    """``R W_0``, ``R = [[cos, -sin], [sin, cos]]`` on the two inputs: the network computes ``f(R^T x)``.

    Args:
        x: Networks of two inputs.
        degrees: The angle is uniform in ``+-degrees``.
        generator: Of the angle.
        angle: Instead: degrees, ``[B]``, or one for all.

    Raises:
        ValueError: for networks of other than two inputs.
    """
    if x.dims[0] != 2:
        raise ValueError(f"rotate: expected networks of 2 inputs, got {x.dims[0]}")
    if angle is None:
        angle = between(x, (len(x),), degrees, generator)
    radians = torch.deg2rad(per_network("angle", x, angle))
    cos, sin = radians.cos(), radians.sin()
    turn = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
    first = x.weights[0]
    return MLPWeights((torch.bmm(turn, first.flatten(2)).view(first.shape), *x.weights[1:]), x.biases)


def scale(
    x: MLPWeights, s: float = 0.2, generator: torch.Generator | None = None, *, u: Tensor | None = None
) -> MLPWeights:
    """``W_0 (1 + (2 u - 1) s)``, u uniform in [0, 1): the network computes ``f(x)`` of inputs scaled by that.

    Args:
        x: Networks.
        s: The most that inputs are scaled by, more or less than 1.
        generator: Of u.
        u: Instead: ``[B]``, or one for all.
    """
    if u is None:
        u = uniform(x, (len(x),), generator)
    factor = 1 + (2 * per_network("u", x, u) - 1) * s
    return MLPWeights((x.weights[0] * along(factor, x.weights[0]), *x.weights[1:]), x.biases)
