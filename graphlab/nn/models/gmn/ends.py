"""Where nodes meet edges: what edges read of the nodes at one of their ends, and what nodes receive from them.

Edges lie along any axes, ``[*edges]``, of which a *tile* is a range: a slice an axis, from the first on; ``()`` is all.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from graphlab.weightgraph.batch import Stack

Tile = tuple[slice, ...]


class End(Protocol):
    """One end of some edges."""

    def spread(self, x: Tensor) -> Tensor:
        """Rows of nodes ``[num_nodes, channels]`` as :meth:`read` and :meth:`add` take them; a view."""

    def read(self, rows: Tensor, tile: Tile = ()) -> Tensor:
        """Broadcastable to ``[*tile, channels]``: the rows of the nodes at this end."""

    def add(self, rows: Tensor, sent: Tensor, tile: Tile = ()) -> None:
        """Add to the rows of the nodes at this end, in place, what edges send: ``[*tile, channels]``, or of the shape
        that :meth:`read` gives."""

    def largest(self, x: Tensor, sent: Tensor) -> Tensor:
        """The larger of ``x`` and of all that these edges send, ``[num_nodes, channels]``."""

    def count(self, degree: Tensor) -> None:
        """Add to ``degree`` ``[num_nodes, 1]`` how many of the edges each node has at this end."""


@dataclass(frozen=True, eq=False)
class Listed:
    """The ends of edges in a list: int64 ``[num_edges]`` node numbers."""

    index: Tensor

    def spread(self, x: Tensor) -> Tensor:
        return x

    def read(self, rows: Tensor, tile: Tile = ()) -> Tensor:
        return rows.index_select(0, self.index[tile])

    def add(self, rows: Tensor, sent: Tensor, tile: Tile = ()) -> None:
        rows.index_add_(0, self.index[tile], sent)

    def largest(self, x: Tensor, sent: Tensor) -> Tensor:
        return x.scatter_reduce(0, self.index.unsqueeze(1).expand_as(sent), sent, "amax")

    def count(self, degree: Tensor) -> None:
        degree.index_add_(0, self.index, degree.new_ones(len(self.index), 1))


@dataclass(frozen=True, eq=False)
class Grid:
    """The ends of a block in all members of a stack: edges are ``[members, *shape]``.

    Attributes:
        stack: Whose nodes they are.
        nodes: Which of a member.
        axes: Axes of ``shape`` that number them, row by row.
        shape: Of the block.
    """

    stack: Stack
    nodes: slice
    axes: tuple[int, ...]
    shape: tuple[int, ...]

    def spread(self, x: Tensor) -> Tensor:
        """``[members, *shape, channels]``, of size 1 along the axes that do not number these nodes."""
        sizes = [self.shape[axis] for axis in self.axes]
        rows = self.stack.grid(x)[:, self.nodes].view(len(self.stack.members), *sizes, x.shape[1])
        ascending = sorted(range(len(sizes)), key=self.axes.__getitem__)
        rows = rows.permute(0, *(1 + place for place in ascending), -1)
        for axis in self._others:
            rows = rows.unsqueeze(axis)
        return rows

    def read(self, rows: Tensor, tile: Tile = ()) -> Tensor:
        return narrowed(rows, tile)

    def add(self, rows: Tensor, sent: Tensor, tile: Tile = ()) -> None:
        for axis in reversed(self._others):
            if sent.shape[axis] > 1:
                sent = sent.sum(axis, keepdim=True)
        narrowed(rows, tile).add_(sent)

    def largest(self, x: Tensor, sent: Tensor) -> Tensor:
        x = x.clone()
        rows = self.spread(x)
        rows.copy_(torch.maximum(rows.clone(), sent.amax(self._others, keepdim=True) if self._others else sent))
        return x

    def count(self, degree: Tensor) -> None:
        self.spread(degree).add_(prod(self.shape[axis - 1] for axis in self._others))

    @functools.cached_property
    def _others(self) -> list[int]:
        """Axes of the edges along which the node stays the same."""
        return [1 + axis for axis in range(len(self.shape)) if axis not in self.axes]


def narrowed(tensor: Tensor, tile: Tile) -> Tensor:
    """The part of a tensor, broadcastable to ``[*edges, ...]``, that belongs to a tile; a view."""
    return tensor[tuple(own if size > 1 else slice(None) for own, size in zip(tile, tensor.shape, strict=False))]


def tiles(shape: Sequence[int], most: int) -> Iterator[Tile]:
    """Tiles that cover edges of this shape in their order, each of about ``most`` edges at most.

    A tile takes the last axes whole, as many as fit, a range of the axis before, and one index of each before that.
    """
    axis, inner = len(shape) - 1, 1
    while axis > 0 and inner * shape[axis] <= most:
        inner *= shape[axis]
        axis -= 1
    step = max(1, most // max(inner, 1))
    for lead in itertools.product(*(range(size) for size in shape[:axis])):
        for first in range(0, shape[axis], step):
            yield *(slice(i, i + 1) for i in lead), slice(first, min(first + step, shape[axis]))
