"""The adjacency matrix of a drawn network, exact or pooled to fewer pixels: a row a source, a column a target.

It is summed up a block at a time. Neither the matrix of all pairs of nodes of a large network nor a value for each of
its edges is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod, sqrt

import torch
from torch import Tensor

from graphlab.weightgraph.wiring import Block, View, Wiring, WiringError

CHUNK = 1 << 20
"""Entries that are summed up at a time."""


@dataclass(frozen=True)
class Band:
    """Nodes that follow one another in the matrix: a range, or all ranges of one node.

    Attributes:
        label: The name of the range; ``single nodes`` for several ranges.
        size: How many nodes.
        start, pixels: The first row (and column) that they have, and how many.
    """

    label: str
    size: int
    start: int
    pixels: int


@dataclass(frozen=True)
class Adjacency:
    """What the edges between each two pixels carry; ``P`` pixels a side. What nodes themselves carry is not in it.

    Attributes:
        rms: float64 ``[P, P]``: root mean square of the entries, those of all slots and parallel edges.
        mean: float64 ``[P, P]``: their mean.
        entries: int64 ``[P, P]``: how many they are.
        bands: What the pixels are, from the first to the last.
        exact: Whether a pixel is a node.
    """

    rms: Tensor
    mean: Tensor
    entries: Tensor
    bands: tuple[Band, ...]
    exact: bool


def adjacency(wiring: Wiring, tensors: Mapping[str, Tensor], pixels: int) -> Adjacency:
    """The adjacency matrix with a pixel a node, or pooled if there are more nodes than ``pixels``.

    Nodes are in the wiring's order, except that those that are alone in their range (units of biases) come last,
    together. Where they are pooled, a range has pixels in proportion to the square root of its size, so that the words
    of a language model leave room for its layers.

    Args:
        wiring: How the network is drawn.
        tensors: Its parameters by name.
        pixels: The largest side of the matrix; a range has one pixel at least, even if that makes it larger.

    Raises:
        WiringError: if there is nothing to draw (no nodes, or no pixels), and naming the parameter, if one has another
            number of entries than the edges that carry it.
    """
    if pixels < 1 or not wiring.num_nodes:
        raise WiringError(f"expected nodes and pixels to draw them on, got {wiring.num_nodes} nodes, {pixels} pixels")
    bands, pixel = _bands(wiring, pixels)
    side = bands[-1].start + bands[-1].pixels
    squares, sums = torch.zeros(2, side * side, dtype=torch.float64)
    entries = torch.zeros(side * side, dtype=torch.int64)
    for block in wiring.blocks:
        for place, values in _entries(wiring, block, tensors, pixel, side):
            squares.scatter_add_(0, place, values.square())
            sums.scatter_add_(0, place, values)
            entries.scatter_add_(0, place, torch.ones_like(place))
    number = entries.clamp(min=1)
    rms, mean, entries = (own.view(side, side) for own in ((squares / number).sqrt(), sums / number, entries))
    return Adjacency(rms, mean, entries, bands, exact=side == wiring.num_nodes)


def _bands(wiring: Wiring, pixels: int) -> tuple[tuple[Band, ...], Tensor]:
    """What shares out the pixels, and int64 ``[num_nodes]``: the pixel of every node."""
    groups = [[own] for own in wiring.nodes.values() if own.size > 1]
    alone = [own for own in wiring.nodes.values() if own.size == 1]
    groups += [alone] if alone else []
    sizes = [sum(own.size for own in group) for group in groups]
    bands: list[Band] = []
    pixel = torch.empty(wiring.num_nodes, dtype=torch.int64)
    start = 0
    for group, size, width in zip(groups, sizes, _widths(sizes, pixels), strict=True):
        places = start + torch.arange(size) * width // size
        for own, place in zip(group, torch.split(places, [own.size for own in group]), strict=True):
            pixel[own.start : own.start + own.size] = place
        bands.append(Band(group[0].name if len(group) == 1 else "single nodes", size, start, width))
        start += width
    return tuple(bands), pixel


def _widths(sizes: Sequence[int], pixels: int) -> list[int]:
    """Pixels for each band: a node each if they suffice."""
    if sum(sizes) <= pixels:
        return list(sizes)
    scale = pixels / sum(sqrt(size) for size in sizes)
    return [min(size, max(1, int(scale * sqrt(size)))) for size in sizes]


def _entries(
    wiring: Wiring, block: Block, tensors: Mapping[str, Tensor], pixel: Tensor, side: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Some entries of a block at a time: int64 ``[n]``, where in the matrix they are, and float64 ``[n]``."""
    shape = block.shape or (1,)
    if isinstance(block.values, View):
        name = block.values.parameter
        view = block.values.of(tensors[name].detach())
        if view.numel() != block.num_edges * block.entries:
            raise WiringError(
                f"{name}: expected {block.entries} entries for each of {block.num_edges} edges of one network, got "
                f"{view.numel()} of a tensor of shape {list(tensors[name].shape)}"
            )
        carried = view.reshape(*shape, block.entries)
    else:
        carried = torch.tensor(block.values).expand(*shape, 1)
    row, column = (
        _pixels(pixel[wiring.nodes[name].start + offset :], block.shape, axes).view(shape)
        for name, offset, axes in (
            (block.source, block.source_offset, block.source_axes),
            (block.target, block.target_offset, block.target_axes),
        )
    )
    length = max(1, CHUNK * shape[0] // max(carried.numel(), 1))
    for rows, columns, values in zip(*(torch.split(whole, length) for whole in (row, column, carried)), strict=True):
        place = (rows * side + columns).unsqueeze(-1).expand_as(values)
        yield place.reshape(-1), values.reshape(-1).double()


def _pixels(pixel: Tensor, shape: Sequence[int], axes: Sequence[int]) -> Tensor:
    """``pixel`` of the node that the indices of ``axes`` number, expanded (not copied) to ``shape``."""
    sizes = [shape[axis] for axis in axes]
    order = [*axes, *(axis for axis in range(len(shape)) if axis not in axes)]
    numbered = pixel[: prod(sizes)].view([*sizes, *[1] * (len(shape) - len(sizes))])
    return numbered.permute([order.index(axis) for axis in range(len(shape))]).expand(shape)
