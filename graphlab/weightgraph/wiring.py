"""``Wiring``: how a network is drawn as a graph, as ordered ranges of nodes and ordered blocks of edges.

Nothing here is as large as the network: a block says in a few numbers which edges there are and which entries of which
parameter they carry. Explicit graphs, their inverse, and message passing over blocks all follow from it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from operator import mul

import torch
from torch import Tensor

from graphlab.ops.allocation import zeros
from graphlab.weightgraph.pieces import Block, Nodes, View, WiringError

__all__ = ["Block", "Drawing", "Nodes", "View", "Wiring", "WiringError"]


class Wiring:
    """An ordered drawing: ``nodes`` by name, and ``blocks`` one after the other.

    ``layout`` is the name of the layout whose numbers types and layers are, if it is known.

    Raises:
        WiringError: if ranges do not follow one another or a block leaves the ranges that it names.
    """

    def __init__(self, nodes: Iterable[Nodes], blocks: Iterable[Block], layout: str | None = None) -> None:
        self.layout = layout
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
                row.view(block.shape).copy_(block.numbers(axes) + first)
            start += block.num_edges
        return index

    @property
    def has_node_values(self) -> bool:
        """Whether nodes carry anything."""
        return any(own.values is not None for own in self.nodes.values())

    def edge_values(self, tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> Tensor:
        """``[*batch, num_edges, slots]``: what every edge carries; slots that a block does not fill are zero.

        Args:
            tensors: The parameters by name; of several networks if they have leading ``batch`` axes.
            dtype: Of the result, by default one that holds every parameter drawn; its device is that of the first.

        Raises:
            WiringError: naming the parameter, if one has another shape than the edges that carry it, or another batch.
        """
        values = self._blank(tensors, dtype, self.num_edges, self.slots)
        for block, part in self.edge_parts(values):
            if not isinstance(block.values, View):
                part[..., block.places[0] if block.places else 0] = block.values
                continue
            view = _checked(block.values, tensors, (*block.shape, block.entries), values.shape[:-2])
            if block.places is None:
                part[..., : block.slots].view(view.shape).copy_(view)
            else:
                part[..., block.places] = view.reshape(*part.shape[:-1], block.entries).to(part.dtype)
        return values

    def node_values(self, tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> Tensor:
        """``[*batch, num_nodes, 1]``: what every node carries, zero where that is nothing. See :meth:`edge_values`."""
        values = self._blank(tensors, dtype, self.num_nodes, 1)
        for own, part in self.node_parts(values):
            if isinstance(own.values, View):
                view = _checked(own.values, tensors, (own.size,), values.shape[:-2])
                part.view(view.shape).copy_(view)
            elif own.values is not None:
                part.fill_(own.values)
        return values

    def read_back(
        self, values: Tensor, tensors: Mapping[str, Tensor], node_values: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The inverse of :meth:`edge_values` and :meth:`node_values`: parameters from what edges and nodes carry.

        Args:
            values: ``[*batch, num_edges, slots]``.
            tensors: Parameters of the shapes and dtypes wanted; those that are not drawn come back as they are. A
                parameter that is drawn several times is what the last drawing says.
            node_values: ``[*batch, num_nodes, 1]``; needed where nodes carry parameters.

        Returns:
            All of ``tensors`` by name; gradients flow back to the values.

        Raises:
            WiringError: if the values have other shapes than this wiring's edges and nodes.
        """
        if tuple(values.shape[-2:]) != (self.num_edges, self.slots):
            raise WiringError(
                f"expected the values of {self.num_edges} edges with {self.slots} slots, got {tuple(values.shape)}: "
                "they are those of another network or layout"
            )
        carried = any(isinstance(own.values, View) for own in self.nodes.values())
        found = None if node_values is None else tuple(node_values.shape)
        if (found or carried) and (found or ())[-2:] != (self.num_nodes, 1):
            raise WiringError(f"expected the values of {self.num_nodes} nodes, [..., {self.num_nodes}, 1], got {found}")
        viewed = {view.parameter for view in self._views()}
        read = {name: tensor.detach().clone() if name in viewed else tensor for name, tensor in tensors.items()}
        batch = values.shape[:-2]
        if node_values is not None:
            for own, part in self.node_parts(node_values):
                if isinstance(own.values, View):
                    _checked(own.values, read, (own.size,), batch)
                    own.values.write(part, read[own.values.parameter])
        for block, part in self.edge_parts(values):
            if isinstance(block.values, View):
                _checked(block.values, read, (*block.shape, block.entries), batch)
                entries = part[..., : block.slots] if block.places is None else part[..., block.places]
                block.values.write(entries, read[block.values.parameter])
        return read

    def edge_parts(self, values: Tensor) -> Iterator[tuple[Block, Tensor]]:
        """Each block with the part of ``[..., num_edges, channels]`` that is of its edges, a view."""
        start = 0
        for block in self.blocks:
            yield block, values.narrow(-2, start, block.num_edges)
            start += block.num_edges

    def node_parts(self, values: Tensor) -> Iterator[tuple[Nodes, Tensor]]:
        """Each range with the part of ``[..., num_nodes, channels]`` that is of its nodes, a view."""
        for own in self.nodes.values():
            yield own, values.narrow(-2, own.start, own.size)

    def _views(self) -> Iterator[View]:
        """All that edges, then nodes, carry of parameters."""
        for values in (*(block.values for block in self.blocks), *(own.values for own in self.nodes.values())):
            if isinstance(values, View):
                yield values

    def _blank(self, tensors: Mapping[str, Tensor], dtype: torch.dtype | None, *shape: int) -> Tensor:
        """Zeros for each network of a batch, of a dtype that holds every parameter, on the device of the first."""
        views = list(self._views())
        if not views:
            return torch.zeros(shape, dtype=dtype)
        like = tensors[views[0].parameter]
        size = (*views[0].batch(like), *shape)
        dtype = dtype or functools.reduce(torch.promote_types, {tensors[view.parameter].dtype for view in views})
        if like.device.type == "cpu":
            return zeros(size, dtype)
        return torch.zeros(size, dtype=dtype, device=like.device)

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

    def nodes(
        self,
        name: str,
        size: int,
        type: int = 0,
        layer: int = 0,
        ordered: bool = False,
        values: View | float | None = None,
    ) -> Nodes:
        """Add a range after those there are."""
        if name in self._nodes:
            raise WiringError(f"two ranges of nodes are called {name}")
        self._nodes[name] = Nodes(name, size, self._size, type, layer, ordered, values)
        self._size += size
        return self._nodes[name]

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def edges(self, block: Block) -> None:
        """Add a block after those there are."""
        self._blocks.append(block)

    def wiring(self, layout: str | None = None) -> Wiring:
        return Wiring(self._nodes.values(), self._blocks, layout)


def _runs(values: Sequence[int], lengths: Sequence[int]) -> Tensor:
    """int64: each value as often as its length says."""
    result = zeros((sum(lengths),), torch.int64)
    start = 0
    for value, length in zip(values, lengths, strict=True):
        result[start : start + length] = value
        start += length
    return result


def _checked(values: View, tensors: Mapping[str, Tensor], shape: tuple[int, ...], batch: Sequence[int]) -> Tensor:
    """A view that has as many entries as its block or range carries, and its axes, merged or divided."""
    tensor = tensors[values.parameter]
    view, lead = values.of(tensor), values.batch(tensor)
    if lead != tuple(batch):
        raise WiringError(
            f"{values.parameter}: expected a batch of {list(batch)} networks, got {list(lead)}: its shape is "
            f"{list(tensor.shape)}"
        )
    found_shape = view.shape[len(lead) :]
    expected, found = (set(itertools.accumulate(sizes, mul)) | {1} for sizes in (shape, found_shape))
    agree = values.reinterpreted or expected <= found or found <= expected
    if prod(found_shape) != prod(shape) or not agree:
        raise WiringError(
            f"{values.parameter}: what is drawn with the shape {list(shape)} cannot carry the {prod(found_shape)} "
            f"entries of a tensor viewed as {list(found_shape)}"
        )
    return view
