"""The residual modules that parameter graphs have drawings of, as modules, and how they are declared.

>>> net = nn.Sequential(nn.Linear(3, 8), ResidualSelfAttention(8, 2), ResidualFFN(8, 32), MeanOverSequence(), nn.Linear(8, 2))
>>> wiring = parameter_graph(net, readers=READERS)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from graphlab.weightgraph.layouts import layers
from graphlab.weightgraph.layouts.parameter_graph import Reader


class ResidualConvBlock(nn.Module):
    """``relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`` with kernels 3 x 3, padded, without biases.

    The shortcut is the identity, or with other channels a 1 x 1 convolution and a batch norm.
    """

    def __init__(self, in_channels: int, channels: int, projected: bool | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        projected = in_channels != channels if projected is None else projected
        modules = (nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels)) if projected else ()
        self.shortcut = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, in_channels, height, width]`` to ``[batch, channels, height, width]``."""
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))


class ResidualSelfAttention(nn.Module):
    """``x + attention(x)`` of sequences ``[batch, length, width]``."""

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.attn(x, x, x, need_weights=False)[0])


class ResidualFFN(nn.Module):
    """``x + lin2(relu(lin1(x)))``."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.lin2(F.relu(self.lin1(x))))


class EquivariantSetLinear(nn.Module):
    """``lin1(x) + lin2(mean(x))`` of sets ``[batch, channels, size]``; only ``lin1`` has a bias."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Conv1d(in_dim, out_dim, 1), nn.Conv1d(in_dim, out_dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.lin1(x) + self.lin2(x.mean(dim=2, keepdim=True)))


class MeanOverSequence(nn.Module):
    """``[batch, length, width]`` to ``[batch, width]``."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)


class ImageToSequence(nn.Module):
    """``[batch, channels, height, width]`` to ``[batch, height * width, channels]``."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


class ImageToSignal(nn.Module):
    """``[batch, channels, height, width]`` to ``[batch, channels, height * width]``."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2)


def _conv(name: str, module: nn.Module) -> layers.Layer:
    assert isinstance(module, ResidualConvBlock)
    conv = module.conv1
    return layers.ResidualConv(name, conv.in_channels, conv.out_channels, len(module.shortcut) > 0)


def _attention(name: str, module: nn.Module) -> layers.Layer:
    assert isinstance(module, ResidualSelfAttention)
    return layers.ResidualAttention(name, module.attn.embed_dim, num_heads=module.attn.num_heads)


def _ffn(name: str, module: nn.Module) -> layers.Layer:
    assert isinstance(module, ResidualFFN)
    return layers.ResidualFFN(name, module.lin1.in_features, module.lin1.out_features)


def _set(name: str, module: nn.Module) -> layers.Layer:
    assert isinstance(module, EquivariantSetLinear)
    return layers.SetLinear(name, module.lin1.in_channels, module.lin1.out_channels)


READERS: Mapping[type[nn.Module], Reader] = {
    ResidualConvBlock: _conv,
    ResidualSelfAttention: _attention,
    ResidualFFN: _ffn,
    EquivariantSetLinear: _set,
}
"""For :func:`~graphlab.weightgraph.layouts.parameter_graph.parameter_graph`."""
