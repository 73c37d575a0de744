"""NG-GNN and NG-T on sine networks, layout 2-32-32-1, with the sizes of the published scripts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from benchmarks.harness import Row
from benchmarks.metanet_rows import plain_neural_graphs as plain

LAYOUT = (2, 32, 32, 1)


def networks(batch: int) -> tuple[list[Tensor], list[Tensor]]:
    """Weights ``[batch, read, made, 1]`` and biases ``[batch, made, 1]``, standardised."""
    torch.manual_seed(0)
    weights = [torch.randn(batch, *pair, 1) for pair in pairwise(LAYOUT)]
    return weights, [torch.randn(batch, size, 1) for size in LAYOUT[1:]]


def row(kind: str, batch: int) -> Row:
    """A step without its optimiser: forward and backward, from stacked parameters to scores."""
    from graphlab.nn.models.neural_graphs import NGGNN, NGT
    from graphlab.weightgraph import WeightGraphBatch
    from graphlab.weightgraph.layouts.neural_graph import degree_histogram, input_first, mlp_layers, neural_graph

    wiring = neural_graph(mlp_layers(LAYOUT))
    weights, biases = networks(batch)
    torch.manual_seed(1)
    frequencies = {"num_frequencies": 128}
    model: NGGNN | NGT
    if kind == "NG-GNN":
        degrees = degree_histogram([wiring]).tolist()
        encoder = frequencies | {"bidirectional": True, "inp_factor": 3.0}
        model = NGGNN(2, 2, 1, 10, degrees, norm="batch_graph", encoder=encoder)
    else:
        model = NGT(2, 2, 1, 10, encoder=frequencies)
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())

    def ours(*_: Tensor) -> Tensor:
        tensors = input_first(LAYOUT, weights, biases)
        members = [(wiring, {name: own[n] for name, own in tensors.items()}) for n in range(batch)]
        return model(WeightGraphBatch(members))

    def peer(*_: Tensor) -> Tensor:
        if kind == "NG-GNN":
            return plain.gnn(parameters | buffers, LAYOUT, weights, biases, 4)
        return plain.transformer(parameters | buffers, LAYOUT, weights, biases, 4, 8)

    gigabytes = sum(own.nbytes for own in (*parameters.values(), *weights, *biases)) / 1e9
    goals = {"plain": 5.0 if kind == "NG-GNN" else 4.0}
    memory = {} if kind == "NG-GNN" else {"plain": 0.25}
    return Row(
        _name(kind, batch),
        ours,
        {"plain": peer},
        tuple(parameters.values()),
        gigabytes,
        1e-5,
        goals=goals,
        memory=memory,
    )


def _name(kind: str, batch: int) -> str:
    return f"{kind}, {'-'.join(map(str, LAYOUT))}, {batch} networks"


ROWS: dict[str, Callable[[], Row]] = {
    _name(kind, batch): functools.partial(row, kind, batch) for kind in ("NG-GNN", "NG-T") for batch in (16, 64)
}
