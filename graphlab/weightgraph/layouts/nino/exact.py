"""NiNo's vocabulary of edges on the neurons of a structure, for any traced network.

The published drawings hang norms, shared heads and gates where the family's table says; here every edge joins the
neurons that its parameter couples (see :mod:`graphlab.weightgraph.layouts.exact`). As published are the types of edges,
the direction of keys (from query neurons to the stream), heads as nodes tied to their neurons (and so whatever else is
the first factor of a product: experts, channel groups), and self-loops. A stream of residuals is one range of nodes, so
there are no residual edges. Queries, keys and values are told apart by name; in a fused projection, values are what has
neurons of its own.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from torch import Tensor

from graphlab.weightgraph.layouts.exact import exact
from graphlab.weightgraph.layouts.nino.slots import checked_slots
from graphlab.weightgraph.layouts.nino.types import EdgeType, NodeType
from graphlab.weightgraph.structure import Structure
from graphlab.weightgraph.wiring import Block, Drawing, Nodes, View, Wiring

_PROJECTIONS = {
    EdgeType.QUERY: re.compile(r"(to_)?(q|query)(_proj|_lin)?(_weight)?"),
    EdgeType.KEY: re.compile(r"(to_)?(k|key)(_proj|_lin)?(_weight)?"),
    EdgeType.VALUE: re.compile(r"(to_)?(v|value)(_proj|_lin)?(_weight)?"),
}


def nino_exact(structure: Structure, tensors: Mapping[str, Tensor], max_slots: int | None = None) -> Wiring:
    """Draw a traced network.

    Args:
        structure: Of the network.
        tensors: The parameters to draw; running statistics are none.
        max_slots: Kernel positions that an edge holds; default the most that a parameter needs.

    Raises:
        WiringError: if a kernel has more positions.
    """
    plain = exact(structure, tensors)
    drawing = Drawing()
    blocks: list[Block] = []
    ranges: dict[str, int] = {}
    for own in plain.nodes.values():
        heads = _heads(own)
        if heads is not None and heads not in plain.nodes and heads not in drawing:
            ranges[heads] = structure.groups[heads].size
            drawing.nodes(heads, ranges[heads], NodeType.HEAD)
        ranges[own.name] = own.size
        drawing.nodes(own.name, own.size, _node_type(own, plain), ordered=own.ordered)
        if heads is not None:
            count = structure.groups[heads].size
            blocks.append(Block(heads, own.name, (count, own.size // count), (0,), (0, 1), 1.0, EdgeType.HEAD))
    parts: dict[str, list[Block]] = {}
    for block in plain.blocks:
        assert isinstance(block.values, View)
        parts.setdefault(block.values.parameter, []).append(block)
    for name, own_blocks in parts.items():
        types = _types(name, own_blocks, plain, structure)
        blocks += [_typed(block, type) for block, type in zip(own_blocks, types, strict=True)]
    slots = checked_slots(blocks, max_slots)
    for block in blocks:
        drawing.edges(block)
    for name, size in ranges.items():
        drawing.edges(Block(name, name, (size,), (0,), (0,), 2.0, EdgeType.SELF_LOOP, slots=slots))
    return drawing.wiring()


def _heads(own: Nodes) -> str | None:
    """The group that is the first factor of a range's neurons."""
    first, *rest = own.name.split(" . ")
    return first if rest else None


def _node_type(own: Nodes, wiring: Wiring) -> NodeType:
    if own.name.startswith("unit of "):
        return NodeType.UNIT
    rows = any(
        block.source == own.name and isinstance(block.values, View) and _is_embedding(block.values.parameter, own.name)
        for block in wiring.blocks
    )
    return NodeType.WORD if rows else NodeType.NEURON


def _is_embedding(parameter: str, source: str) -> bool:
    module = parameter.rpartition(".")[0] or parameter
    return source.endswith(".rows") and source.startswith(module) and not re.search(r"pos|wpe|type", module)


def _types(name: str, blocks: list[Block], wiring: Wiring, structure: Structure) -> list[EdgeType]:
    """The types of the blocks of one parameter."""
    rank = len(structure.axes[name])
    headed = rank > 1 and all(_heads(wiring.nodes[block.target]) is not None for block in blocks)
    module = name.removesuffix(".weight").rpartition(".")[2]
    for type, pattern in _PROJECTIONS.items():
        if headed and pattern.fullmatch(module):
            return [type] * len(blocks)
    return _thirds(blocks) if headed and len(blocks) >= 3 else [_type(name, rank, block) for block in blocks]


def _thirds(blocks: list[Block]) -> list[EdgeType]:
    """Types of the parts of a fused projection: values have neurons of their own, queries and keys share theirs."""
    values = blocks[-1].target
    shared = [block for block in blocks if block.target != values]
    types = iter([EdgeType.QUERY] * (len(shared) // 2) + [EdgeType.KEY] * (len(shared) - len(shared) // 2))
    return [EdgeType.VALUE if block.target == values else next(types) for block in blocks]


def _type(name: str, rank: int, block: Block) -> EdgeType:
    if rank == 1:
        return EdgeType.NORM if name.endswith(".weight") else EdgeType.BIAS
    if block.source.endswith(".rows") or block.source.startswith("positions of "):
        named = EdgeType.BIAS if "type" in name else EdgeType.POSITION
        return EdgeType.WORD if _is_embedding(name, block.source) else named
    if re.search(r"cls|class_token", name):
        return EdgeType.WORD
    return EdgeType.CONV if rank == 4 else EdgeType.BIAS if block.slots > 1 else EdgeType.LINEAR


def _typed(block: Block, type: EdgeType) -> Block:
    if type is not EdgeType.KEY:
        return dataclasses.replace(block, type=type)
    return dataclasses.replace(
        block,
        type=type,
        source=block.target,
        target=block.source,
        source_axes=block.target_axes,
        target_axes=block.source_axes,
    )
