"""The 1,797 handwritten digits of scikit-learn (UCI, Alpaydin and Kaynak 1998): what the offline zoos are made of."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor

SIDE = 8
"""Pixels of a row, and of a column."""

_PARTS = (0.7, 0.1, 0.2)


class Digits(NamedTuple):
    """Images ``[1797, 8, 8]`` in [0, 1], labels ``[1797]``, and the part of each image, a number of ``SPLITS``."""

    images: Tensor
    labels: Tensor
    split: Tensor


@functools.cache
def digits() -> Digits:
    """The images in their order, always with the same division: 1,258, 180 and 359."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    images = torch.from_numpy(raw.images).float() / 16
    first, second = round(_PARTS[0] * len(images)), round((_PARTS[0] + _PARTS[1]) * len(images))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    split = torch.full((len(images),), 2)
    split[order[:first]], split[order[first:second]] = 0, 1
    return Digits(images, torch.from_numpy(raw.target).long(), split)
