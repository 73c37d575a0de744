"""What an encoder is told of each node and edge besides its value (specification of neural_graphs, 2.3 and 2.9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from graphlab.nn.models.wild_park import ACTIVATIONS as FUNCTIONS
from graphlab.weightgraph.layouts.neural_graph import linear_edges, map_positions
from graphlab.weightgraph.wiring import Wiring

ACTIVATIONS = tuple(FUNCTIONS)
"""The activations that the published models know, in the order of their embeddings."""


@dataclass(frozen=True)
class Labels:
    """Labels of a graph, or of several one after the other.

    Attributes:
        position: int64 ``[N]``, row of the positional embedding.
        activation: int64 ``[N]``, row of the activations' embedding, -1 for none.
        place: int64 ``[N]``, position in the map that is flattened, -1 elsewhere.
        linear: bool ``[E]``, edges that carry a linear weight in their first slot.
    """

    position: Tensor
    activation: Tensor
    place: Tensor
    linear: Tensor

    @classmethod
    def of(
        cls,
        wiring: Wiring,
        num_inputs: int,
        max_hidden: int,
        num_outputs: int,
        activations: Sequence[str] | None = None,
        known: Sequence[str] = ACTIVATIONS,
    ) -> Self:
        """Labels of a drawing, on the processor.

        Args:
            wiring: Drawn by ``neural_graph``.
            num_inputs, max_hidden, num_outputs: The positional embedding has a row for each input, each hidden layer,
                and each output.
            activations: Of each hidden layer; default none.
            known: The activations that have an embedding.

        Raises:
            ValueError: if the network has other inputs or outputs or more hidden layers than that, or an activation is
                unknown or missing.
        """
        ranges = list(wiring.nodes.values())
        order = [torch.arange(own.size) if own.ordered else torch.full((own.size,), -1) for own in ranges]
        position, activation = label_nodes(
            wiring.node_column([own.layer for own in ranges]),
            torch.cat(order),
            torch.zeros(wiring.num_nodes, dtype=torch.int64),
            (num_inputs, max_hidden, num_outputs),
            None if activations is None else [activations],
            known,
        )
        return cls(position, activation, map_positions(wiring), linear_edges(wiring))

    @classmethod
    def cat(cls, graphs: Sequence[Self]) -> Self:
        """Labels of several graphs, one after the other."""
        return cls(*(torch.cat([getattr(own, name) for own in graphs]) for name in cls.__annotations__))

    def to(self, device: torch.device) -> Labels:
        return Labels(*(own.to(device) for own in vars(self).values()))


def label_nodes(
    layer: Tensor,
    order: Tensor,
    graph: Tensor,
    sizes: tuple[int, int, int],
    activations: Sequence[Sequence[str] | None] | None = None,
    known: Sequence[str] = ACTIVATIONS,
    names: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """int64 ``[num_nodes]`` each: rows of the positional embedding and of that of activations, -1 for none.

    Args:
        layer, order: int64 ``[num_nodes]``: depth, and place among inputs or outputs.
        graph: int64 ``[num_nodes]``, not falling: the graph that a node is of.
        sizes: Inputs, most hidden layers and outputs, as in :meth:`Labels.of`.
        activations: For each graph, of each hidden layer; ``None``, or default, for none.
        known: The activations that have an embedding.
        names: What to call graphs in errors; default nothing, for a single one.

    Raises:
        ValueError: naming a graph of other inputs or outputs or more hidden layers than that, without layers, or of
            an activation that is unknown or missing.
    """
    num_inputs, max_hidden, num_outputs = sizes
    count = int(graph[-1]) + 1 if len(graph) else 0
    depth = layer.new_zeros(count).scatter_reduce(0, graph, layer, "amax")
    first, last = layer == 0, layer == depth[graph]

    def refuse(wrong: Tensor, found: Tensor, what: str, expected: str) -> None:
        if bool(wrong.any()):
            number = int(wrong.nonzero()[0])
            raise ValueError(f"{_name(names, number)} has {int(found[number])} {what}, the encoder was made for {expected}")

    if bool((depth == 0).any()):
        raise ValueError(
            f"{_name(names, int((depth == 0).nonzero()[0]))} is drawn without layers of nodes, but the encoder tells "
            "them apart: draw it with neural_graph, or make the encoder with pos_embed=False"
        )
    for what, here, expected in (("inputs", first, num_inputs), ("outputs", last, num_outputs)):
        found = graph.new_zeros(count).index_add(0, graph, here.long())
        refuse(found != expected, found, what, str(expected))
    refuse(depth - 1 > max_hidden, depth - 1, "hidden layers", f"at most {max_hidden}")
    position = torch.where(last, num_inputs + max_hidden + order, torch.where(first, order, num_inputs + layer - 1))
    if activations is None:
        return position, torch.full_like(layer, -1)
    table = layer.new_full((count, max_hidden + 2), -1)
    for number, (own, hidden) in enumerate(zip(activations, (depth - 1).tolist(), strict=True)):
        if own is None:
            continue
        if len(own) != hidden:
            raise ValueError(
                f"expected the activations of {hidden} hidden layers of {_name(names, number)}, got {list(own)}"
            )
        unknown = [name for name in own if name not in known]
        if unknown:
            raise ValueError(f"unknown activations {unknown}: the encoder knows {', '.join(known)}")
        table[number, 1 : hidden + 1] = layer.new_tensor([list(known).index(name) for name in own])
    return position, table[graph, layer]


def _name(names: Sequence[int] | None, number: int) -> str:
    return "the network" if names is None else f"network {names[number]}"
