"""``Wiring``: how a network is drawn as a graph, as ordered ranges of nodes and ordered blocks of edges.

Nothing here is as large as the network: a block says in a few numbers which edges there are and which entries of which
parameter they carry. Explicit graphs, their inverse, and message passing over blocks all follow from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from operator import mul

import torch
from torch import Tensor

from graphlab.weightgraph.allocation import zeros


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
    """

    name: str
    size: int
    start: int
    type: int = 0
    layer: int = 0
    ordered: bool = False


@dataclass(frozen=True)
class View:
    """Entries of a parameter in the order of a block's edges.

    The tensor is narrowed to ``length`` indices from ``start`` for each ``(axis, start, length)`` of ``narrow`` (a term
    of a sum), axes are divided into ``sizes`` for each ``(axis, sizes)`` of ``unflatten`` (the factors of a product),
    the axes that are there then are narrowed as ``inner`` says (a sum inside a product), and permuted to ``order``: the
    axes that number the edges, then those that number the slots. Row by row the result is what the edges carry.

    ``reinterpreted``: the axes need not be those of the block, merged or divided; entries are laid along the edges in
    their order all the same. Only published drawings that misread a tensor need it.
    """

    parameter: str
    order: tuple[int, ...]
    narrow: tuple[tuple[int, int, int], ...] = ()
    unflatten: tuple[tuple[int, tuple[int, ...]], ...] = ()
    inner: tuple[tuple[int, int, int], ...] = ()
    reinterpreted: bool = False

    def of(self, tensor: Tensor) -> Tensor:
        """The view of a parameter's tensor; writing into it writes into the tensor."""
        for axis, start, length in self.narrow:
            tensor = tensor.narrow(axis, start, length)
        for axis, sizes in sorted(self.unflatten, reverse=True):
            tensor = tensor.view(*tensor.shape[:axis], *sizes, *tensor.shape[axis + 1 :])
        for axis, start, length in self.inner:
            tensor = tensor.narrow(axis, start, length)
        return tensor.permute(self.order)


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

    @property
    def num_edges(self) -> int:
        return prod(self.shape)


class WiringError(ValueError):
    """A layout that cannot hold a network, or a graph that is not of the wiring it is read back through."""


class Wiring:
    """An ordered drawing: ``nodes`` by name, and ``blocks`` one after the other.

    Raises:
        WiringError: if ranges do not follow one another or a block leaves the ranges that it names.
    """

    def __init__(self, nodes: Iterable[Nodes], blocks: Iterable[Block]) -> None:
        self.nodes = {own.name: own for own in nodes}
        self.blocks = tuple(blocks)
        self.num_nodes = sum(own.size for own in self.nodes.values())
        self.num_edges = sum(block.num_edges for block in self.blocks)
        self.slots = max((block.slots for block in self.blocks), default=1)
        start = 0
        for own in self.nodes.values():
            if own.start != start:
                raise WiringError(f"nodes {own.name} start at {own.start}, expected {start}")
            start += own.size
        for block in self.blocks:
            for name, axes, offset in (
                (block.source, block.source_axes, block.source_offset),
                (block.target, block.target_axes, block.target_offset),
            ):
                needed = offset + prod(block.shape[axis] for axis in axes)
                if needed > self.nodes[name].size:
                    raise WiringError(f"a block needs {needed} of the {self.nodes[name].size} nodes {name}")

    def edge_index(self) -> Tensor:
        """int64 ``[2, num_edges]``: source, then target of every edge."""
        index = zeros((2, self.num_edges), torch.int64)
        start = 0
        for block in self.blocks:
            part = index[:, start : start + block.num_edges]
            ends = (
                (self.nodes[block.source].start + block.source_offset, block.source_axes),
                (self.nodes[block.target].start + block.target_offset, block.target_axes),
            )
            for row, (first, axes) in zip(part, ends, strict=True):
                row.view(block.shape).copy_(_numbers(block.shape, axes) + first)
            start += block.num_edges
        return index

    def edge_values(self, tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> Tensor:
        """``[num_edges, slots]`` in main memory: what every edge carries; slots that a block does not have are zero.

        Args:
            tensors: The parameters by name.
            dtype: Of the result; default that of the first parameter.
        """
        like = next((tensors[b.values.parameter] for b in self.blocks if isinstance(b.values, View)), torch.empty(0))
        values = zeros((self.num_edges, self.slots), dtype or like.dtype)
        start = 0
        for block in self.blocks:
            part = values[start : start + block.num_edges]
            if isinstance(block.values, View):
                view = block.values.of(tensors[block.values.parameter])
                _check_entries(block, view)
                part[:, : block.slots].view(view.shape).copy_(view)
            else:
                part[:, 0] = block.values
            start += block.num_edges
        return values

    def read_back(self, values: Tensor, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inverse of :meth:`edge_values`: parameters from what the edges carry.

        Args:
            values: ``[num_edges, slots]``.
            tensors: Parameters of the shapes and dtypes wanted; those that no block views come back as they are. A
                parameter that several blocks view is what the last of them says.

        Raises:
            WiringError: if ``values`` has another shape than this wiring's edges.
        """
        if tuple(values.shape) != (self.num_edges, self.slots):
            raise WiringError(
                f"expected the values of {self.num_edges} edges with {self.slots} slots, got {tuple(values.shape)}: "
                "they are those of another network or layout"
            )
        viewed = {block.values.parameter for block in self.blocks if isinstance(block.values, View)}
        read = {name: tensor.detach().clone() if name in viewed else tensor for name, tensor in tensors.items()}
        start = 0
        for block in self.blocks:
            if isinstance(block.values, View):
                view = block.values.of(read[block.values.parameter])
                _check_entries(block, view)
                view.copy_(values[start : start + block.num_edges, : block.slots].reshape(view.shape))
            start += block.num_edges
        return read

    def edge_column(self, column: Sequence[int]) -> Tensor:
        """int64 ``[num_edges]``: a number of each block for each of its edges."""
        return _runs(column, [block.num_edges for block in self.blocks])

    def node_column(self, column: Sequence[int]) -> Tensor:
        """int64 ``[num_nodes]``: a number of each range for each of its nodes."""
        return _runs(column, [own.size for own in self.nodes.values()])

    @property
    def edge_type(self) -> Tensor:
        return self.edge_column([block.type for block in self.blocks])

    @property
    def node_type(self) -> Tensor:
        return self.node_column([own.type for own in self.nodes.values()])

    def __repr__(self) -> str:
        lines = [f"Wiring: {self.num_nodes:,} nodes, {self.num_edges:,} edges in {len(self.blocks)} blocks"]
        for block in self.blocks:
            what = block.values.parameter if isinstance(block.values, View) else f"constant {block.values:g}"
            slots = f" x {block.slots} slots" if block.slots > 1 else ""
            lines.append(f"  {block.source} -> {block.target}  {list(block.shape)}{slots}  {what}")
        return "\n".join(lines)


class Drawing:
    """Builds a wiring: ranges are numbered and blocks appended in the order of the calls."""

    def __init__(self) -> None:
        self._nodes: dict[str, Nodes] = {}
        self._size = 0
        self._blocks: list[Block] = []

    def nodes(self, name: str, size: int, type: int = 0, layer: int = 0, ordered: bool = False) -> Nodes:
        """Add a range after those there are."""
        if name in self._nodes:
            raise WiringError(f"two ranges of nodes are called {name}")
        self._nodes[name] = Nodes(name, size, self._size, type, layer, ordered)
        self._size += size
        return self._nodes[name]

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def edges(self, block: Block) -> None:
        """Add a block after those there are."""
        self._blocks.append(block)

    def wiring(self) -> Wiring:
        return Wiring(self._nodes.values(), self._blocks)


def _numbers(shape: Sequence[int], axes: Sequence[int]) -> Tensor:
    """int64, broadcastable to ``shape``: the row-major number that the indices of ``axes`` make."""
    numbers = torch.zeros([1] * len(shape), dtype=torch.int64)
    for axis in axes:
        place = [1] * len(shape)
        place[axis] = shape[axis]
        numbers = numbers * shape[axis] + torch.arange(shape[axis]).view(place)
    return numbers


def _runs(values: Sequence[int], lengths: Sequence[int]) -> Tensor:
    """int64: each value as often as its length says."""
    result = zeros((sum(lengths),), torch.int64)
    start = 0
    for value, length in zip(values, lengths, strict=True):
        result[start : start + length] = value
        start += length
    return result


def _check_entries(block: Block, view: Tensor) -> None:
    """The tensor has as many entries as the block carries, and axes that are those of the block, merged or divided."""
    assert isinstance(block.values, View)
    expected, found = (set(itertools.accumulate(s, mul)) | {1} for s in ((*block.shape, block.slots), view.shape))
    agree = block.values.reinterpreted or expected <= found or found <= expected
    if view.numel() != block.num_edges * block.slots or not agree:
        raise WiringError(
            f"{block.values.parameter}: edges of shape {list(block.shape)} with {block.slots} slots cannot carry the "
            f"{view.numel()} entries of a tensor viewed as {list(view.shape)}"
        )
