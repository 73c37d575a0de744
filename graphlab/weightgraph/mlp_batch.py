"""Multilayer perceptrons in a :class:`WeightGraphBatch` as :class:`MLPWeights`, and back.

Any layout will do in which layers are dense blocks one after the other, and biases are what their targets carry, or what
edges into them do: ``neural_graph``, ``parameter_graph`` with bias nodes or with self loops.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphlab.weightgraph.batch import WeightGraphBatch
from graphlab.weightgraph.mlp_weights import MLPWeights
from graphlab.weightgraph.wiring import Block, View, WiringError


class _Layers(NamedTuple):
    """Where things are: numbers of blocks, of weights by layer, and of biases by the name of the nodes."""

    weights: list[int]
    biases: dict[str, int]
    blocks: tuple[Block, ...]

    def target(self, layer: int) -> str:
        return self.blocks[self.weights[layer]].target


def read_mlps(batch: WeightGraphBatch) -> MLPWeights:
    """The values of a batch of multilayer perceptrons of one layout. Biases that there are not are zero.

    Raises:
        WiringError: for networks of several layouts, and for drawings of anything but linear layers in a row.
    """
    layers = _layers(batch)
    ((stack, pieces),) = batch.pieces()
    values = [own for _, own in pieces]
    carried = None if batch.x is None else stack.grid(batch.x)
    weights, biases = [], []
    for layer, number in enumerate(layers.weights):
        block = layers.blocks[number]
        weights.append(values[number] if block.source_axes == (0,) else values[number].transpose(1, 2))
        nodes = stack.wiring.nodes[block.target]
        if nodes.name in layers.biases:
            biases.append(values[layers.biases[nodes.name]])
        elif carried is not None and isinstance(nodes.values, View):
            biases.append(carried[:, nodes.start : nodes.start + nodes.size])
        else:
            biases.append(weights[layer].new_zeros(len(batch), nodes.size, weights[layer].shape[-1]))
    return MLPWeights.of(weights, biases)


def write_mlps(batch: WeightGraphBatch, x: MLPWeights) -> WeightGraphBatch:
    """The batch with other values, of any number of features; what carries no parameter gets zeros.

    Raises:
        WiringError: as :func:`read_mlps` does, and for networks of another layout.
    """
    layers = _layers(batch)
    (stack,) = batch.stacks
    sizes = [stack.wiring.nodes[layers.blocks[number].source].size for number in layers.weights]
    dims = (*sizes, stack.wiring.nodes[layers.target(-1)].size)
    if x.dims != dims or len(x) != len(batch):
        raise WiringError(f"expected {len(batch)} networks {list(dims)}, got {len(x)} networks {list(x.dims)}")
    values: dict[int, Tensor] = {}
    by_nodes = {layers.target(layer): bias for layer, bias in enumerate(x.biases)}
    for number, weight in zip(layers.weights, x.weights, strict=True):
        values[number] = weight if layers.blocks[number].source_axes == (0,) else weight.transpose(1, 2)
    for name, number in layers.biases.items():
        values[number] = by_nodes[name]
    nodes = None
    if batch.x is not None:
        first = x.weights[0]
        columns = [
            by_nodes[own.name] if isinstance(own.values, View) else first.new_zeros(len(x), own.size, x.features)
            for own in stack.wiring.nodes.values()
        ]
        nodes = torch.cat(columns, dim=1).flatten(end_dim=1)
    return batch.with_pieces([[values[number] for number in range(len(layers.blocks))]], nodes)


def _layers(batch: WeightGraphBatch) -> _Layers:
    if len(batch.stacks) != 1:
        raise WiringError(f"expected networks of one layout, got {len(batch.stacks)} different wirings in the batch")
    blocks = batch.stacks[0].wiring.blocks
    weights: list[int] = []
    biases: dict[str, int] = {}
    for number, block in enumerate(blocks):
        parameter = isinstance(block.values, View)
        if parameter and len(block.shape) == 2 and {block.source_axes, block.target_axes} == {(0,), (1,)}:
            weights.append(number)
            follows = len(weights) == 1 or blocks[weights[-2]].target == block.source
        else:
            follows = parameter and len(block.shape) == 1 and block.target_axes == (0,) and block.target not in biases
            biases[block.target] = number
        if not follows:
            raise WiringError(
                f"expected linear layers in a row, got edges {list(block.shape)} from {block.source} to {block.target}"
            )
    if not weights or not {blocks[number].target for number in weights} >= biases.keys():
        raise WiringError("expected linear layers in a row, got none")
    return _Layers(weights, biases, blocks)
