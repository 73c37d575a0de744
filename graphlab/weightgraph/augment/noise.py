"""Augmentations that change what a network computes at random: noise, dropout, small entries set to zero."""

from __future__ import annotations

import torch
from torch import Tensor

from graphlab.weightgraph.augment.draws import per_network, probability, uniform
from graphlab.weightgraph.mlp_weights import MLPWeights

EPSILON = 1e-8
"""Added to the deviation of a tensor."""


def dropout(
    x: MLPWeights, p: float = 0.1, generator: torch.Generator | None = None, *, keep: MLPWeights | None = None
) -> MLPWeights:
    """Each entry is 0 with probability ``p``, else divided by ``1 - p``.

    Args:
        x: Networks.
        p: Probability, below 1.
        generator: Of what is kept.
        keep: Instead: 1 or true where an entry is kept, shaped as ``x``.

    Raises:
        ValueError: for ``p`` outside [0, 1).
    """
    if probability("p", p) == 1:
        raise ValueError("p: expected less than 1, which would leave nothing")
    if keep is None:
        keep = x.map(lambda own: torch.rand(own.shape, generator=generator, dtype=own.dtype, device=own.device) >= p)
    return x.map(lambda own, kept: own * (kept.to(own) / (1 - p)), keep)


def gaussian_noise(
    x: MLPWeights, scale: float = 0.32, generator: torch.Generator | None = None, *, normal: MLPWeights | None = None
) -> MLPWeights:
    """``x + scale (std(x) + 1e-8) n`` for each tensor of each network, n standard normal.

    The deviation is the unbiased one; that of a single entry is 0.

    Args:
        x: Networks.
        scale: Of the noise.
        generator: Of the noise.
        normal: Instead: n, shaped as ``x``.
    """
    if normal is None:
        normal = x.map(lambda own: torch.randn(own.shape, generator=generator, dtype=own.dtype, device=own.device))
    return x.map(lambda own, n: own + n * (scale * (deviation(own) + EPSILON)), normal)


def quantile(
    x: MLPWeights, q_max: float = 0.1, generator: torch.Generator | None = None, *, q: Tensor | None = None
) -> MLPWeights:
    """Every entry whose size is below the q-quantile of all of its network is set to 0, q uniform in [0, q_max).

    Args:
        x: Networks.
        q_max: The largest q, at most 1.
        generator: Of q.
        q: Instead: ``[B]``, or one for all.

    Raises:
        ValueError: for a quantile outside [0, 1].
    """
    if q is None:
        q = probability("q_max", q_max) * uniform(x, (len(x),), generator)
    threshold = quantile_threshold(x, q)
    return x.map(lambda own: torch.where(own.abs() < along(threshold, own), 0, own))


def quantile_threshold(x: MLPWeights, q: Tensor) -> Tensor:
    """``[B]``: the q-quantile of the sizes of all entries of each network, between two of them by linear interpolation.

    Raises:
        ValueError: for a quantile outside [0, 1].
    """
    q = per_network("q", x, q)
    if not bool(((q >= 0) & (q <= 1)).all()):
        raise ValueError(f"q: expected numbers in [0, 1], got {q.tolist()}")
    sizes = torch.cat([own.flatten(1) for own in x.tensors()], dim=1).abs().sort(dim=1).values
    place = q * (sizes.shape[1] - 1)
    below, above = (sizes.gather(1, at.long().unsqueeze(1)).squeeze(1) for at in (place.floor(), place.ceil()))
    return torch.lerp(below, above, place - place.floor())


def deviation(own: Tensor) -> Tensor:
    """Broadcastable to a tensor ``[B, ...]``: the unbiased deviation of each row, 0 of a single entry."""
    flat = own.flatten(1)
    return along(flat.std(dim=1) if flat.shape[1] > 1 else flat.new_zeros(len(flat)), own)


def along(numbers: Tensor, own: Tensor) -> Tensor:
    """``[B]`` as ``[B, 1, ...]``."""
    return numbers.view(-1, *[1] * (own.dim() - 1))
