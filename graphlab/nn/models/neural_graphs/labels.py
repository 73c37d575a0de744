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
        inputs, *hidden, outputs = wiring.nodes.values()
        for what, found, expected in (
            ("inputs", inputs.size, num_inputs),
            ("outputs", outputs.size, num_outputs),
        ):
            if found != expected:
                raise ValueError(f"the network has {found} {what}, the encoder was made for {expected}")
        if len(hidden) > max_hidden:
            raise ValueError(
                f"the network has {len(hidden)} hidden layers, the encoder was made for at most {max_hidden}"
            )
        rows = [torch.arange(num_inputs)]
        rows += [torch.full((own.size,), num_inputs + number) for number, own in enumerate(hidden)]
        rows.append(num_inputs + max_hidden + torch.arange(num_outputs))
        return cls(
            torch.cat(rows),
            wiring.node_column([-1, *_numbers(activations, len(hidden), known), -1]),
            map_positions(wiring),
            linear_edges(wiring),
        )

    @classmethod
    def cat(cls, graphs: Sequence[Self]) -> Self:
        """Labels of several graphs, one after the other."""
        return cls(*(torch.cat([getattr(own, name) for own in graphs]) for name in cls.__annotations__))

    def to(self, device: torch.device) -> Labels:
        return Labels(*(own.to(device) for own in vars(self).values()))


def _numbers(activations: Sequence[str] | None, hidden: int, known: Sequence[str]) -> list[int]:
    if activations is None:
        return [-1] * hidden
    if len(activations) != hidden:
        raise ValueError(f"expected the activations of {hidden} hidden layers, got {list(activations)}")
    unknown = [name for name in activations if name not in known]
    if unknown:
        raise ValueError(f"unknown activations {unknown}: the encoder knows {', '.join(known)}")
    return [list(known).index(name) for name in activations]
