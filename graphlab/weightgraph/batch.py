"""``WeightGraphBatch``: drawings of many networks, of equal or different architectures, as one graph.

>>> batch = WeightGraphBatch([(graph.wiring("parameter_graph"), graph.tensors) for graph in graphs])
>>> batch = batch.edge_map(lambda edges: encode(edges.values) + embedding(edges.type))
>>> for edges in batch.parts:
...     message = x[edges.source] + x[edges.target] + edges.values  # [*edges, channels]

A model that treats every part alike never sees how the edges are divided.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from graphlab.weightgraph.allocation import zeros
from graphlab.weightgraph.parts import Part, Stack, check_device, gathered, large_parts, remainder, stacks_of
from graphlab.weightgraph.summary import Line, table
from graphlab.weightgraph.wiring import Block, View, Wiring, WiringError

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["Part", "Stack", "WeightGraphBatch"]


class WeightGraphBatch:
    """Networks of any mix of architectures as one graph.

    Members of equal wiring are a :class:`Stack`. Nodes are numbered stack by stack and member by member, so a stack's
    nodes are a grid, and a member's follow one another. A block that has many edges in all members of its stack is a
    :class:`Part` of its own, whose values are a view of the stacked parameter; all smaller blocks, of all stacks, are
    one part of flat edges.

    Args:
        members: The drawing and the parameters of each network. What is drawn is stacked, in the dtype that the drawn
            parameters of all members promote to; nothing else is made of the size of large blocks.

    Attributes:
        stacks: In the order of their first members.
        parts: The large blocks in the order of stacks and wirings; last, if it has edges, the remainder.
        order: int64 ``[len(batch)]``: given places of the members in the order in which their nodes are numbered.
        ptr: int64 ``[len(batch) + 1]``: first node of each of them.
        batch: int64 ``[num_nodes]``: given place of the member that a node is of.
        x: ``[num_nodes, 1]``: what nodes carry; ``None`` if no wiring gives them anything.

    Raises:
        WiringError: for no members; naming member and parameter, for parameters that are missing, do not fit the wiring
            or are on different devices.
    """

    def __init__(self, members: Iterable[tuple[Wiring, Mapping[str, Tensor]]]) -> None:
        self._members = tuple(members)
        if not self._members:
            raise WiringError("expected one network or more, got none")
        self.stacks = stacks_of(wiring for wiring, _ in self._members)
        self._drawn = [gathered(stack, self._members) for stack in self.stacks]
        device = check_device(self.stacks, self._drawn)
        dtypes = {tensor.dtype for drawn in self._drawn for tensors in drawn.values() for tensor in tensors}
        dtype = functools.reduce(torch.promote_types, dtypes or {torch.get_default_dtype()})
        parts: list[Part] = []
        flat: list[Tensor] = []
        nodes: list[Tensor] = []
        for stack, drawn in zip(self.stacks, self._drawn, strict=True):
            stacked = {name: torch.stack(tensors).to(dtype) for name, tensors in drawn.items()}
            parts += large_parts(stack, stacked, dtype)
            ranges = Wiring(stack.wiring.nodes.values(), ())
            count = len(stack.members)
            flat.append(stack.merged.edge_values(stacked, dtype).to(device).expand(count, -1, -1))
            nodes.append(ranges.node_values(stacked, dtype).to(device).expand(count, -1, -1))
        if any(stack.merged.num_edges for stack in self.stacks):
            parts.append(remainder(self.stacks, flat))
        self.parts = tuple(part.to(device, dtype) for part in parts)
        carried = any(stack.wiring.has_node_values for stack in self.stacks)
        self.x = torch.cat([own.flatten(end_dim=1) for own in nodes]) if carried else None
        order = torch.tensor([member for stack in self.stacks for member in stack.members])
        sizes = torch.tensor([stack.wiring.num_nodes for stack in self.stacks for _ in stack.members])
        ptr = F.pad(sizes.cumsum(0), (1, 0))
        self.order, self.ptr, self.batch = (own.to(device) for own in (order, ptr, order.repeat_interleave(sizes)))

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, place: int) -> tuple[Wiring, Mapping[str, Tensor]]:
        """The drawing and the parameters of a member, as they came in."""
        return self._members[place]

    @property
    def num_nodes(self) -> int:
        return len(self.batch)

    @property
    def num_edges(self) -> int:
        return sum(len(stack.members) * stack.wiring.num_edges for stack in self.stacks)

    @property
    def slots(self) -> int:
        """The most values that an edge carries."""
        return max((part.values.shape[-1] for part in self.parts), default=1)

    @property
    def dtype(self) -> torch.dtype:
        """Of the values of the first part."""
        return self.parts[0].values.dtype if self.parts else torch.get_default_dtype()

    @property
    def device(self) -> torch.device:
        return self.batch.device

    def per_node(self, of: Callable[[Wiring], Tensor]) -> Tensor:
        """``[num_nodes, ...]``: for the nodes of each member, the tensor ``[wiring.num_nodes, ...]`` of its wiring.

        >>> batch.per_node(lambda wiring: laplacian_positions(wiring, 8))
        """
        found = [(of(stack.wiring), len(stack.members)) for stack in self.stacks]
        return torch.cat([own.expand(count, *own.shape).flatten(end_dim=1) for own, count in found]).to(self.device)

    def with_values(self, values: Sequence[Tensor], x: Tensor | None = None) -> WeightGraphBatch:
        """The batch with other values.

        Args:
            values: For each part, ``[*edges, width]``.
            x: ``[num_nodes, width]``; default what there is.

        Raises:
            WiringError: if these are not values of the batch's edges and nodes.
        """
        expected = [tuple(part.values.shape[:-1]) for part in self.parts]
        got = [tuple(own.shape[:-1]) for own in values]
        if got != expected:
            raise WiringError(f"expected the values of parts of {expected} edges, got those of {got}")
        if x is not None and (x.dim() != 2 or len(x) != self.num_nodes):
            raise WiringError(
                f"expected the values of {self.num_nodes} nodes, [{self.num_nodes}, width], got {list(x.shape)}"
            )
        changed = copy.copy(self)
        changed.parts = tuple(replace(part, values=own) for part, own in zip(self.parts, values, strict=True))
        changed.x = self.x if x is None else x
        return changed

    def edge_map(self, function: Callable[[Part], Tensor]) -> WeightGraphBatch:
        """The batch with what a function makes of each part as its values.

        Args:
            function: Part -> ``[*edges, width]``, or broadcastable to it. It is to treat every edge by itself, so that
                how edges are divided makes no difference. All parts come with as many slots as the widest; those that
                they do not have are zero.
        """
        slots, mapped = self.slots, []
        for part in self.parts:
            missing = slots - part.values.shape[-1]
            result = function(replace(part, values=F.pad(part.values, (0, missing))) if missing else part)
            mapped.append(result.expand(*part.values.shape[:-1], result.shape[-1]))
        return self.with_values(mapped)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> WeightGraphBatch:
        """The batch on a device, its values in a dtype; default those that it has."""
        device, dtype = torch.device(device or self.device), dtype or self.dtype
        moved = copy.copy(self)
        moved.parts = tuple(part.to(device, dtype) for part in self.parts)
        moved.x = None if self.x is None else self.x.to(device, dtype)
        moved.order, moved.ptr, moved.batch = (own.to(device) for own in (self.order, self.ptr, self.batch))
        return moved

    def to_data(self) -> Data:
        """Every edge, one by one, as :func:`~graphlab.weightgraph.data.to_data` gives those of each member.

        Nodes have the batch's numbers; edges come member by member in that order, each in the order of its wiring, with
        as many slots as the widest. So this is PyG's batch of the members' graphs, taken in :attr:`order`, but for
        ``batch``, which has their given places. Where members of equal wiring are given one after the other, the two
        are the same.
        """
        from torch_geometric.data import Data

        from graphlab.weightgraph.data import to_data

        index = zeros((2, self.num_edges), torch.int64)
        attr = torch.zeros(self.num_edges, self.slots, dtype=self.dtype, device=self.device)
        of_edges = {name: zeros((self.num_edges,), torch.int64) for name in ("edge_type", "edge_layer")}
        of_nodes = {n: zeros((self.num_nodes,), torch.int64) for n in ("node_type", "node_layer", "node_order")}
        start = 0
        for stack, pieces in self.pieces():
            wiring, count = stack.wiring, len(stack.members)
            one = to_data(wiring, self._members[stack.members[0]][1])
            edges = slice(start, start + count * wiring.num_edges)
            first = stack.numbers(torch.tensor(0)).view(1, count, 1)
            torch.add(one.edge_index.unsqueeze(1), first, out=index[:, edges].view(2, count, wiring.num_edges))
            values = attr[edges].view(count, wiring.num_edges, self.slots)
            for (_, into), (_, own) in zip(wiring.edge_parts(values), pieces, strict=True):
                into[..., : own.shape[-1]].view(own.shape).copy_(own)
            for name, column in of_edges.items():
                column[edges].view(count, wiring.num_edges).copy_(one[name])
            for name, column in of_nodes.items():
                stack.grid(column).copy_(one[name])
            start = edges.stop
        data = Data(num_nodes=self.num_nodes, edge_index=index.to(self.device), edge_attr=attr)
        data.update({name: column.to(self.device) for name, column in (of_edges | of_nodes).items()})
        data.update({"batch": self.batch, "ptr": self.ptr})
        if self.x is not None:
            data.x = self.x
        return data

    def state_dicts(self) -> list[dict[str, Tensor]]:
        """The parameters of each member, in the given order, with what edges and nodes now carry.

        They have the shapes and dtypes of the given ones, and are views of the stacked ones; those that are not drawn
        are the given tensors. A parameter that is drawn several times is what the last drawing says. Gradients flow to
        the values.

        Raises:
            WiringError: if edges or nodes carry something else than parameters.
        """
        read: dict[int, dict[str, Tensor]] = {}
        slots = max(stack.wiring.slots for stack in self.stacks)
        for (stack, pieces), drawn in zip(self.pieces(), self._drawn, strict=True):
            stacked = {name: torch.stack(tensors).detach().to(self.device) for name, tensors in drawn.items()}
            for own in stack.wiring.nodes.values():
                if isinstance(own.values, View):
                    assert self.x is not None
                    if self.x.shape[1] != 1:
                        raise WiringError(f"expected nodes that carry 1 value, got {self.x.shape[1]}")
                    nodes = stack.grid(self.x)[:, own.start : own.start + own.size]
                    own.values.write(nodes, stacked[own.values.parameter])
            for block, values in pieces:
                if not block.slots <= values.shape[-1] <= slots:
                    raise WiringError(f"expected edges that carry {slots} values, got {values.shape[-1]}")
                if isinstance(block.values, View):
                    entries = values[..., : block.slots] if block.places is None else values[..., block.places]
                    block.values.write(entries, stacked[block.values.parameter])
            for row, member in enumerate(stack.members):
                own_tensors = {name: stacked[name][row].to(tensors[row].dtype) for name, tensors in drawn.items()}
                read[member] = {**self._members[member][1], **own_tensors}
        return [read[member] for member in range(len(self))]

    def pieces(self) -> Iterator[tuple[Stack, list[tuple[Block, Tensor]]]]:
        """For each stack, every block of its wiring with its values ``[members, *block.shape, slots]``; views."""
        parts = iter(self.parts)
        remainder = [part.values for part in self.parts if part.block is None]
        rest = remainder[0] if remainder else torch.empty(0, self.slots, device=self.device)
        start = 0
        for stack in self.stacks:
            count, rows = len(stack.members), stack.merged.num_edges
            flat = rest[start : start + count * rows].view(count, rows, rest.shape[1])
            start += count * rows
            merged = stack.merged.edge_parts(flat)
            pieces = []
            for block in stack.wiring.blocks:
                own = next(parts).values if block.num_edges >= stack.least else next(merged)[1]
                pieces.append((block, own.view(count, *block.shape, own.shape[-1])))
            yield stack, pieces

    def with_pieces(self, values: Iterable[Sequence[Tensor]], x: Tensor | None = None) -> WeightGraphBatch:
        """The batch with other values, as :meth:`pieces` gives them.

        Args:
            values: For each stack, for every block of its wiring, ``[members, *block.shape, width]``.
            x: As for :meth:`with_values`.

        Raises:
            WiringError: if these are not values of the batch's edges and nodes.
        """
        large, rest = [], []
        for stack, own in zip(self.stacks, values, strict=True):
            merged = []
            for block, value in zip(stack.wiring.blocks, own, strict=True):
                (large if block.num_edges >= stack.least else merged).append(value)
            if merged:
                flat = [value.reshape(len(stack.members), -1, value.shape[-1]) for value in merged]
                rest.append(torch.cat(flat, dim=1).flatten(end_dim=1))
        return self.with_values([*large, *([torch.cat(rest)] if rest else [])], x)

    def __repr__(self) -> str:
        wirings = f"{len(self.stacks)} wiring" + "s" * (len(self.stacks) > 1)
        head = (
            f"WeightGraphBatch: {len(self)} networks of {wirings}, {self.num_nodes:,} nodes, {self.num_edges:,} edges, "
            f"{str(self.dtype).removeprefix('torch.')} on {self.device}"
        )
        lines = []
        for part in self.parts:
            block = part.block
            name = f"{block.source} -> {block.target}" if block else "remainder"
            values = block.values if block else None
            what = values.parameter if isinstance(values, View) else "" if values is None else f"constant {values:g}"
            slots = part.values.shape[-1]
            lines.append(Line(name, (str(list(part.values.shape[:-1])), f"{slots} slot" + "s" * (slots > 1), what), 1))
        return "\n".join([head, *table(lines)])
