"""Edges of many graphs as models compute on them: dense blocks where every source leads to every target, else a list.

Both say the same of themselves: what nodes receive, and what edges become. Which nodes an edge joins is kept apart from
what it carries, its state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from graphlab.ops import Received, block_edge_update, block_messages, merge
from graphlab.ops.block import Activation, Message
from graphlab.ops.block_received import Aggregator
from graphlab.ops.edge_statistics import edge_messages, edge_update

After: TypeAlias = Callable[[Tensor], Tensor]
"""What is applied to each message before messages are aggregated: ``[..., channels]`` to the same."""


@dataclass(frozen=True)
class DenseEdges:
    """Every node of a range to every node of another, in each of several graphs whose nodes are a grid.

    Attributes:
        start, graphs, size: Number of the first node of the grid, and its rows and columns.
        first, second: The ranges, columns of the grid; states are ``[graphs, first, second, channels]``.
        turned: Whether edges lead from the second range to the first.
    """

    start: int
    graphs: int
    size: int
    first: slice
    second: slice
    turned: bool = False

    @property
    def receivers(self) -> slice:
        return self.first if self.turned else self.second

    @property
    def senders(self) -> slice:
        return self.second if self.turned else self.first

    def reversed(self) -> DenseEdges:
        return replace(self, turned=not self.turned)

    def numbers(self) -> tuple[Tensor, Tensor]:
        """int64 ``[graphs, first, second]`` each: sending and receiving node of each edge."""
        grid = self.start + torch.arange(self.graphs * self.size).view(self.graphs, self.size)
        first, second = torch.broadcast_tensors(grid[:, self.first, None], grid[:, None, self.second])
        return (second, first) if self.turned else (first, second)

    def messages(
        self,
        states: Tensor,
        weight: Tensor,
        bias: Tensor,
        sent: Tensor,
        own: Tensor,
        message: Message,
        aggregators: Sequence[Aggregator],
        after: After | None = None,
    ) -> Received:
        """What the receivers get, ``[graphs, receivers, channels]``; see :func:`~graphlab.ops.block_messages`.

        Args:
            states: ``[graphs, first, second, edge_channels]``.
            weight, bias: Of the part of the message that the edge gives.
            sent, own: What a node says as a sender, and of itself as a receiver: ``[num_nodes, channels]``.
            message: How these make a message.
            aggregators: What will be asked for.
            after: Applied to each message.
        """
        source, target = self._ends(sent, own)
        over = "target" if self.turned else "source"
        if after is not None:
            z = functional.linear(states, weight, bias)
            states = after(message_of(message, z, source.unsqueeze(2) + target.unsqueeze(1)))
            weight, message = torch.eye(states.shape[-1], dtype=states.dtype, device=states.device), "linear"
            return block_messages(states, weight, message=message, aggregators=aggregators, over=over)
        return block_messages(
            states, weight, bias, source=source, target=target, message=message, aggregators=aggregators, over=over
        )

    def update(
        self,
        states: Tensor,
        weight: Tensor,
        bias: Tensor,
        sent: Tensor,
        own: Tensor,
        activation: Activation,
        out_weight: Tensor,
        out_bias: Tensor,
    ) -> Tensor:
        """New states; see :func:`~graphlab.ops.block_edge_update`."""
        source, target = self._ends(sent, own)
        return block_edge_update(
            states,
            weight,
            bias,
            source=source,
            target=target,
            activation=activation,
            out_weight=out_weight,
            out_bias=out_bias,
        )

    def carried(self, weights: Tensor, x: Tensor, here: Tensor) -> Tensor:
        """``[num_nodes, channels]``: the sum over edges of their weight times ``x`` at the sender.

        Args:
            weights: ``[graphs, first, second]``.
            x: ``[num_nodes, channels]``.
            here: bool, of no axis: whether to.
        """
        total = torch.zeros_like(x)
        if not bool(here):
            return total
        sum = (weights if self.turned else weights.transpose(1, 2)) @ self._rows(x)[:, self.senders]
        self._rows(total)[:, self.receivers] = sum
        return total

    def _ends(self, sent: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """The terms of the first range and of the second."""
        first, second = (own, sent) if self.turned else (sent, own)
        return self._rows(first)[:, self.first], self._rows(second)[:, self.second]

    def _rows(self, x: Tensor) -> Tensor:
        return x.narrow(0, self.start, self.graphs * self.size).view(self.graphs, self.size, -1)


@dataclass(frozen=True, eq=False)
class FlatEdges:
    """Edges one by one; states are ``[edges, channels]``.

    Attributes:
        sender, receiver: int32 ``[edges]``.
        num_nodes: Of all graphs.
    """

    sender: Tensor
    receiver: Tensor
    num_nodes: int

    def reversed(self) -> FlatEdges:
        return FlatEdges(self.receiver, self.sender, self.num_nodes)

    def numbers(self) -> tuple[Tensor, Tensor]:
        return self.sender.long(), self.receiver.long()

    def messages(
        self,
        states: Tensor,
        weight: Tensor,
        bias: Tensor,
        sent: Tensor,
        own: Tensor,
        message: Message,
        aggregators: Sequence[Aggregator],
        after: After | None = None,
    ) -> Received:
        """What all nodes receive, ``[num_nodes, channels]``; as :meth:`DenseEdges.messages`."""
        if after is not None:
            sender, receiver = self.numbers()
            states = after(message_of(message, functional.linear(states, weight, bias), sent[sender] + own[receiver]))
            weight, bias = torch.eye(states.shape[-1], dtype=states.dtype, device=states.device), bias.new_zeros(1)
            bias, message, sent = bias.expand(len(weight)), "linear", torch.zeros_like(sent)
            own = sent
        ends = {"sender": self.sender, "receiver": self.receiver, "sent": sent, "own": own}
        return edge_messages(states, weight, bias, **ends, message=message, aggregators=aggregators)

    def update(
        self,
        states: Tensor,
        weight: Tensor,
        bias: Tensor,
        sent: Tensor,
        own: Tensor,
        activation: Activation,
        out_weight: Tensor,
        out_bias: Tensor,
    ) -> Tensor:
        """New states; as :meth:`DenseEdges.update`."""
        ends = {"sender": self.sender, "receiver": self.receiver, "sent": sent, "own": own}
        return edge_update(
            states, weight, bias, **ends, activation=activation, out_weight=out_weight, out_bias=out_bias
        )

    def carried(self, weights: Tensor, x: Tensor, here: Tensor) -> Tensor:
        """As :meth:`DenseEdges.carried`, over the edges for which ``here`` ``[edges]`` is true."""
        place = here.nonzero().squeeze(1)
        sender, receiver = self.sender[place].long(), self.receiver[place].long()
        return torch.zeros_like(x).index_add(0, receiver, weights[place].unsqueeze(1) * x[sender])


Edges: TypeAlias = DenseEdges | FlatEdges


def joined(edges: Sequence[Edges], states: Sequence[Tensor]) -> tuple[list[Edges], list[Tensor]]:
    """With all lists of edges as one, which comes first; in it edges keep their order."""
    flat = [(own, state) for own, state in zip(edges, states, strict=True) if isinstance(own, FlatEdges)]
    if len(flat) < 2:
        return list(edges), list(states)
    sender, receiver = (torch.cat(ends) for ends in zip(*((own.sender, own.receiver) for own, _ in flat), strict=True))
    dense = [(own, state) for own, state in zip(edges, states, strict=True) if not isinstance(own, FlatEdges)]
    one = FlatEdges(sender, receiver, flat[0][0].num_nodes)
    return [one, *(own for own, _ in dense)], [torch.cat([state for _, state in flat]), *(state for _, state in dense)]


def forward_states(given: Sequence[Edges], edges: Sequence[Edges], states: Sequence[Tensor]) -> list[Tensor]:
    """States of the edges themselves, part by part as given, from those of :func:`joined` edges in both directions."""
    found = []
    for own in given:
        if isinstance(own, FlatEdges):
            found.append(states[0].narrow(0, 0, len(own.sender)))
        else:
            found.append(next(state for each, state in zip(edges, states, strict=True) if each is own))
    return found


def message_of(message: Message, z: Tensor, s: Tensor) -> Tensor:
    """``[..., channels]``: the message that the edge, ``z``, and the sum of both ends' terms, ``s``, make."""
    if message == "film":
        scale, shift = z.chunk(2, dim=-1)
        return torch.addcmul(shift, scale, s)
    return z.sigmoid() * s if message == "gate" else activated(message, z + s)


def activated(activation: Activation, x: Tensor) -> Tensor:
    if activation == "linear":
        return x
    return functional.relu(x) if activation == "relu" else functional.silu(x)


def collected(
    edges: Sequence[Edges], parts: Sequence[Received], num_nodes: int, aggregators: Sequence[Aggregator]
) -> tuple[Tensor, Tensor]:
    """``[num_nodes, 1]`` and ``[num_nodes, len(aggregators) * channels]``: in-degrees, and aggregates of all edges.

    Args:
        edges: Some edges each.
        parts: What their receivers got.
        num_nodes: Of all graphs.
        aggregators: Which, one beside the other.
    """
    flat = [part for own, part in zip(edges, parts, strict=True) if isinstance(own, FlatEdges)]
    dense = [(own, part) for own, part in zip(edges, parts, strict=True) if isinstance(own, DenseEdges)]
    if not dense:
        together = merge(flat)
        return together.degree, together.reduce(aggregators)
    degrees, aggregates = [], []
    like = parts[0].total
    grids = sorted({(own.start, own.graphs, own.size) for own, _ in dense})
    start = 0
    for grid in [*grids, (num_nodes, 1, 0)]:
        if start < grid[0]:
            gap = [_rows(part, (start, 1, grid[0] - start), slice(None)) for part in flat]
            degree, aggregate = _reduced(gap, (1, grid[0] - start), like, aggregators)
            degrees.append(degree), aggregates.append(aggregate)
        here = [(own, part) for own, part in dense if (own.start, own.graphs, own.size) == grid]
        ends = {0, grid[2], *(end for own, _ in here for end in (own.receivers.start, own.receivers.stop))}
        bounds = sorted(ends)
        found = []
        for low, high in zip(bounds, bounds[1:], strict=False):
            inside = [
                _columns(part, slice(low - own.receivers.start, high - own.receivers.start))
                for own, part in here
                if own.receivers.start <= low and high <= own.receivers.stop
            ]
            inside += [_rows(part, grid, slice(low, high)) for part in flat]
            found.append(_reduced(inside, (grid[1], high - low), like, aggregators))
        if found:
            degrees.append(torch.cat([degree for degree, _ in found], dim=1))
            aggregates.append(torch.cat([aggregate for _, aggregate in found], dim=1))
        start = grid[0] + grid[1] * grid[2]
    return torch.cat([own.flatten(0, 1) for own in degrees]), torch.cat([own.flatten(0, 1) for own in aggregates])


def _reduced(
    parts: list[Received], shape: tuple[int, int], like: Tensor, aggregators: Sequence[Aggregator]
) -> tuple[Tensor, Tensor]:
    """``[graphs, nodes, 1]`` and ``[graphs, nodes, channels]`` of all that some nodes got; zeros for nothing."""
    if not parts:
        width = len(aggregators) * like.shape[-1]
        return like.new_zeros(*shape, 1), like.new_zeros(*shape, width)
    together = merge(parts)
    return together.degree.expand(*shape, 1), together.reduce(aggregators)


def _columns(part: Received, columns: slice) -> Received:
    """Of some of the receivers of a block."""
    if columns == slice(0, part.total.shape[-2]):
        return part
    return Received(part.degree[columns], *(own if own is None else own[..., columns, :] for own in part[1:]))


def _rows(part: Received, grid: tuple[int, int, int], columns: slice) -> Received:
    """Of some columns of a grid of nodes, given what all nodes got."""
    start, graphs, size = grid
    rows = (
        own if own is None else own.narrow(0, start, graphs * size).view(graphs, size, -1)[:, columns] for own in part
    )
    return Received(*rows)
