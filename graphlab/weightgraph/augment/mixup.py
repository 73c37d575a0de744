"""MixUp in weight space (Shamsian et al., "Improved Generalization of Weight Space Networks via Augmentations", ICML 2024,
section 4): ``lambda a + (1 - lambda) b`` of two networks, and of their labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphlab.weightgraph.align_mlps import AlignedMLPs, align_mlps, check_pair
from graphlab.weightgraph.augment.draws import per_network, uniform
from graphlab.weightgraph.augment.inputs import rotate, scale, translate
from graphlab.weightgraph.augment.noise import along, dropout, gaussian_noise, quantile
from graphlab.weightgraph.augment.symmetries import siren_bias, siren_negation
from graphlab.weightgraph.mlp_weights import MLPWeights

Augmentation = Callable[[MLPWeights, torch.Generator | None], MLPWeights]

SINGLE: tuple[Augmentation, ...] = (
    lambda x, generator: dropout(x, generator=generator),
    lambda x, generator: translate(x, generator=generator),
    lambda x, generator: rotate(x, generator=generator) if x.dims[0] == 2 else translate(x, generator=generator),
    lambda x, generator: gaussian_noise(x, generator=generator),
    lambda x, generator: scale(x, generator=generator),
    lambda x, generator: quantile(x, generator=generator),
    lambda x, generator: siren_negation(x, generator=generator),
    lambda x, generator: siren_bias(x, generator=generator),
)
"""Every augmentation of a single network, as published; networks that cannot be rotated are translated."""


class Mixed(NamedTuple):
    """Mixed networks.

    Attributes:
        x: The networks.
        weight: ``[B]``: the share of the first network's label; see
            :func:`~graphlab.weightgraph.augment.mixed_labels`.
        alignment: How the second network was permuted, if it was.
    """

    x: MLPWeights
    weight: Tensor
    alignment: AlignedMLPs | None = None


def mixup(
    a: MLPWeights, b: MLPWeights, generator: torch.Generator | None = None, *, alpha: Tensor | None = None
) -> Mixed:
    """The direct mixture, lambda uniform in [0, 1).

    Args:
        a, b: As many networks of one layout.
        generator: Of lambda.
        alpha: Instead: lambda, ``[B]``, or one for all.

    Raises:
        ValueError: for networks that do not fit.
    """
    return _mixed(a, b, alpha, (0.0, 1.0), generator)


def mixup_weights_only(
    a: MLPWeights, b: MLPWeights, generator: torch.Generator | None = None, *, alpha: Tensor | None = None
) -> Mixed:
    """:func:`mixup` with the label of the nearer network: that of the first for lambda >= 1/2."""
    mixed = mixup(a, b, generator, alpha=alpha)
    return mixed._replace(weight=(mixed.weight >= 0.5).to(mixed.weight))


def mixup_permuted(
    a: MLPWeights,
    b: MLPWeights,
    generator: torch.Generator | None = None,
    *,
    alpha: Tensor | None = None,
    permutations: Sequence[Tensor] | None = None,
) -> Mixed:
    """:func:`mixup` of the first network with its hidden neurons in random order ("randomized").

    Args:
        a, b, generator, alpha: As for :func:`mixup`.
        permutations: Instead of random ones: see :meth:`MLPWeights.permute`.
    """
    check_pair(a, b)
    return mixup(a.permute(permutations or a.random_permutations(generator)), b, generator, alpha=alpha)


def mixup_aligned(
    a: MLPWeights,
    b: MLPWeights,
    generator: torch.Generator | None = None,
    *,
    between: tuple[float, float] = (0.0, 1.0),
    alpha: Tensor | None = None,
    orders: Sequence[Sequence[int]] | Tensor | None = None,
) -> Mixed:
    """:func:`mixup` with the second network's hidden neurons in the order closest to the first's.

    Args:
        a, b: As for :func:`mixup`.
        generator: Of lambda and of the order in which layers are matched.
        between: lambda is uniform between these.
        alpha: Instead of a random lambda.
        orders: Instead of random orders: see :func:`~graphlab.weightgraph.align_mlps.align_mlps`.
    """
    aligned = align_mlps(a, b, generator, orders=orders)
    return _mixed(a, aligned.x, alpha, between, generator)._replace(alignment=aligned)


def mixup_combined(
    a: MLPWeights, b: MLPWeights, generator: torch.Generator | None = None, *, alpha: Tensor | None = None
) -> Mixed:
    """:func:`mixup_aligned` of the first network translated, with noise and with neurons negated."""
    a = siren_negation(gaussian_noise(translate(a, generator=generator), generator=generator), generator=generator)
    return mixup_aligned(a, b, generator, alpha=alpha)


def mixup_self(
    a: MLPWeights,
    generator: torch.Generator | None = None,
    *,
    alpha: Tensor | None = None,
    augmentations: Sequence[Augmentation] = SINGLE,
) -> Mixed:
    """:func:`mixup_aligned` with what :func:`one_of` makes of the network itself. The label stays as it is."""
    mixed = mixup_aligned(a, one_of(a, generator, augmentations), generator, alpha=alpha)
    return mixed._replace(weight=torch.ones_like(mixed.weight))


def one_of(
    x: MLPWeights, generator: torch.Generator | None = None, augmentations: Sequence[Augmentation] = SINGLE
) -> MLPWeights:
    """Each network changed by one of the augmentations, drawn uniformly."""
    device = x.weights[0].device
    choice = torch.randint(len(augmentations), (len(x),), generator=generator, device=device)
    made = []
    for number, augmentation in enumerate(augmentations):
        rows = (choice == number).nonzero().flatten()
        if len(rows):
            made.append((rows, augmentation(x.map(lambda own: own[rows]), generator)))  # noqa: B023
    back = torch.cat([rows for rows, _ in made]).argsort()
    return made[0][1].map(lambda *parts: torch.cat(parts)[back], *(part for _, part in made[1:]))


def _mixed(
    a: MLPWeights,
    b: MLPWeights,
    alpha: Tensor | None,
    between: tuple[float, float],
    generator: torch.Generator | None,
) -> Mixed:
    check_pair(a, b)
    low, up = between
    if not 0 <= low <= up <= 1:
        raise ValueError(f"between: expected 0 <= low <= up <= 1, got {between}")
    share = low + (up - low) * uniform(a, (len(a),), generator) if alpha is None else per_network("alpha", a, alpha)
    return Mixed(a.map(lambda ours, theirs: torch.lerp(theirs, ours, along(share, ours)), b), share)
