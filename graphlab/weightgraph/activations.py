"""What the neurons of a network give on inputs, a number for each node of its exact drawing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from graphlab.capture import Program, Value
from graphlab.weightgraph.axes import Axis, Group, Product, Sum
from graphlab.weightgraph.graph import WeightGraph
from graphlab.weightgraph.layouts.exact import exact
from graphlab.weightgraph.values import follow, translated


def node_activations(
    graph: WeightGraph, program: Program, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> Tensor:
    """The mean activation of each node of the exact layout over inputs and positions.

    A neuron is in several tensors that a network computes (before and after its nonlinearity, after each addition to a
    residual stream); the last one counts. Nodes that stand for no neuron (units of biases, positions) give 1.

    Args:
        graph: The network.
        program: The captured network (:func:`graphlab.capture.capture`).
        args, kwargs: Inputs of the captured shapes.

    Returns:
        float64 ``[num_nodes]``, as :func:`~graphlab.weightgraph.complexnetwork.node_strength` takes them.

    Raises:
        CaptureError: for inputs or weights that do not fit the program.
        ValueError: if the program is of another structure.
    """
    wiring = exact(graph.structure, graph.tensors)
    wanted = {own.name: tuple(own.name.split(" . ")) for own in wiring.nodes.values()}
    last: dict[str, tuple[Value, list[list[Group]]]] = {}
    following, known = follow(program, graph.structure)
    computed = dict.fromkeys(value for value in program.inputs if value is not None)
    for operation in program.operations:
        if not computed.keys().isdisjoint(operation.inputs):
            computed |= dict.fromkeys(value for value in operation.outputs if value is not None)
    for value in computed:
        traced = following.where.get(value)
        axes = [] if traced is None else [_factors(translated(axis, known)) for axis in traced.axes]
        divided = [factors for factors in axes if factors is not None]
        if traced is None or traced.choices or not value.dtype.is_floating_point or len(divided) < len(axes):
            continue
        there = [group.name for factors in divided for group in factors]
        for name, groups in wanted.items():
            if all(there.count(group) == 1 for group in groups):
                last[name] = value, divided
    watching = dataclasses.replace(program, outputs={value.name: value for value, _ in last.values()})
    with torch.no_grad():
        found = watching.run(graph.state_dict(), args, kwargs)
    result = torch.ones(wiring.num_nodes, dtype=torch.float64)
    for name, (value, divided) in last.items():
        own = wiring.nodes[name]
        result[own.start : own.start + own.size] = _mean(found[value.name], divided, wanted[name])
    return result


def _factors(axis: Axis) -> list[Group] | None:
    """The groups whose product an axis is; ``None`` if it has a sum."""
    parts = axis.factors if isinstance(axis, Product) else (axis,)
    found = [part for part in parts if isinstance(part, Group)]
    return found if len(found) == len(parts) and not isinstance(axis, Sum) else None


def _mean(tensor: Tensor, divided: Sequence[Sequence[Group]], groups: Sequence[str]) -> Tensor:
    """float64, one for each index of ``groups``, row-major: the mean over all other axes."""
    names = [group.name for factors in divided for group in factors]
    tensor = tensor.double().reshape([group.size for factors in divided for group in factors])
    order = [names.index(group) for group in groups]
    others = [axis for axis in range(tensor.dim()) if axis not in order]
    count = prod(tensor.shape[axis] for axis in others)
    return tensor.permute([*order, *others]).reshape(-1, count).mean(1)
