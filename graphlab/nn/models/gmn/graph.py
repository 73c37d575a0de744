"""The one form in which graph metanetworks read networks, be they explicit graphs or batches of blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Batch, Data

from graphlab.nn.models.gmn.ends import End, Grid, Listed
from graphlab.weightgraph.batch import Part, WeightGraphBatch
from graphlab.weightgraph.layouts.parameter_graph import block_labels, edge_features, node_features
from graphlab.weightgraph.wiring import Wiring

LABELS = 5
"""Columns of an edge's labels: layer, type and three positions."""
FEW = 1 << 12
"""Values of a column up to which they are numbered by their difference from the least."""
MANY = 1 << 31
"""Keys of rows above which they are numbered anew, before they could overflow."""


@dataclass(frozen=True, eq=False)
class Edges:
    """Some of the edges, ``[*edges]``: a list, or a block of all networks that have it.

    Attributes:
        values: ``[*edges, slots]``.
        label: int64, broadcastable to ``[*edges]``: row of the graph's table of labels.
        source, target: The nodes at both ends.
        order: Which axes of the block, as it was given, are the axes ``[*edges]``; its own if there is none.
    """

    values: Tensor
    label: Tensor
    source: End
    target: End
    order: tuple[int, ...] = ()

    def as_given(self, states: Tensor) -> Tensor:
        """States ``[*edges, channels]`` with the axes of the block as it was given."""
        return states.permute(*sorted(range(len(self.order)), key=self.order.__getitem__), -1) if self.order else states

    def reversed(self) -> Edges:
        return replace(self, source=self.target, target=self.source)


@dataclass(frozen=True, eq=False)
class Graph:
    """Networks as one graph.

    Attributes:
        nodes: ``[N, 3]``: layer, order and type, in the dtype of the values.
        table: ``[U, 5]``: the labels that edges have (layer, type, three positions), each in a row or more.
        edges: All edges.
        owner: int64 ``[N]``: the network of each node.
        num_graphs: How many networks.
    """

    nodes: Tensor
    table: Tensor
    edges: tuple[Edges, ...]
    owner: Tensor
    num_graphs: int

    @classmethod
    def of_list(cls, x: Tensor, edge_index: Tensor, values: Tensor) -> Graph:
        """One network whose edges are a list, without labels.

        Args:
            x: ``[N, ...]``: only their number matters.
            edge_index: int64 ``[2, E]``.
            values: ``[E, channels]``.
        """
        source, target = edge_index.as_subclass(Tensor)
        edges = Edges(values, torch.zeros_like(source), Listed(source), Listed(target))
        return cls(values.new_zeros(len(x), 3), values.new_zeros(1, LABELS), (edges,), torch.zeros_like(x[:, 0]).long(), 1)

    @property
    def num_nodes(self) -> int:
        return len(self.nodes)

    def both_ways(self) -> Graph:
        """The graph with every edge turned round as well, after all others."""
        return replace(self, edges=(*self.edges, *(edges.reversed() for edges in self.edges)))

    def degree(self) -> Tensor:
        """``[N, 1]``: how many edges lead to each node."""
        degree = self.nodes.new_zeros(self.num_nodes, 1)
        for edges in self.edges:
            edges.target.count(degree)
        return degree

    def per_graph(self, x: Tensor) -> Tensor:
        """``[num_graphs, channels]``: the sums of ``[N, channels]`` over the nodes of each network."""
        return x.new_zeros(self.num_graphs, x.shape[1]).index_add(0, self.owner, x)


def explicit(wiring: Wiring, tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> Data:
    """A network as an explicit graph with the published features.

    Args:
        wiring: Drawn by :func:`~graphlab.weightgraph.layouts.parameter_graph.parameter_graph`, or exactly.
        tensors: The parameters by name; gradients flow back to them.
        dtype: Of the features of edges; default that of the parameters.

    Returns:
        ``x`` int64 ``[N, 3]`` (layer, order, type), ``edge_index`` and ``edge_attr`` ``[E, slots + 5]`` (the values,
        then layer, type and three positions). ``wiring.read_back(edge_attr[:, :slots], tensors)`` is the way back.
    """
    return Data(
        x=node_features(wiring), edge_index=wiring.edge_index(), edge_attr=edge_features(wiring, tensors, dtype)
    )


def read(graph: Data | WeightGraphBatch, slots: int = 1, normalize_depth: bool = False) -> Graph:
    """What models compute on.

    Args:
        graph: See :func:`explicit`, also a ``Batch`` of these; or drawings in block form.
        slots: Values that an edge carries.
        normalize_depth: Divide layer numbers by the largest of each network.

    Raises:
        ValueError: for features of another shape, drawings whose nodes carry values, and values that are not finite,
            naming network and layer.
    """
    if isinstance(graph, WeightGraphBatch):
        read = _read_batch(graph, slots, normalize_depth)
    elif isinstance(graph, Data):
        read = _read_data(graph, slots, normalize_depth)
    else:
        raise ValueError(f"expected a torch_geometric Data or a WeightGraphBatch, got {type(graph).__name__}")
    _check_finite(read)
    return read


def _read_data(data: Data, slots: int, normalize_depth: bool) -> Graph:
    x, index, attr = data.x, data.edge_index, data.edge_attr
    if x is None or index is None or attr is None:
        raise ValueError("expected a graph with x, edge_index and edge_attr, as `explicit` makes it")
    if x.dim() != 2 or x.shape[1] != 3:
        raise ValueError(f"x: expected [N, 3] (layer, order, type), got {list(x.shape)}")
    if attr.dim() != 2 or attr.shape[1] != slots + LABELS or not attr.is_floating_point():
        raise ValueError(
            f"edge_attr: expected floating [E, {slots + LABELS}] ({slots} values, layer, type, three positions), got "
            f"{attr.dtype} {list(attr.shape)}"
        )
    if index.shape != (2, len(attr)):
        raise ValueError(f"edge_index: expected [2, {len(attr)}], as many edges as edge_attr has, got {list(index.shape)}")
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < len(x):
        raise ValueError(f"edge_index: expected nodes 0 to {len(x) - 1}, got {int(index.min())} to {int(index.max())}")
    source, target = index.as_subclass(Tensor)
    batch = data.batch
    owner = torch.zeros(len(x), dtype=torch.int64, device=x.device) if batch is None else batch
    count = 1 if batch is None else data.num_graphs if isinstance(data, Batch) else int(batch.max()) + 1
    nodes, labels = x.to(attr.dtype), attr[:, slots:].detach()
    if normalize_depth:
        depth = nodes.new_ones(count).scatter_reduce(0, owner, nodes[:, 0], "amax")[owner]
        nodes, labels = scaled(nodes, depth.unsqueeze(1)), scaled(labels, depth[source].unsqueeze(1))
    table, label = distinct(labels)
    edges = Edges(attr[:, :slots], label, Listed(source), Listed(target))
    return Graph(nodes, table, (edges,), owner, count)


def _read_batch(batch: WeightGraphBatch, slots: int, normalize_depth: bool) -> Graph:
    if batch.x is not None:
        raise ValueError(
            "nodes carry values in one of the drawings; graph metanetworks read parameter graphs or exact ones"
        )
    if batch.slots > slots:
        raise ValueError(f"expected edges that carry {slots} values, got {batch.slots}: slots={batch.slots} takes them")
    depths = {id(stack): _depth(stack.wiring) if normalize_depth else 1.0 for stack in batch.stacks}

    rows, edges, start = [], [], 0
    for part in batch.parts:
        missing = slots - part.values.shape[-1]
        values = F.pad(part.values, (0, missing)) if missing else part.values
        if part.block is None or part.stack is None:
            tables, label = _remainder_labels(batch, depths)
            made = Edges(values, label + start, Listed(part.source), Listed(part.target))
        else:
            made, table = _block(part, values, start)
            tables = [scaled(table, depths[id(part.stack)])]
        edges.append(replace(made, label=made.label.to(batch.device)))
        rows += tables
        start += sum(map(len, tables))
    table = torch.cat(rows) if rows else torch.empty(0, LABELS)
    depth = batch.per_node(lambda wiring: torch.full((wiring.num_nodes, 1), _depth(wiring) if normalize_depth else 1.0))
    nodes = batch.per_node(node_features).to(batch.dtype)
    return Graph(scaled(nodes, depth.to(nodes)), table.to(nodes), tuple(edges), batch.batch, len(batch))


def _block(part: Part, values: Tensor, start: int) -> tuple[Edges, Tensor]:
    """A block with its labels from row ``start`` on, and these. Parallel edges come first: then sums over nodes, and
    what nodes add, go through memory in long runs."""
    stack, block = part.stack, part.block
    assert stack is not None
    assert block is not None
    axes = range(len(block.shape))
    ends = {*block.source_axes, *block.target_axes}
    order = sorted(axes, key=lambda axis: (axis in ends, axis))
    shape = tuple(block.shape[axis] for axis in order)
    source, target = (
        Grid(stack, nodes, tuple(order.index(axis) for axis in own), shape)
        for nodes, own in zip(stack.ends(block), (block.source_axes, block.target_axes), strict=True)
    )
    labels = block_labels(block)
    sizes = [labels.shape[axis] for axis in order]
    label = torch.arange(start, start + prod(sizes)).view(1, *labels.shape[:-1]).permute(0, *(1 + a for a in order))
    moved = (0, *(1 + axis for axis in order))
    values = values.permute(*moved, -1).contiguous()
    return Edges(values, label, source, target, moved), labels.reshape(-1, LABELS)


def _remainder_labels(batch: WeightGraphBatch, depths: Mapping[int, float]) -> tuple[list[Tensor], Tensor]:
    """The labels of the small blocks of all stacks, and which of them each edge of the remainder has."""
    tables, label, start = [], [], 0
    for stack in batch.stacks:
        own = [torch.empty(0, dtype=torch.int64)]
        for block in stack.merged.blocks:
            labels = block_labels(block)
            number = torch.arange(start, start + prod(labels.shape[:-1])).view(labels.shape[:-1])
            own.append(number.expand(block.shape).flatten())
            tables.append(scaled(labels.reshape(-1, LABELS), depths[id(stack)]))
            start += number.numel()
        label.append(torch.cat(own).repeat(len(stack.members)))
    return tables, torch.cat(label)


def scaled(labels: Tensor, depth: float | Tensor) -> Tensor:
    """Labels of edges, or of nodes, with the layer divided by ``depth``."""
    return torch.cat([labels[:, :1] / depth, labels[:, 1:]], dim=1)


def distinct(labels: Tensor) -> tuple[Tensor, Tensor]:
    """The different rows of ``[E, columns]``, and int64 ``[E]``: which of them each row is.

    Column by column; numbers of few values are numbered without sorting.
    """
    key = torch.zeros(len(labels), dtype=torch.int64, device=labels.device)
    for column in labels.unbind(dim=1) if len(labels) else ():
        least, most = column.aminmax()
        if float(most - least) < FEW and bool((column == column.round()).all()):
            number, count = (column - least).long(), int(most - least) + 1
        else:
            values, number = torch.unique(column, return_inverse=True)
            count = len(values)
        key = key * count + number
        if int(key.max()) > MANY:
            key = torch.unique(key, return_inverse=True)[1]
    keys, label = torch.unique(key, return_inverse=True)
    table = labels.new_empty(len(keys), labels.shape[1])
    table[label] = labels
    return table, label


def _depth(wiring: Wiring) -> float:
    return float(max((1, *(own.layer for own in wiring.nodes.values()))))


def _check_finite(graph: Graph) -> None:
    for edges in graph.edges:
        finite = edges.values.isfinite()
        if finite.all():
            continue
        place = tuple(finite.all(dim=-1).logical_not().nonzero()[0].tolist())
        tile = tuple(slice(index, index + 1) for index in place)
        network = int(edges.source.read(edges.source.spread(graph.owner.unsqueeze(1)), tile))
        label = edges.label.expand(edges.values.shape[:-1])[place]
        layer = float(graph.table[label, 0])
        raise ValueError(f"network {network}: a parameter of layer {layer:g} is NaN or infinite")
