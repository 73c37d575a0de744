"""Soft labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def label_smoothing(
    label: Tensor, num_classes: int, smoothing: float = 0.1, dtype: torch.dtype = torch.float32
) -> Tensor:
    """``[*, num_classes]``: ``(1 - r) onehot + r / C`` of integer labels ``[*]``.

    Raises:
        ValueError: for a label outside 0, ..., C-1, or a smoothing outside [0, 1].
    """
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing: expected a number in [0, 1], got {smoothing}")
    return (1 - smoothing) * one_hot(label, num_classes, dtype) + smoothing / num_classes


def mixed_labels(first: Tensor, second: Tensor, weight: Tensor, num_classes: int) -> Tensor:
    """``[B, num_classes]``: ``weight`` of the first label, the rest of the second, as MixUp pairs them.

    Args:
        first, second: int64 ``[B]``.
        weight: ``[B]``.
        num_classes: C.

    Raises:
        ValueError: for a label outside 0, ..., C-1.
    """
    ours, theirs = (one_hot(label, num_classes, weight.dtype) for label in (first, second))
    return torch.lerp(theirs, ours, weight.unsqueeze(-1))


def one_hot(label: Tensor, num_classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """``[*, num_classes]`` of labels ``[*]``.

    Raises:
        ValueError: for a label outside 0, ..., C-1.
    """
    wrong = label[(label < 0) | (label >= num_classes)]
    if wrong.numel():
        raise ValueError(f"expected labels from 0 to {num_classes - 1}, got {wrong.flatten()[0].item()}")
    return F.one_hot(label, num_classes).to(dtype)
