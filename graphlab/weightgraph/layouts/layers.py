"""The layers that published layouts are drawn from, as declarations: names and sizes, no tensors.

A network is a flat list of them. ``parameters`` lists the names of a layer's parameters in the order in which the edges
of a parameter graph carry them, which is that of the published inverse map (specification of metanetworks, 2.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from graphlab.weightgraph.wiring import WiringError


@dataclass(frozen=True)
class Linear:
    """``W x + b``: ``NAME.weight`` ``[out_features, in_features]`` and ``NAME.bias``."""

    name: str
    in_features: int
    out_features: int
    bias: bool = True

    @property
    def parameters(self) -> tuple[str, ...]:
        return _affine(self.name, True, self.bias)


@dataclass(frozen=True)
class Conv:
    """A convolution over one to three axes: ``NAME.weight`` ``[out_channels, in_channels, *kernel]`` and ``NAME.bias``.

    Raises:
        WiringError: if the kernel has no axis or more than three.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: tuple[int, ...]
    bias: bool = True

    def __post_init__(self) -> None:
        if not 1 <= len(self.kernel) <= 3:
            raise WiringError(f"{self.name}: expected a kernel of one to three axes, got {self.kernel}")

    @property
    def parameters(self) -> tuple[str, ...]:
        return _affine(self.name, True, self.bias)


@dataclass(frozen=True)
class Norm:
    """Batch, layer, group or instance norm: gamma is ``NAME.weight``, beta ``NAME.bias``, both ``[features]``."""

    name: str
    kind: Literal["bn", "ln", "gn", "in"]
    features: int
    weight: bool = True
    bias: bool = True

    @property
    def parameters(self) -> tuple[str, ...]:
        return _affine(self.name, self.weight, self.bias)


@dataclass(frozen=True)
class ResidualConv:
    """``bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)``, 2-d, where ``shortcut`` is the identity or a projection.

    The projection is ``shortcut.0``, a convolution of kernel 1, and ``shortcut.1``, a batch norm. No convolution has a
    bias.
    """

    name: str
    in_channels: int
    channels: int
    projected: bool = False
    kernel: tuple[int, ...] = (3, 3)

    def __post_init__(self) -> None:
        if not self.projected and self.in_channels != self.channels:
            raise WiringError(
                f"{self.name}: a shortcut from {self.in_channels} to {self.channels} channels must be projected"
            )

    @property
    def branch(self) -> tuple[tuple[Conv, Norm], tuple[Conv, Norm]]:
        """Both convolutions, each with the norm after it."""
        first = Conv(f"{self.name}.conv1", self.in_channels, self.channels, self.kernel, bias=False)
        second = Conv(f"{self.name}.conv2", self.channels, self.channels, self.kernel, bias=False)
        bn1, bn2 = (Norm(f"{self.name}.bn{number}", "bn", self.channels) for number in (1, 2))
        return (first, bn1), (second, bn2)

    @property
    def shortcut(self) -> tuple[Conv, Norm] | None:
        """The projection, if there is one."""
        if not self.projected:
            return None
        conv = Conv(f"{self.name}.shortcut.0", self.in_channels, self.channels, (1, 1), bias=False)
        return conv, Norm(f"{self.name}.shortcut.1", "bn", self.channels)

    @property
    def parameters(self) -> tuple[str, ...]:
        pairs = (*self.branch, *((self.shortcut,) if self.shortcut else ()))
        return tuple(name for pair in pairs for layer in pair for name in layer.parameters)


@dataclass(frozen=True)
class ResidualAttention:
    """``x + attention(x)`` with the names of ``torch.nn.MultiheadAttention`` under ``NAME.attn``.

    ``in_proj_weight`` ``[3 embed_dim, embed_dim]`` holds the rows of the queries, then the keys, then the values.
    Parameter graphs do not draw the heads.

    Raises:
        WiringError: if the width cannot be divided among the heads.
    """

    name: str
    embed_dim: int
    bias: bool = True
    num_heads: int = 1

    def __post_init__(self) -> None:
        if self.num_heads < 1 or self.embed_dim % self.num_heads:
            raise WiringError(f"{self.name}: {self.embed_dim} neurons cannot be divided among {self.num_heads} heads")

    @property
    def packed(self) -> tuple[str, str]:
        """Names of the packed projections' weight and bias."""
        return f"{self.name}.attn.in_proj_weight", f"{self.name}.attn.in_proj_bias"

    @property
    def out(self) -> Linear:
        return Linear(f"{self.name}.attn.out_proj", self.embed_dim, self.embed_dim, self.bias)

    @property
    def parameters(self) -> tuple[str, ...]:
        return *(self.packed if self.bias else self.packed[:1]), *self.out.parameters


@dataclass(frozen=True)
class ResidualFFN:
    """``x + lin2(relu(lin1(x)))``."""

    name: str
    d_model: int
    d_ff: int

    @property
    def branch(self) -> tuple[Linear, Linear]:
        return (
            Linear(f"{self.name}.lin1", self.d_model, self.d_ff),
            Linear(f"{self.name}.lin2", self.d_ff, self.d_model),
        )

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(name for linear in self.branch for name in linear.parameters)


@dataclass(frozen=True)
class SetLinear:
    """The equivariant layer of sets, ``lin1(x) + lin2(mean(x))``; only ``lin1`` has a bias.

    Attributes:
        axes: How many axes the weights have: 3, ``[out_dim, in_dim, 1]``, where they are convolutions of kernel 1 as
            published; 2, ``[out_dim, in_dim]``, where they are linear.
    """

    name: str
    in_dim: int
    out_dim: int
    axes: Literal[2, 3] = 3

    @property
    def parameters(self) -> tuple[str, str, str]:
        return f"{self.name}.lin1.weight", f"{self.name}.lin1.bias", f"{self.name}.lin2.weight"


@dataclass(frozen=True)
class TriplanarGrid:
    """Three planes (xy, yz, zx) of ``size x size`` points with ``features`` learned numbers each.

    What comes after it reads the coordinates x, y and z, then the features.

    Attributes:
        shape: Of ``NAME.tgrid``: ``[1, 3 features, size, size]``.
    """

    name: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        match self.shape:
            case (1, channels, rows, columns) if channels % 3 == 0 and rows == columns:
                return
        raise WiringError(f"{self.name}: expected a grid [1, 3 features, size, size], got {list(self.shape)}")

    @property
    def features(self) -> int:
        return self.shape[1] // 3

    @property
    def size(self) -> int:
        return self.shape[2]

    @property
    def parameters(self) -> tuple[str]:
        return (f"{self.name}.tgrid",)


Layer: TypeAlias = Linear | Conv | Norm | ResidualConv | ResidualAttention | ResidualFFN | SetLinear | TriplanarGrid
"""Any declaration."""


def _affine(name: str, weight: bool, bias: bool) -> tuple[str, ...]:
    return (f"{name}.weight",) * weight + (f"{name}.bias",) * bias
