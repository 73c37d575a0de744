"""The features of nodes and edges that models on parameter graphs read (specification of metanetworks, 2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

import torch
from torch import Tensor

from graphlab.weightgraph.layouts.parameter_graph.types import EdgeType
from graphlab.weightgraph.wiring import Block, Wiring


def node_features(wiring: Wiring) -> Tensor:
    """int64 ``[N, 3]``: layer number, order among the network's inputs or outputs (-1 for all other nodes), type."""
    ranges = wiring.nodes.values()
    features = torch.full((wiring.num_nodes, 3), -1)
    features[:, 0] = wiring.node_column([own.layer for own in ranges])
    for own in ranges:
        if own.ordered:
            features[own.start : own.start + own.size, 1] = torch.arange(own.size)
    features[:, 2] = wiring.node_type
    return features


def edge_features(wiring: Wiring, tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> Tensor:
    """``[E, 6]``: value, layer number, type, and three positions (-1 where there is none).

    The value is the entry of the parameter that the edge stands for, 1 for a residual edge; gradients flow through it.
    Positions are the kernel's coordinates of a convolution, x, y and z of a triplanar grid.

    Args:
        wiring: Drawn by ``parameter_graph``.
        tensors: The parameters by name.
        dtype: Of the features; default that of the first parameter drawn.
    """
    values = wiring.edge_values(tensors, dtype)
    return torch.cat([values, edge_labels(wiring).to(values)], dim=1)


def edge_labels(wiring: Wiring) -> Tensor:
    """float32 ``[E, 5]``: all edge features but the value. They are the same for all networks of one architecture."""
    labels = torch.empty(wiring.num_edges, 5)
    start = 0
    for block in wiring.blocks:
        labels[start : start + block.num_edges].view(*block.shape, 5).copy_(block_labels(block))
        start += block.num_edges
    return labels


def block_labels(block: Block) -> Tensor:
    """float32, broadcastable to ``[*block.shape, 5]``: the labels of a block's edges, along the axes that have any."""
    if block.type == EdgeType.TRIPLANAR:
        positions = _grid_positions(block).view(*block.shape, 3)
    else:
        kernel = _kernel_axes(block)
        positions = torch.full([*(size if axis in kernel else 1 for axis, size in enumerate(block.shape)), 3], -1.0)
        for place, axis in enumerate(kernel):
            shape = [1] * len(block.shape)
            shape[axis] = -1
            positions[..., place] = torch.arange(block.shape[axis]).view(shape)
    same = torch.tensor([block.layer, block.type], dtype=torch.float32)
    return torch.cat([same.expand(*positions.shape[:-1], 2), positions], dim=-1)


def _kernel_axes(block: Block) -> list[int]:
    """The axes along which edges are parallel."""
    ends = {*block.source_axes, *block.target_axes}
    return [axis for axis in range(len(block.shape)) if axis not in ends]


def _grid_positions(block: Block) -> Tensor:
    """Coordinates of each entry of a triplanar grid, ``[E, 3]`` in the order in which the block's edges carry them.

    The planes are xy, yz and zx. In the published drawing, entries are in the tensor's order (plane, feature, row,
    column), and a row is a place on the plane's first axis. In the correct one (the block numbers its points by plane,
    row and column), features come last, and a row is a place on the second axis, as ``grid_sample`` has it.
    """
    published = len(block.source_axes) == 1
    size, features = isqrt(block.shape[0] // 3) if published else block.shape[1], block.shape[-1]
    line = torch.linspace(-1, 1, size)
    planes = torch.zeros(3, size, size, 3)
    for plane in range(3):
        planes[plane, :, :, plane] = line.view(-1, 1)
        planes[plane, :, :, (plane + 1) % 3] = line.view(1, -1)
    if published:
        return planes.unsqueeze(1).expand(-1, features, -1, -1, -1).reshape(-1, 3)
    return planes.transpose(1, 2).unsqueeze(3).expand(-1, -1, -1, features, -1).reshape(-1, 3)
