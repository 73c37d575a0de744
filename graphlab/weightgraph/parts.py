"""What a batch of drawings is made of: stacks of members of equal wiring, and parts of all members' edges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod

import torch
from torch import Tensor
from torch.nn import functional as F

from graphlab.weightgraph.wiring import Block, View, Wiring, WiringError

LARGE = 1024
"""Edges of a block, in all members of a stack, from which it is faster alone on a CPU (see ``benchmarks.batch``)."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Members of equal wiring. Their nodes follow one another: a grid ``[members, wiring.num_nodes]``.

    Attributes:
        wiring: Of each.
        members: Their places among the networks that the batch was made of.
        start: Number of the first node.
        least: Edges of a block that is a part of its own.
        merged: The drawing of the other blocks.
    """

    wiring: Wiring
    members: tuple[int, ...]
    start: int
    least: int
    merged: Wiring

    def grid(self, x: Tensor) -> Tensor:
        """``[members, wiring.num_nodes, ...]``: the stack's rows of a tensor ``[num_nodes, ...]``; a view."""
        sizes = (len(self.members), self.wiring.num_nodes)
        return x[self.start : self.start + prod(sizes)].view(*sizes, *x.shape[1:])

    def ends(self, block: Block) -> tuple[slice, slice]:
        """The nodes of a row of the grid that a block leads from, and those that it leads to."""
        source = self.wiring.nodes[block.source].start + block.source_offset
        target = self.wiring.nodes[block.target].start + block.target_offset
        sources = prod(block.shape[axis] for axis in block.source_axes)
        targets = prod(block.shape[axis] for axis in block.target_axes)
        return slice(source, source + sources), slice(target, target + targets)

    def numbers(self, nodes: Tensor) -> Tensor:
        """int64 ``[members, ...]``: numbers in the batch of the nodes ``[...]`` of each member."""
        first = self.start + self.wiring.num_nodes * torch.arange(len(self.members))
        return first.view(-1, *[1] * nodes.dim()) + nodes


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the edges of a batch: one block of all members of a stack, or the remainder of all stacks.

    ``edges`` below are the axes ``members, *block.shape`` of a block, and one axis for the remainder.

    Attributes:
        source, target: int64, broadcastable to ``[*edges]``: numbers of nodes.
        type, layer: int64, broadcastable to ``[*edges]``: the layout's numbers.
        values: ``[*edges, slots]``: what the edges carry; slots that are missing are zero. Not to be written into: they
            may share memory.
        stack, block: Where a block is from; nothing for the remainder.
    """

    source: Tensor
    target: Tensor
    type: Tensor
    layer: Tensor
    values: Tensor
    stack: Stack | None = None
    block: Block | None = None

    def to(self, device: torch.device, dtype: torch.dtype) -> Part:
        """The part on a device, its values in a dtype."""
        source, target, type, layer = (own.to(device) for own in (self.source, self.target, self.type, self.layer))
        return replace(self, source=source, target=target, type=type, layer=layer, values=self.values.to(device, dtype))


def stacks_of(wirings: Iterable[Wiring]) -> tuple[Stack, ...]:
    """Groups in the order of their first members, numbered one after the other."""
    first: dict[object, Wiring] = {}
    equal: dict[Wiring, Wiring] = {}
    members: dict[Wiring, list[int]] = {}
    for place, wiring in enumerate(wirings):
        if wiring not in equal:
            equal[wiring] = first.setdefault((tuple(wiring.nodes.values()), wiring.blocks), wiring)
        members.setdefault(equal[wiring], []).append(place)
    stacks = []
    start = 0
    for wiring, places in members.items():
        least = ceil(LARGE / len(places))
        small = [block for block in wiring.blocks if block.num_edges < least]
        merged = Wiring(wiring.nodes.values(), small, wiring.layout)
        stacks.append(Stack(wiring, tuple(places), start, least, merged))
        start += len(places) * wiring.num_nodes
    return tuple(stacks)


def gathered(stack: Stack, members: Sequence[tuple[Wiring, Mapping[str, Tensor]]]) -> dict[str, list[Tensor]]:
    """What is drawn of a stack: each parameter of all its members.

    Raises:
        WiringError: naming member and parameter, if one is missing or does not fit the wiring.
    """
    wiring, first = stack.wiring, stack.members[0]
    carried = [*(block.values for block in wiring.blocks), *(own.values for own in wiring.nodes.values())]
    views = {values.parameter: values for values in carried if isinstance(values, View)}
    drawn: dict[str, list[Tensor]] = {}
    for name in views:
        for member in stack.members:
            tensors = members[member][1]
            if name not in tensors:
                raise WiringError(f"member {member}: the parameter {name} is missing")
            drawn.setdefault(name, []).append(tensors[name])
            expected, shape = list(drawn[name][0].shape), list(drawn[name][-1].shape)
            if shape != expected:
                raise WiringError(f"member {member}: {name}: expected {expected}, as member {first} has, got {shape}")
    meta = {name: tensors[0].to("meta") for name, tensors in drawn.items()}
    try:
        for name, view in views.items():
            if view.batch(meta[name]):
                raise WiringError(f"{name}: expected the tensor of one network, got {list(meta[name].shape)}")
        if views:
            wiring.edge_values(meta)
            wiring.node_values(meta)
    except WiringError as error:
        raise WiringError(f"member {first}: {error}") from error
    return drawn


def check_device(stacks: Sequence[Stack], drawn: Sequence[Mapping[str, Sequence[Tensor]]]) -> torch.device:
    """The device of everything drawn.

    Raises:
        WiringError: naming member and parameter, if one lies on another than the first.
    """
    found: torch.device | None = None
    for stack, parameters in zip(stacks, drawn, strict=True):
        for name, tensors in parameters.items():
            for member, tensor in zip(stack.members, tensors, strict=True):
                found = found or tensor.device
                if tensor.device != found:
                    raise WiringError(f"member {member}: {name}: expected a tensor on {found}, got {tensor.device}")
    return found or torch.device("cpu")


def large_parts(stack: Stack, stacked: Mapping[str, Tensor], dtype: torch.dtype) -> list[Part]:
    """The blocks of a stack that have many edges, each a part.

    Args:
        stack: Of these members.
        stacked: Their parameters ``[members, ...]`` by name; the parts' values are views of them where they can be.
        dtype: Of the parameters.
    """
    parts = []
    for block in stack.wiring.blocks:
        if block.num_edges < stack.least:
            continue
        shape = (len(stack.members), *block.shape, block.slots)
        if isinstance(block.values, View) and block.places is None:
            values = block.values.of(stacked[block.values.parameter]).reshape(shape)
        else:
            alone = Wiring(stack.wiring.nodes.values(), [block])
            values = alone.edge_values(stacked, dtype).expand(len(stack.members), -1, -1).reshape(shape)
        sources, targets = stack.ends(block)
        source = stack.numbers(block.numbers(block.source_axes) + sources.start)
        target = stack.numbers(block.numbers(block.target_axes) + targets.start)
        parts.append(Part(source, target, torch.tensor(block.type), torch.tensor(block.layer), values, stack, block))
    return parts


def remainder(stacks: Sequence[Stack], values: Sequence[Tensor]) -> Part:
    """The other blocks of all stacks, edge for edge: stack by stack, member by member, each in the wiring's order.

    Args:
        stacks: All.
        values: Of each, ``[members, merged.num_edges, slots]``.
    """
    index, type, layer = [], [], []
    for stack in stacks:
        merged, count = stack.merged, len(stack.members)
        index.append(stack.numbers(merged.edge_index()).transpose(0, 1).flatten(1))
        type.append(merged.edge_type.repeat(count))
        layer.append(merged.edge_column([block.layer for block in merged.blocks]).repeat(count))
    slots = max(own.shape[-1] for own in values)
    flat = [F.pad(own, (0, slots - own.shape[-1])).flatten(end_dim=1) for own in values]
    source, target = torch.cat(index, dim=1)
    return Part(source, target, torch.cat(type), torch.cat(layer), torch.cat(flat))
