"""The chain of augmentations of the first repository (DWSNets), as published (specification of metanetworks, 3 and 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphlab.weightgraph.augment.inputs import rotate, scale, translate
from graphlab.weightgraph.augment.noise import deviation
from graphlab.weightgraph.augment.symmetries import positive_scale
from graphlab.weightgraph.mlp_weights import MLPWeights


def legacy_augment(
    x: MLPWeights,
    generator: torch.Generator | None = None,
    *,
    translation_scale: float = 0.25,
    rotation_degree: float = 45.0,
    noise_scale: float = 0.1,
    resize_scale: float = 0.2,
    pos_scale: float = 0.0,
    shift: Tensor | None = None,
    depth: Tensor | None = None,
    angle: Tensor | None = None,
    u: Tensor | None = None,
    factors: Sequence[Tensor] | None = None,
) -> MLPWeights:
    """Translation, rotation (of two inputs), a constant ``noise_scale std(x)`` a tensor, resizing, positive factors.

    The "noise" has no randomness: it is the deviation itself that is added, to all entries of a tensor alike. Sound noise
    is :func:`~graphlab.weightgraph.augment.gaussian_noise`.

    Args:
        x: Networks.
        generator: Of all that is not given.
        translation_scale, rotation_degree, noise_scale, resize_scale, pos_scale: How much; 0 for none.
        shift, depth: See :func:`~graphlab.weightgraph.augment.translate`.
        angle: See :func:`~graphlab.weightgraph.augment.rotate`.
        u: See :func:`~graphlab.weightgraph.augment.scale`.
        factors: See :func:`~graphlab.weightgraph.augment.positive_scale`.
    """
    x = translate(x, translation_scale, generator, shift=shift, depth=depth)
    if x.dims[0] == 2:
        x = rotate(x, rotation_degree, generator, angle=angle)
    x = x.map(lambda own: own + noise_scale * deviation(own))
    x = scale(x, resize_scale, generator, u=u)
    return positive_scale(x, pos_scale, generator, factors=factors)
