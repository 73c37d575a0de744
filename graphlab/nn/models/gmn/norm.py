"""Batch normalisation of edges that lie in several tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def batch_norm(norm: nn.BatchNorm1d, parts: Sequence[Tensor]) -> list[Tensor]:
    """``norm`` of the rows ``[*edges, channels]`` of all parts together; running statistics are updated in training.

    Raises:
        ValueError: in training, for a single row: it has no variance.
    """
    if not norm.training:
        return [
            F.batch_norm(
                part.reshape(-1, part.shape[-1]), norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            ).view(part.shape)
            for part in parts
        ]
    count = sum(part[..., 0].numel() for part in parts)
    if count < 2:
        raise ValueError(f"batch normalisation in training needs two edges or nodes at least, got {count}")
    total = sum((part.flatten(0, -2).sum(dim=0) for part in parts[1:]), start=parts[0].flatten(0, -2).sum(dim=0))
    mean = total / count
    squares = [(part - mean).square().flatten(0, -2).sum(dim=0) for part in parts]
    variance = sum(squares[1:], start=squares[0]) / count
    if norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None:
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)
            momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean, momentum)
            norm.running_var.lerp_(variance * (count / (count - 1)), momentum)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return [torch.addcmul(norm.bias - mean * scale, part, scale) for part in parts]
