"""SIRENs: signals as networks (Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions",
NeurIPS 2020), as the published collections of them are built (specification of metanetworks, 2.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import sqrt
from typing import cast

import torch
from torch import Tensor, nn


class Siren(nn.Sequential):
    """``h_{l+1} = sin(w0 (W_l h_l + b_l))``; the last layer is ``W h + b + offset``.

    Parameters are ``0.weight`` ``[n_1, n_0]``, ``0.bias`` ``[n_1]``, ``1.weight``, ... Hidden weights start uniform in
    ``+-sqrt(6 / n_in) / w0``, those of the first layer too, and hidden biases at 0; the last layer as ``torch`` makes
    it.

    Args:
        layout: ``[n_0, ..., n_L]``.
        w0: Of every hidden layer.
        offset: Added to the outputs.

    Raises:
        ValueError: if the layout has fewer than two sizes, or one below 1.
    """

    def __init__(self, layout: Sequence[int], w0: float = 30.0, offset: float = 0.5) -> None:
        if len(layout) < 2 or min(layout) < 1:
            raise ValueError(f"expected a layout [n_0, ..., n_L] of two sizes or more, each 1 or more, got {layout}")
        super().__init__(*(nn.Linear(*sizes) for sizes in pairwise(layout)))
        self.layout, self.w0, self.offset = tuple(layout), w0, offset
        for layer in list(self)[:-1]:
            linear = cast(nn.Linear, layer)
            bound = sqrt(6 / linear.in_features) / w0
            nn.init.uniform_(linear.weight, -bound, bound)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., n_0]`` to ``[..., n_L]``."""
        *hidden, last = self
        for layer in hidden:
            x = torch.sin(self.w0 * layer(x))
        return cast(Tensor, last(x)) + self.offset


def sirens(tensors: Mapping[str, Tensor], x: Tensor, w0: float = 30.0, offset: float = 0.5) -> Tensor:
    """What many SIRENs of one layout answer: :class:`Siren` for each, as batched products.

    Args:
        tensors: ``l.weight`` ``[B, n_{l+1}, n_l]`` and ``l.bias`` ``[B, n_{l+1}]`` for l = 0, 1, ...
        x: ``[P, n_0]``, the same for all, or ``[B, P, n_0]``.

    Returns:
        ``[B, P, n_L]``.
    """
    depth = len(tensors) // 2
    h = x.expand(len(tensors["0.weight"]), -1, -1)
    for layer in range(depth):
        h = torch.baddbmm(tensors[f"{layer}.bias"].unsqueeze(1), h, tensors[f"{layer}.weight"].transpose(1, 2))
        h = h + offset if layer == depth - 1 else torch.sin(w0 * h)
    return h


def pixel_grid(height: int, width: int) -> Tensor:
    """``[height * width, 2]``: where pixels are in [-1, 1]^2, row by row; the first number is that of the column."""
    rows, columns = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
    return torch.stack([columns.repeat(height), rows.repeat_interleave(width)], dim=1)
