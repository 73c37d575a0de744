"""Convolutional networks of all kinds: those of the CNN Wild Park (specification of neural_graphs, 2.9 and 3)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from graphlab.weightgraph.layouts.layers import Layer
from graphlab.weightgraph.layouts.reading import read_layers

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": F.tanh,
    "sigmoid": F.sigmoid,
    "leaky_relu": F.leaky_relu,
}
"""By the published names, in the published order."""


class WildParkCNN(nn.Module):
    """Convolutions of stride 1, each with its own kernel size and activation, with residuals, and a linear classifier.

    ``h_i = activation_i(conv_i(h_{i-1}) + h_r)``, where ``r = residual[i]`` is an earlier layer and the sum is over the
    channels that both have. The classifier reads the mean of the last map, or all of it, flattened.

    Args:
        channels: Of the input and of each convolution: one more than there are convolutions.
        kernel_size: Of each convolution, padded by half of it (rounded down) on every side.
        num_classes: Outputs.
        residual: For each convolution the earlier one (from 0) whose output is added, or -1; default none.
        activation: Of each convolution, one of :data:`ACTIVATIONS`; default ``relu``.
        map_size: Positions of the last map, if it is flattened; ``None`` for its mean.

    Raises:
        ValueError: if the lists do not have an entry for each convolution, an activation is unknown, or a residual does
            not come from an earlier layer.
    """

    def __init__(
        self,
        channels: Sequence[int],
        kernel_size: Sequence[int],
        num_classes: int,
        residual: Sequence[int] | None = None,
        activation: Sequence[str] | None = None,
        map_size: int | None = None,
    ) -> None:
        super().__init__()
        depth = len(channels) - 1
        self.residual = tuple(residual) if residual is not None else (-1,) * depth
        self.activation = tuple(activation) if activation is not None else ("relu",) * depth
        self.flat = map_size is not None
        for what, given in (
            ("kernel sizes", kernel_size),
            ("residuals", self.residual),
            ("activations", self.activation),
        ):
            if depth < 1 or len(given) != depth:
                raise ValueError(f"expected {what} of {depth} >= 1 convolutions, got {list(given)}")
        unknown = set(self.activation) - set(ACTIVATIONS)
        if unknown:
            raise ValueError(f"unknown activations {sorted(unknown)}: there are {', '.join(ACTIVATIONS)}")
        for number, origin in enumerate(self.residual):
            if not -1 <= origin < number:
                raise ValueError(
                    f"the residual of layer {number} must come from an earlier one, or be -1, got {origin}"
                )
        self.layers = nn.ModuleList(
            nn.Conv2d(*sizes, kernel, padding=kernel // 2)
            for sizes, kernel in zip(pairwise(channels), kernel_size, strict=True)
        )
        self.fc = nn.Linear(channels[-1] * (map_size or 1), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels[0], height, width]`` to ``[B, num_classes]``."""
        outputs: list[Tensor] = []
        for conv, origin, name in zip(self.layers, self.residual, self.activation, strict=True):
            x = conv(x)
            if origin >= 0:
                added = outputs[origin]
                common = min(x.shape[1], added.shape[1])
                x = x + F.pad(added[:, :common], (0, 0, 0, 0, 0, x.shape[1] - common))
            x = ACTIVATIONS[name](x)
            outputs.append(x)
        scores: Tensor = self.fc(x.flatten(1) if self.flat else x.mean(dim=(2, 3)))
        return scores

    def declare(self) -> list[Layer]:
        """The layers, by the names of the state dict, for layouts to draw."""
        return read_layers(nn.Sequential(OrderedDict(self.named_children())))
