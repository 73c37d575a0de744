"""Where features stand, and which linear maps between them commute with permutations (DWSNets, sections 4 and 5).

A tensor of the weight space is indexed by hidden layers, whose neurons may be permuted, and by inputs or outputs, which
may not: ``W_i`` by the neurons of layers i and i+1, ``b_i`` by those of layer i+1, and layers 0 and L are fixed. With
fixed axes counted among the features, a tensor is a set of vectors indexed by two hidden layers, by one or by none. A map
between two tensors keeps the hidden layers that both have and pools over those that only the source has; the result is
broadcast over those that only the target has. So there are three kinds of maps:

* both have two in common (``W_i -> W_i``, not the first or last): ``M1 x + M2 rows + M3 columns + M4 all``;
* one in common: a map of sets over its neurons;
* none: a map of vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from torch import Tensor

Reduction = Literal["max", "mean", "sum"]
Kind = Literal["weight", "bias"]

REDUCTIONS: dict[str, Callable[..., Tensor]] = {"max": Tensor.amax, "mean": Tensor.mean, "sum": Tensor.sum}


@dataclass(frozen=True)
class Place:
    """A tensor of the weight space.

    Attributes:
        kind, index: ``W_i`` or ``b_i``.
        axes: For each axis between batch and features, the layer of neurons that indexes it.
        dims: Sizes of all layers, ``d_0, ..., d_L``.
    """

    kind: Kind
    index: int
    axes: tuple[int, ...]
    dims: tuple[int, ...]

    @property
    def hidden(self) -> tuple[int, ...]:
        """The hidden layers that index it."""
        return tuple(layer for layer in self.axes if 0 < layer < len(self.dims) - 1)

    @property
    def fixed(self) -> int:
        """How many entries the axes of inputs and outputs make."""
        return prod(self.dims[layer] for layer in self.axes if layer not in self.hidden)

    def as_set(self, x: Tensor) -> Tensor:
        """``[B, *hidden, fixed * f]``: the tensor with its fixed axes flattened into the features, before them."""
        fixed = [1 + at for at, layer in enumerate(self.axes) if layer not in self.hidden]
        free = [1 + at for at, layer in enumerate(self.axes) if layer in self.hidden]
        return x.permute(0, *free, *fixed, x.dim() - 1).flatten(1 + len(free)) if fixed else x

    def as_tensor(self, x: Tensor, over: Sequence[int], flattened: bool = True) -> Tensor:
        """Broadcastable to ``[B, *axes, f]``, from ``[B, *over, fixed * f]``, or ``[B, *over, f]`` if not flattened.

        Args:
            x: A set over some of the hidden layers.
            over: Which.
            flattened: Whether the features hold the fixed axes.
        """
        fixed = [layer for layer in self.axes if layer not in self.hidden] if flattened else []
        x = x.unflatten(-1, (*(self.dims[layer] for layer in fixed), -1)) if fixed else x
        there = [*over, *fixed]
        order = [1 + there.index(layer) for layer in self.axes if layer in there]
        x = x.permute(0, *order, x.dim() - 1)
        return x[(slice(None), *(slice(None) if layer in there else None for layer in self.axes))]

    def pooled(self, x: Tensor, over: Sequence[int], reduction: Reduction) -> Tensor:
        """``[B, *over, c]``: a set ``[B, *hidden, c]`` pooled over the hidden layers that are not in ``over``."""
        gone = [1 + at for at, layer in enumerate(self.hidden) if layer not in over]
        return REDUCTIONS[reduction](x, gone) if gone else x


@dataclass(frozen=True)
class Map:
    """Of one tensor into another.

    Attributes:
        source, target: The tensors.
        whole: Whether what the target's fixed axes index are outputs of their own; else they are broadcast over.
        near: Whether the tensors are of the same or of neighbouring layers.
    """

    source: Place
    target: Place
    whole: bool
    near: bool

    @property
    def block(self) -> str:
        return f"{self.source.kind}_to_{self.target.kind}"

    @property
    def name(self) -> str:
        return f"{self.source.index}_{self.target.index}"

    @property
    def over(self) -> tuple[int, ...]:
        """The hidden layers that both have."""
        return tuple(layer for layer in self.source.hidden if layer in self.target.hidden)

    @property
    def width(self) -> int:
        """By how much the target's features are multiplied."""
        return self.target.fixed if self.whole else 1


def places(dims: Sequence[int]) -> tuple[Place, ...]:
    """``W_0, ..., W_{L-1}``, then ``b_0, ..., b_{L-1}``."""
    dims, layers = tuple(dims), range(len(dims) - 1)
    weights = (Place("weight", i, (i, i + 1), dims) for i in layers)
    return (*weights, *(Place("bias", i, (i + 1,), dims) for i in layers))


def maps(dims: Sequence[int], diagonal: bool, full: bool) -> Iterator[Map]:
    """All maps of a layer, source by source.

    Args:
        dims: ``d_0, ..., d_L``.
        diagonal: Only those between tensors of the same or of neighbouring layers.
        full: Whether ``W_{L-2} -> W_{L-1}`` and ``b_i -> W_{L-1}``, i < L-2, tell outputs apart, as the theorem says.
            In the published network they do not.
    """
    last = len(dims) - 2
    for source in places(dims):
        for target in places(dims):
            i, j = source.index, target.index
            match source.kind, target.kind:
                case "weight", "weight":
                    near, blind = abs(i - j) <= 1, i == j - 1
                case "bias", "bias":
                    near, blind = i == j, False
                case "bias", "weight":
                    near, blind = i in (j, j - 1), i < j - 1
                case _:
                    near, blind = i in (j, j + 1), False
            if near or not diagonal:
                yield Map(source, target, full or not (blind and j == last), near)
