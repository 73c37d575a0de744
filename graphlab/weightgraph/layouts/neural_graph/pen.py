"""The strokes that neural graphs are drawn with: weights onto new nodes, diagonal weights, and fixed edges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from math import prod
from operator import mul
from typing import Literal, TypeAlias

from graphlab.weightgraph.layouts.layers import Conv, Linear, Norm
from graphlab.weightgraph.layouts.neural_graph.types import EdgeType, NodeType
from graphlab.weightgraph.pieces import Block, Nodes, View, WiringError
from graphlab.weightgraph.wiring import Wiring

Flatten: TypeAlias = Literal["channel_last", "channel_first"]


@dataclass(frozen=True)
class Copies:
    """The positions of a map that is flattened: each channel has a node for each."""

    count: int
    flatten: Flatten

    def order(self, channel: int) -> tuple[int, int]:
        """The axis of the copies, 0, and that of the channels, in the order in which nodes are numbered."""
        return (0, channel) if self.flatten == "channel_last" else (channel, 0)


class Pen:
    """A drawing in progress: ranges are numbered as they are added, each has a layer number of its own.

    Args:
        kernel: Positions of an edge along each axis; an edge has a slot for each, row by row.
        linear_as_conv: Draw linear weights as kernels of one position, not in the first slot of their own edges.

    Attributes:
        current: The nodes that hold the current activations; none before the first layer.
    """

    def __init__(self, kernel: tuple[int, ...], linear_as_conv: bool) -> None:
        self.current: Nodes | None = None
        self._kernel = kernel
        self._linear_as_conv = linear_as_conv
        self._ranges: list[Nodes] = []
        self._blocks: list[Block] = []
        self._copies: dict[str, Copies] = {}

    def enter(self, name: str, width: int, type: NodeType) -> Nodes:
        """The activations that layer ``name`` reads; the inputs of the network if there are none."""
        if self.current is None:
            self.current = self.nodes("inputs", width, type)
            self._ranges[0] = self.current = replace(self.current, ordered=True)
        if self.current.size != width:
            reason = f"{name}: reads {width} activations, but the layers before it make {self.current.size}"
            if self.current.type == NodeType.CHANNEL and type == NodeType.UNIT and width % self.current.size == 0:
                reason += "; to draw a flattened map, say in which order: flatten='channel_first' is torch's"
            raise WiringError(reason)
        return self.current

    def nodes(
        self, name: str, size: int, type: NodeType, bias: View | None = None, copies: Copies | None = None
    ) -> Nodes:
        """A range after those there are, which carries a bias ``[size]``, or zeros."""
        if any(own.name == name for own in self._ranges):
            raise WiringError(f"two layers are called {name}")
        if copies is not None:
            bias = replace(bias, order=copies.order(1), copies=copies.count) if bias else None
            self._copies[name] = copies
            size *= copies.count
        start = sum(own.size for own in self._ranges)
        self._ranges.append(Nodes(name, size, start, type, len(self._ranges), values=bias or 0.0))
        return self._ranges[-1]

    def affine(self, layer: Linear | Conv, source: Nodes, copies: Copies | None = None) -> Nodes:
        """New nodes with the bias of a layer, and its weight onto them."""
        if isinstance(layer, Conv):
            size, type, kernel = layer.out_channels, NodeType.CHANNEL, layer.kernel
        else:
            size, type, kernel = layer.out_features, NodeType.UNIT, None
        bias = View(f"{layer.name}.bias", (0,)) if layer.bias else None
        target = self.nodes(layer.name, size, type, bias, copies)
        self.weight(f"{layer.name}.weight", source, target, kernel)
        return target

    def weight(
        self,
        parameter: str,
        source: Nodes,
        target: Nodes,
        kernel: tuple[int, ...] | None = None,
        rows: tuple[int, int] | None = None,
    ) -> None:
        """A weight ``[target, source, *kernel]``, of which ``rows`` (start, length) may be meant; source-major."""
        copies = self._copies.get(target.name)
        outputs, inputs = (0, 1) if copies is None else (1, 2)
        taps = range(inputs + 1, inputs + 1 + len(kernel or ()))
        sizes, order = self._axes(target, outputs)
        view = View(
            parameter,
            (inputs, *order, *taps),
            narrow=() if rows is None else ((0, *rows),),
            copies=copies.count if copies else None,
        )
        type = EdgeType.LINEAR if kernel is None and not self._linear_as_conv else EdgeType.KERNEL
        places = self._places(parameter, kernel, type)
        self._add(source, target, (source.size, *sizes), (0,), (1, 2)[: len(sizes)], view, type, places)

    def norm(self, layer: Norm, source: Nodes, copies: Copies | None = None) -> Nodes:
        """New nodes that carry the shift, and the scale as diagonal edges onto them (fixed edges if there is none)."""
        bias = View(f"{layer.name}.bias", (0,)) if layer.bias else None
        target = self.nodes(layer.name, layer.features, NodeType(source.type), bias, copies)
        if not layer.weight:
            self.fixed(source, target)
            return target
        channel = 0 if copies is None else 1
        sizes, order = self._axes(target, channel)
        parameter = f"{layer.name}.weight"
        view = View(parameter, order, copies=copies.count if copies else None)
        type = EdgeType.KERNEL if self._linear_as_conv else EdgeType.LINEAR
        places = self._places(parameter, None, type)
        self._add(source, target, sizes, (order.index(channel),), (0, 1)[: len(sizes)], view, type, places)
        return target

    def fixed(self, source: Nodes, target: Nodes) -> None:
        """Fixed edges from each node to that of the same number, if there is one, and to all its copies."""
        copies = self._copies.get(target.name)
        channels = target.size // (copies.count if copies else 1)
        width = min(source.size, channels)
        if copies is not None and copies.flatten == "channel_first":
            self._fixed(source, target, (width, copies.count), (0,), (0, 1))
        elif copies is not None and width == channels:
            self._fixed(source, target, (copies.count, width), (1,), (0, 1))
        else:
            for offset in range(0, target.size, channels):
                self._fixed(source, target, (width,), (0,), (0,), offset)

    def heads(self, source: Nodes, target: Nodes) -> None:
        """Fixed edges between neurons and the nodes of the heads that they belong to, either way."""
        many, few = sorted((source, target), key=lambda own: own.size, reverse=True)
        shape = (few.size, many.size // few.size)
        self._fixed(source, target, shape, *(((0, 1), (0,)) if many is source else ((0,), (0, 1))))

    def joined(self, source: Nodes, target: Nodes) -> bool:
        """Whether there are edges from one range to the other."""
        return any((block.source, block.target) == (source.name, target.name) for block in self._blocks)

    def wiring(self) -> Wiring:
        """The drawing; the nodes that were added last are the outputs."""
        return Wiring([*self._ranges[:-1], replace(self._ranges[-1], ordered=True)], self._blocks)

    def _axes(self, target: Nodes, channel: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The sizes that number a range's nodes, and which axes of a parameter, ``channel`` and copies, they are."""
        copies = self._copies.get(target.name)
        if copies is None:
            return (target.size,), (channel,)
        sizes = {0: copies.count, channel: target.size // copies.count}
        order = copies.order(channel)
        return tuple(sizes[axis] for axis in order), order

    def _places(self, name: str, kernel: tuple[int, ...] | None, type: EdgeType) -> tuple[int, ...]:
        """The slots of a kernel: in the middle, nearer to the first where it cannot be exact."""
        if type == EdgeType.LINEAR:
            return (0,)
        kernel = (1,) * len(self._kernel) if kernel is None else kernel
        if len(kernel) != len(self._kernel) or any(own > size for own, size in zip(kernel, self._kernel, strict=True)):
            raise WiringError(
                f"{name}: its kernel {list(kernel)} does not fit into the {list(self._kernel)} of an edge"
            )
        before = [(size - own) // 2 for own, size in zip(kernel, self._kernel, strict=True)]
        lines = [range(first, first + own) for first, own in zip(before, kernel, strict=True)]
        strides = [prod(self._kernel[axis + 1 :]) for axis in range(len(kernel))]
        return tuple(sum(map(mul, at, strides)) for at in product(*lines))

    def _fixed(
        self,
        source: Nodes,
        target: Nodes,
        shape: tuple[int, ...],
        source_axes: tuple[int, ...],
        target_axes: tuple[int, ...],
        offset: int = 0,
    ) -> None:
        place = self._places("the identity", None, EdgeType.FIXED)
        self._add(source, target, shape, source_axes, target_axes, 1.0, EdgeType.FIXED, place, offset)

    def _add(
        self,
        source: Nodes,
        target: Nodes,
        shape: tuple[int, ...],
        source_axes: tuple[int, ...],
        target_axes: tuple[int, ...],
        values: View | float,
        type: EdgeType,
        places: tuple[int, ...],
        offset: int = 0,
    ) -> None:
        slots = prod(self._kernel)
        self._blocks.append(
            Block(
                source.name,
                target.name,
                shape,
                source_axes,
                target_axes,
                values,
                type=type,
                layer=target.layer - 1,
                slots=slots,
                target_offset=offset,
                places=None if len(places) == slots else places,
            )
        )
