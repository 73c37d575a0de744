"""What a wiring is made of: ranges of nodes, blocks of edges, and the entries of parameters that either carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor


class WiringError(ValueError):
    """A layout that cannot hold a network, or a graph that is not of the wiring it is read back through."""


@dataclass(frozen=True)
class Nodes:
    """A range of nodes that follow one another.

    Attributes:
        name: Unique in its wiring.
        size: How many.
        start: Number of the first.
        type: The layout's number for their kind.
        layer: The layout's number for their depth.
        ordered: Whether the nodes are told apart by their place in the range (inputs, outputs).
        values: The entries of a parameter that the nodes carry, the constant that each does, or nothing.
    """

    name: str
    size: int
    start: int
    type: int = 0
    layer: int = 0
    ordered: bool = False
    values: View | float | None = None


@dataclass(frozen=True)
class View:
    """Entries of a parameter in the order of a block's edges, or of a range's nodes.

    The tensor is narrowed to ``length`` indices from ``start`` for each ``(axis, start, length)`` of ``narrow`` (a term
    of a sum), axes are divided into ``sizes`` for each ``(axis, sizes)`` of ``unflatten`` (the factors of a product),
    the axes that are there then are narrowed as ``inner`` says (a sum inside a product), ``copies`` of the entries make
    a new first axis, and the axes are permuted to ``order``: those that number the edges, then those that number the
    slots. Row by row the result is what the edges carry.

    A tensor with more axes holds the parameter of several networks: the leading axes stay as they are.

    ``reinterpreted``: the axes need not be those of the block, merged or divided; entries are laid along the edges in
    their order all the same. Only published drawings that misread a tensor need it.
    """

    parameter: str
    order: tuple[int, ...]
    narrow: tuple[tuple[int, int, int], ...] = ()
    unflatten: tuple[tuple[int, tuple[int, ...]], ...] = ()
    inner: tuple[tuple[int, int, int], ...] = ()
    reinterpreted: bool = False
    copies: int | None = None

    def batch(self, tensor: Tensor) -> tuple[int, ...]:
        """The leading axes of a tensor that holds the parameter of several networks.

        Raises:
            WiringError: if the tensor has fewer axes than the parameter.
        """
        axes = len(self.order) - sum(len(sizes) - 1 for _, sizes in self.unflatten) - (self.copies is not None)
        if tensor.dim() < axes:
            raise WiringError(f"{self.parameter}: expected a tensor of {axes} axes, got {list(tensor.shape)}")
        return tuple(tensor.shape[: tensor.dim() - axes])

    def of(self, tensor: Tensor) -> Tensor:
        """``[*batch, *axes]``: the view of a parameter's tensor. Without copies, writing into it writes the tensor."""
        lead = len(self.batch(tensor))
        for axis, start, length in self.narrow:
            tensor = tensor.narrow(lead + axis, start, length)
        for axis, sizes in sorted(self.unflatten, reverse=True):
            tensor = tensor.view(*tensor.shape[: lead + axis], *sizes, *tensor.shape[lead + axis + 1 :])
        for axis, start, length in self.inner:
            tensor = tensor.narrow(lead + axis, start, length)
        if self.copies is not None:
            tensor = tensor.unsqueeze(lead).expand(*tensor.shape[:lead], self.copies, *tensor.shape[lead:])
        return tensor.permute([*range(lead), *(lead + axis for axis in self.order)])

    def write(self, values: Tensor, tensor: Tensor) -> None:
        """The inverse of :meth:`of`: write values into a parameter's tensor; of copies, the last one says."""
        view = self.of(tensor)
        values = values.reshape(view.shape)
        if self.copies is not None:
            axis = view.dim() - len(self.order) + self.order.index(0)
            view, values = view.select(axis, -1), values.select(axis, -1)
        view.copy_(values)


@dataclass(frozen=True)
class Block:
    """Edges from a range of nodes to another, in row-major order of ``shape``.

    ``source_axes`` are the axes of ``shape`` that number the source nodes (row-major, relative to ``source``), and
    ``target_axes`` the same for the targets. An axis that is in neither makes parallel edges (kernel taps). So

    * dense: ``shape (m, n)``, axes ``(0,)`` and ``(1,)``;
    * diagonal: ``shape (n,)``, ``(0,)`` and ``(0,)``;
    * one unit to all: ``shape (n,)``, ``()`` and ``(0,)``.

    Attributes:
        source, target: Names of the ranges.
        source_offset, target_offset: Where in them the block begins.
        slots: Values an edge carries.
        values: The entries of a parameter, or the constant that every edge carries in its first slot.
        type, layer: The layout's numbers for what the edges are and how deep they lie.
        places: The slots that the values take, in their order; default all of them. The others are zero.
    """

    source: str
    target: str
    shape: tuple[int, ...]
    source_axes: tuple[int, ...]
    target_axes: tuple[int, ...]
    values: View | float
    type: int = 0
    layer: int = 0
    slots: int = 1
    source_offset: int = 0
    target_offset: int = 0
    places: tuple[int, ...] | None = None

    @property
    def num_edges(self) -> int:
        return prod(self.shape)

    def numbers(self, axes: Sequence[int]) -> Tensor:
        """int64, broadcastable to ``shape``: the row-major number that the indices of ``axes`` make."""
        sizes = [self.shape[axis] for axis in axes]
        numbers = torch.arange(prod(sizes)).view(sizes).permute(sorted(range(len(axes)), key=axes.__getitem__))
        return numbers.reshape([size if axis in axes else 1 for axis, size in enumerate(self.shape)])

    @property
    def entries(self) -> int:
        """Entries of a parameter that an edge carries."""
        return self.slots if self.places is None else len(self.places)
