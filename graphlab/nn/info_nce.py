"""InfoNCE, the loss of contrastive learning (van den Oord, Li, Vinyals, 2018; as NT-Xent: Chen et al., SimCLR, 2020)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def info_nce_logits(features: Tensor, temperature: float = 0.1) -> tuple[Tensor, Tensor]:
    """Cosine similarities of two views of n examples, divided by the temperature, the positive pair first.

    Args:
        features: ``[2 n, channels]``: n rows of the first view, then n of the second, in the same order.
        temperature: Positive.

    Returns:
        ``[2 n, 2 n - 1]``: for each row the other view of its example, then all other rows in their order; and int64
        ``[2 n]``, the class of the positive, 0. The loss is their mean cross entropy.

    Raises:
        ValueError: for an odd number of rows, none, or a temperature that is not positive.
    """
    if features.dim() != 2 or len(features) % 2 or not len(features):
        raise ValueError(
            f"features: expected [2 n, channels], two views of n >= 1 examples, got {list(features.shape)}"
        )
    if temperature <= 0:
        raise ValueError(f"temperature: expected a positive number, got {temperature}")
    rows = len(features)
    unit = F.normalize(features, dim=1)
    similar = unit @ unit.t()
    other = torch.arange(rows, device=features.device).roll(rows // 2)
    kept = torch.ones_like(similar, dtype=torch.bool).fill_diagonal_(False)
    kept[torch.arange(rows, device=features.device), other] = False
    positive = similar.gather(1, other.unsqueeze(1))
    logits = torch.cat([positive, similar[kept].view(rows, rows - 2)], dim=1) / temperature
    return logits, torch.zeros(rows, dtype=torch.int64, device=features.device)


def info_nce(features: Tensor, temperature: float = 0.1) -> Tensor:
    """The mean cross entropy of :func:`info_nce_logits`."""
    return F.cross_entropy(*info_nce_logits(features, temperature))
