"""Probe features of any architecture: what neurons answer when the captured program runs with stacked parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphlab.capture import Program, Value
from graphlab.weightgraph import WeightGraph
from graphlab.weightgraph.atoms import Atom, resolve
from graphlab.weightgraph.values import follow


def program_answers(
    program: Program,
    graphs: Sequence[WeightGraph],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Tensor:
    """``[networks * nodes, P]``: answers of the nodes of exact drawings, one network after the other.

    A node that is a neuron answers each probe with the first value that the program computes of it, averaged over
    positions (of a map, of a sequence); the others, and neurons that no value shows by themselves, answer 0. Neurons in
    another order answer in that order. Gradients flow to the inputs and the parameters.

    Args:
        program: Captured on ``P`` probes, which the first axis of the inputs numbers.
        graphs: Networks of the program's structure.
        args, kwargs: The probes, of the captured shapes.

    Raises:
        ValueError: for no network, inputs without a first axis, or networks of another structure.
        CaptureError: for inputs or parameters that do not fit the program.
    """
    if not graphs:
        raise ValueError("expected one network or more, got none")
    structure, wiring = graphs[0].structure, graphs[0].wiring("exact")
    if any(graph.structure != structure for graph in graphs[1:]):
        raise ValueError("expected networks of one structure")
    inputs = [value for value in program.inputs if value is not None]
    if not inputs or not inputs[0].shape:
        raise ValueError("expected inputs whose first axis numbers the probes")
    probes = inputs[0].shape[0]
    shown = _shown(program, graphs[0], probes)
    watching = dataclasses.replace(program, outputs={name: value for name, (value, _) in shown.items()})
    stacked = {name: torch.stack([graph.tensors[name] for graph in graphs]) for name in program.parameters}

    def run(state: dict[str, Tensor]) -> dict[str, Tensor]:
        return watching.run(state, args, kwargs)

    try:
        found = torch.func.vmap(run, randomness="same")(stacked) if shown else {}
    except RuntimeError as error:
        if "Batching rule not implemented" not in str(error):  # such as recurrent layers: one network after the other
            raise
        runs = [run({name: own[number] for name, own in stacked.items()}) for number in range(len(graphs))]
        found = {name: torch.stack([own[name] for own in runs]) for name in shown}
    parts = []
    for name, own in wiring.nodes.items():
        if name not in found:
            parts.append(torch.zeros(len(graphs), own.size, probes, dtype=next(iter(stacked.values())).dtype))
            continue
        value, axis = found[name], shown[name][1]
        value = value.movedim((axis + 1, 1), (1, 2))
        parts.append(value.flatten(3).mean(dim=3) if value.dim() > 3 else value)
    return torch.cat(parts, dim=1).flatten(0, 1)


def _shown(program: Program, graph: WeightGraph, probes: int) -> dict[str, tuple[Value, int]]:
    """For each range of nodes that is a group of neurons, the first value computed of it, and on which axis it is."""
    following, known = follow(program, graph.structure)
    shown: dict[str, tuple[Value, int]] = {}
    computed = {value for value in program.inputs if value is not None}
    for operation in program.operations:
        if computed.isdisjoint(operation.inputs):
            continue
        computed |= {value for value in operation.outputs if value is not None}
        for value in operation.outputs[:1]:  # others are states, whose first axis may number layers
            if value is None or not value.dtype.is_floating_point or not value.shape or value.shape[0] != probes:
                continue
            for axis, expression in enumerate(following.where[value].axes):
                atom = resolve(expression)
                group = known.get(atom) if isinstance(atom, Atom) else None
                if axis and group is not None and not group.within:
                    shown.setdefault(group.name, (value, axis))
    return shown
