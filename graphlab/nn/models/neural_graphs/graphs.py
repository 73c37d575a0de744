"""Batches of neural graphs, explicit or in blocks, as models read them: one form for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.data import Data

from graphlab.nn.models.neural_graphs.edges import DenseEdges, Edges, FlatEdges
from graphlab.weightgraph import WeightGraphBatch
from graphlab.weightgraph.data import to_data
from graphlab.weightgraph.layouts.neural_graph import map_positions
from graphlab.weightgraph.parts import Part
from graphlab.weightgraph.pieces import Block, View
from graphlab.weightgraph.wiring import Wiring

Activations = Sequence[Sequence[str] | None]
"""For each network, in the order given, the activation of each hidden layer; ``None`` where they are not known."""


IN_BLOCKS = {"cuda"}
"""Devices on which blocks are computed as such. On a CPU their edges are listed, all in one: calls cost more there than
gathers do, since what nodes say stays in the cache."""


@dataclass(frozen=True, eq=False)
class Graphs:
    """Several networks as graphs, numbered in the order of their nodes.

    Attributes:
        x: ``[num_nodes, 1]``: what nodes carry.
        edges: All edges, some at a time.
        values: For each of these, ``[*edges, slots]``: what they carry.
        edge_type, edge_layer: For each, int64, broadcastable to ``[*edges]``: the layout's numbers.
        filled: For each, bool, broadcastable to ``[*edges, slots]``: which values are parameters; ``None`` if an
            explicit graph does not say.
        node_filled: bool ``[num_nodes]``: which nodes carry a parameter; ``None`` likewise.
        node_layer, node_order: int64 ``[num_nodes]``: depth, and place among inputs or outputs, -1 elsewhere.
        place: int64 ``[num_nodes]``: position in the map that is flattened, -1 elsewhere.
        graph: int64 ``[num_nodes]``: the graph that a node is of.
        ptr: int64 ``[graphs + 1]``: the graphs' first nodes.
        order: int64 ``[graphs]``: which of the networks given a graph is.
        activations: Of each graph, the names given.
    """

    x: Tensor
    edges: tuple[Edges, ...]
    values: tuple[Tensor, ...]
    edge_type: tuple[Tensor, ...]
    edge_layer: tuple[Tensor, ...]
    filled: tuple[Tensor, ...] | None
    node_filled: Tensor | None
    node_layer: Tensor
    node_order: Tensor
    place: Tensor
    graph: Tensor
    ptr: Tensor
    order: Tensor
    activations: tuple[tuple[str, ...] | None, ...] | None = None

    def __len__(self) -> int:
        return len(self.order)

    @property
    def depth(self) -> Tensor:
        """int64 ``[graphs]``: the layer of the outputs."""
        return self.node_layer.new_zeros(len(self)).scatter_reduce(0, self.graph, self.node_layer, "amax")

    @property
    def slots(self) -> int:
        return max((own.shape[-1] for own in self.values), default=1)

    def with_values(self, values: Sequence[Tensor], x: Tensor) -> Graphs:
        return replace(self, values=tuple(values), x=x)

    def as_given(self, rows: Tensor) -> Tensor:
        """Rows of graphs in the order in which the networks were given."""
        return rows[self.order.argsort()]


def graph_data(wiring: Wiring, tensors: Mapping[str, Tensor], activations: Sequence[str] | None = None) -> Data:
    """A network as an explicit graph, with all that models on neural graphs read.

    Args:
        wiring: Drawn by ``neural_graph``.
        tensors: The parameters by name.
        activations: Of each hidden layer.

    Returns:
        What :func:`~graphlab.weightgraph.data.to_data` gives and ``place`` int64 ``[N]``, the position of a node in the
        map that is flattened, -1 elsewhere; ``edge_filled`` bool ``[E, slots]`` and ``node_filled`` bool ``[N]``, which
        values are parameters; and, if given, ``activations``. ``Batch.from_data_list`` makes a batch.
    """
    data = to_data(wiring, tensors)
    data.place = map_positions(wiring)
    data.edge_filled, data.node_filled = _filled(wiring.blocks, wiring.slots), _nodes_filled(wiring)
    if activations is not None:
        data.activations = list(activations)
    return data


def read(graphs: WeightGraphBatch | Data, activations: Activations | None = None) -> Graphs:
    """One form for batches in blocks and explicit ones.

    Args:
        graphs: In blocks; or explicit with ``x``, ``edge_index``, ``edge_attr``, ``edge_type``, ``edge_layer``,
            ``node_layer``, ``node_order``, for several networks ``batch`` and ``ptr``, and what :func:`graph_data`
            adds.
        activations: Of the networks; default those of an explicit batch.

    Raises:
        TypeError: for anything else.
        ValueError: naming what is missing or does not fit.
    """
    if isinstance(graphs, WeightGraphBatch):
        found = _of_blocks(graphs, activations)
        return found if found.x.device.type in IN_BLOCKS else _listed(found)
    if isinstance(graphs, Data):
        return _of_data(graphs, activations)
    raise TypeError(
        f"expected a WeightGraphBatch, or a Data or Batch of PyTorch Geometric, got {type(graphs).__name__}"
    )


def _of_blocks(batch: WeightGraphBatch, activations: Activations | None) -> Graphs:
    edges: list[Edges] = []
    values, types, layers, filled = [], [], [], []
    for part in batch.parts:
        own = _dense(part)
        kept = own is not None
        shape = part.values.shape[:-1]
        sender, receiver = (_spread(end, shape).int() for end in (part.source, part.target))
        edges.append(own or FlatEdges(sender, receiver, batch.num_nodes))
        values.append(_matrix(part) if kept else part.values.flatten(end_dim=-2))
        types.append(part.type if kept else _spread(part.type, shape))
        layers.append(part.layer if kept else _spread(part.layer, shape))
        filled.append(_filled_of(batch, part).to(batch.device))
    x = torch.zeros(batch.num_nodes, 1, dtype=batch.dtype, device=batch.device) if batch.x is None else batch.x
    sizes = batch.ptr.diff()
    return Graphs(
        x,
        tuple(edges),
        tuple(values),
        tuple(types),
        tuple(layers),
        tuple(filled),
        batch.per_node(_nodes_filled),
        batch.per_node(lambda wiring: wiring.node_column([own.layer for own in wiring.nodes.values()])),
        batch.per_node(_places),
        batch.per_node(map_positions),
        torch.arange(len(batch), device=batch.device).repeat_interleave(sizes),
        batch.ptr,
        batch.order,
        _named(activations, batch.order),
    )


def _listed(graphs: Graphs) -> Graphs:
    """With all edges in one list."""
    if not graphs.edges:
        return graphs
    slots = graphs.slots
    ends = [own.numbers() for own in graphs.edges]
    sender, receiver = (torch.cat([end[side].flatten() for end in ends]).int() for side in (0, 1))
    values, types, layers, filled = [], [], [], []
    for number, own in enumerate(graphs.values):
        missing = slots - own.shape[-1]
        padded = functional.pad(own, (0, missing)) if missing else own
        values.append(padded.flatten(end_dim=-2))
        shape = own.shape[:-1]
        types.append(_spread(graphs.edge_type[number], shape))
        layers.append(_spread(graphs.edge_layer[number], shape))
        if graphs.filled is not None:
            row = functional.pad(graphs.filled[number], (0, missing))
            filled.append(row.expand(*shape, slots).flatten(end_dim=-2))
    return replace(
        graphs,
        edges=(FlatEdges(sender, receiver, len(graphs.x)),),
        values=(torch.cat(values),),
        edge_type=(torch.cat(types),),
        edge_layer=(torch.cat(layers),),
        filled=(torch.cat(filled),) if graphs.filled is not None else None,
    )


def _dense(part: Part) -> DenseEdges | None:
    """A part as a dense block, if each of its edges joins another pair of nodes, and every pair is joined."""
    block, stack = part.block, part.stack
    if block is None or stack is None:
        return None
    if sorted((*block.source_axes, *block.target_axes)) != list(range(len(block.shape))):
        return None
    return DenseEdges(stack.start, len(stack.members), stack.wiring.num_nodes, *stack.ends(block))


def _matrix(part: Part) -> Tensor:
    """``[graphs, sources, targets, slots]``: the values of a dense part."""
    block = part.block
    assert block is not None
    axes = (*block.source_axes, *block.target_axes)
    sources = prod(block.shape[axis] for axis in block.source_axes)
    values = part.values.permute(0, *(1 + axis for axis in axes), 1 + len(axes))
    return values.reshape(len(values), sources, -1, values.shape[-1])


def _spread(numbers: Tensor, shape: torch.Size) -> Tensor:
    return numbers.expand(shape).flatten()


def _filled_of(batch: WeightGraphBatch, part: Part) -> Tensor:
    """Which values of a part are parameters."""
    slots = part.values.shape[-1]
    if part.block is not None:
        return _filled_row(part.block, slots)
    rows = [_filled(stack.merged.blocks, slots).repeat(len(stack.members), 1) for stack in batch.stacks]
    return torch.cat(rows)


def _filled(blocks: Sequence[Block], slots: int) -> Tensor:
    """bool ``[edges, slots]`` of some blocks."""
    if not blocks:
        return torch.zeros(0, slots, dtype=torch.bool)
    rows = torch.stack([_filled_row(block, slots) for block in blocks])
    return rows.repeat_interleave(torch.tensor([block.num_edges for block in blocks]), dim=0)


def _filled_row(block: Block, slots: int) -> Tensor:
    row = torch.zeros(slots, dtype=torch.bool)
    if isinstance(block.values, View):
        row[list(range(block.slots) if block.places is None else block.places)] = True
    return row


def _nodes_filled(wiring: Wiring) -> Tensor:
    return wiring.node_column([isinstance(own.values, View) for own in wiring.nodes.values()]).bool()


def _places(wiring: Wiring) -> Tensor:
    """int64 ``[N]``: the place of an ordered node in its range, -1 for the others."""
    ranges = wiring.nodes.values()
    return torch.cat([torch.arange(own.size) if own.ordered else torch.full((own.size,), -1) for own in ranges])


def _of_data(data: Data, activations: Activations | None) -> Graphs:
    needed = ("edge_index", "edge_attr", "edge_type", "edge_layer", "node_layer", "node_order")
    missing = [name for name in needed if data.get(name) is None]
    if missing:
        raise ValueError(f"the graph has no {', '.join(missing)}; graph_data makes all that is read")
    values, num_nodes, device = data.edge_attr, data.num_nodes, data.edge_index.device
    if values.dim() != 2:
        raise ValueError(f"edge_attr: expected [edges, slots], got {list(values.shape)}")
    batch = data.get("batch")
    graph = torch.zeros(num_nodes, dtype=torch.int64, device=device) if batch is None else batch
    given, sizes = graph.unique_consecutive(return_counts=True)
    if len(given.unique()) != len(given):
        raise ValueError("batch: expected the nodes of a graph one after the other")
    if activations is None and data.get("activations") is not None:
        activations = [data.activations] if batch is None else data.activations
    x = values.new_zeros(num_nodes, 1) if data.x is None else data.x
    place = data.get("place")
    return Graphs(
        x,
        (FlatEdges(data.edge_index[0].int(), data.edge_index[1].int(), num_nodes),),
        (values,),
        (data.edge_type,),
        (data.edge_layer,),
        None if data.get("edge_filled") is None else (data.edge_filled,),
        data.get("node_filled"),
        data.node_layer,
        data.node_order,
        torch.full_like(graph, -1) if place is None else place,
        torch.arange(len(given), device=device).repeat_interleave(sizes),
        functional.pad(sizes.cumsum(0), (1, 0)),
        given,
        _named(activations, given),
    )


def _named(activations: Activations | None, order: Tensor) -> tuple[tuple[str, ...] | None, ...] | None:
    """The activations of each graph, from those of each network given."""
    if activations is None:
        return None
    if len(activations) != len(order):
        raise ValueError(f"expected the activations of {len(order)} networks, got those of {len(activations)}")
    given = (activations[place] for place in order.tolist())
    return tuple(None if own is None else tuple(own) for own in given)


def written(graphs: WeightGraphBatch | Data, values: Sequence[Tensor], x: Tensor) -> WeightGraphBatch | Data:
    """The batch that was read, with other values of edges and nodes; the inverse of :func:`read`."""
    if isinstance(graphs, Data):
        changed = graphs.clone()
        (changed.edge_attr,) = values
        changed.x = x
        return changed
    if len(values) != len(graphs.parts):  # listed
        sizes = [part.values.shape[:-1].numel() for part in graphs.parts]
        pieces = torch.split(torch.cat(list(values)), sizes)
        values = [own[:, : part.values.shape[-1]] for own, part in zip(pieces, graphs.parts, strict=True)]
    parts = [_unmatrix(part, own) for part, own in zip(graphs.parts, values, strict=True)]
    return graphs.with_values(parts, None if graphs.x is None else x)


def _unmatrix(part: Part, values: Tensor) -> Tensor:
    """``[*edges, slots]``: the inverse of :func:`_matrix`."""
    block = part.block
    if block is None or _dense(part) is None:
        return values.view(*part.values.shape[:-1], values.shape[-1])
    axes = (*block.source_axes, *block.target_axes)
    grid = values.reshape(len(part.values), *(block.shape[axis] for axis in axes), values.shape[-1])
    back = sorted(range(len(axes)), key=axes.__getitem__)
    return grid.permute(0, *(1 + place for place in back), 1 + len(axes))
