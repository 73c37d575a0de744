"""Putting :mod:`graphlab.ops` under a model of PyTorch Geometric's layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from torch.nn import Module
from torch_geometric import nn

from graphlab.nn import conv

LAYERS: dict[type[Module], type[Module]] = {
    nn.APPNP: conv.APPNP,
    nn.GATConv: conv.GATConv,
    nn.GATv2Conv: conv.GATv2Conv,
    nn.GCNConv: conv.GCNConv,
    nn.GINConv: conv.GINConv,
    nn.PNAConv: conv.PNAConv,
    nn.SAGEConv: conv.SAGEConv,
}
"""PyTorch Geometric's layers and ours."""

Model = TypeVar("Model", bound=Module)


@dataclass(frozen=True)
class Layer:
    """A layer of a model.

    Attributes:
        name: Its path in the model; empty for the model itself.
        kind: Its class.
        left: Why it is PyTorch Geometric's own, or ``None`` if it runs on :mod:`graphlab.ops`.
    """

    name: str
    kind: str
    left: str | None


@dataclass(frozen=True)
class Accelerated:
    """What became of each message-passing layer of a model; prints as a table."""

    layers: tuple[Layer, ...]

    @property
    def swapped(self) -> tuple[str, ...]:
        """Names of the layers that run on :mod:`graphlab.ops`."""
        return tuple(layer.name for layer in self.layers if layer.left is None)

    @property
    def left(self) -> dict[str, str]:
        """Names of the other layers, and why they were left alone."""
        return {layer.name: layer.left for layer in self.layers if layer.left is not None}

    def __str__(self) -> str:
        rows = [(layer.name or "(model)", layer.kind) for layer in self.layers]
        width, second = (max((len(row[place]) for row in rows), default=0) for place in (0, 1))
        lines = [f"{len(self.swapped)} of {len(rows)} message-passing layers swapped"]
        for (name, kind), layer in zip(rows, self.layers, strict=True):
            state = "swapped" if layer.left is None else f"left: {layer.left}"
            lines.append(f"  {name:{width}}  {kind:{second}}  {state}")
        return "\n".join(lines)


def accelerate(model: Model) -> tuple[Model, Accelerated]:
    """Run a model's message passing on :mod:`graphlab.ops`.

    ``APPNP``, ``GATConv``, ``GATv2Conv``, ``GCNConv``, ``GINConv``, ``PNAConv`` and ``SAGEConv`` of PyTorch Geometric
    become the subclasses of :mod:`graphlab.nn.conv` in place: parameters are the same objects under the same names,
    so that optimisers and checkpoints made before go on working, and so do hooks and references to the layers. Results
    are the same to rounding, but for two things: dropout of attention draws other random numbers of the same
    distribution, and of several neighbours that attain an extremum one gets the gradient.

    Edges are sorted once for each ``edge_index`` that is given again, by identity: give the same tensor each time.

    Args:
        model: Changed in place; may be a layer itself.

    Returns:
        The model, and what was swapped and what was left and why. A layer that was swapped before counts as swapped.
    """
    found = []
    for name, module in model.named_modules():
        if not isinstance(module, nn.MessagePassing):
            continue
        ours = LAYERS.get(type(module), type(module))
        left = ours.obstacle(module) if ours in LAYERS.values() else _unknown(module)
        if left is None:
            module.__class__ = ours
        found.append(Layer(name, type(module).__name__, left))
    return model, Accelerated(tuple(found))


def _unknown(module: Module) -> str:
    parents = [kind.__name__ for kind in LAYERS if isinstance(module, kind)]
    return f"a subclass of {parents[0]}, which may do something else" if parents else "no counterpart"
