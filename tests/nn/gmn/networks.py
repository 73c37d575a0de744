"""Small networks of several kinds, their explicit graphs, and batches of them whose edges are divided in any way."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from graphlab.nn.models.gmn import explicit
from graphlab.nn.models.gmn.networks import (
    READERS,
    EquivariantSetLinear,
    ResidualConvBlock,
    ResidualFFN,
    ResidualSelfAttention,
)
from graphlab.weightgraph.layouts.parameter_graph import TriplanarGrid, parameter_graph
from graphlab.weightgraph.wiring import Block, Drawing, View, Wiring

Member = tuple[Wiring, dict[str, Tensor]]
SHAPES = {"dense": (4, 6), "kernel": (4, 6, 3), "cut": (6,), "other": (2, 3), "scalar": ()}


def every_kind() -> Wiring:
    """Blocks of all kinds: dense, parallel, diagonal, one to all, constant, swapped axes, empty, a single edge."""
    drawing = Drawing()
    drawing.nodes("a", 6, type=1, ordered=True)
    drawing.nodes("b", 4, layer=1)
    drawing.nodes("c", 1, layer=2)
    drawing.nodes("none", 0)
    for block in (
        Block("a", "b", (6, 4), (0,), (1,), View("dense", (1, 0)), type=3),
        Block("b", "a", (4, 6, 3), (0,), (1,), View("kernel", (0, 1, 2)), type=1),
        Block("b", "b", (4,), (0,), (0,), View("cut", (0,), narrow=((0, 2, 4),))),
        Block("c", "a", (6,), (), (0,), View("cut", (0,))),
        Block("a", "b", (2, 3), (0,), (0,), 0.5, type=2, source_offset=3, target_offset=1),
        Block("a", "a", (2, 3), (1, 0), (0, 1), View("other", (0, 1)), layer=4),
        Block("a", "none", (6, 0), (0,), (1,), 1.0),
        Block("c", "c", (), (), (), View("scalar", ())),
    ):
        drawing.edges(block)
    return drawing.wiring()


def modules(kind: str) -> nn.Sequential:
    match kind:
        case "mlp":
            return nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 3))
        case "cnn":
            convs = (nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), ResidualConvBlock(4, 3))
            return nn.Sequential(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
        case "transformer":
            return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), ResidualSelfAttention(4, 2), ResidualFFN(4, 6))
    return nn.Sequential(nn.Conv1d(3, 4, 1), EquivariantSetLinear(4, 5))


KINDS = ("mlp", "cnn", "transformer", "set", "plane", "every kind")


def member(kind: str, seed: int, dtype: torch.dtype = torch.float32) -> Member:
    """A network of one of a few architectures."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "every kind":
        wiring, shapes = every_kind(), SHAPES
    elif kind == "plane":
        wiring, shapes = parameter_graph([TriplanarGrid("0", (1, 6, 3, 3))]), {"0.tgrid": (1, 6, 3, 3)}
    else:
        net = modules(kind)
        wiring = parameter_graph(net, readers=READERS)
        shapes = {name: tuple(own.shape) for name, own in net.named_parameters()}
    return wiring, {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def listed(members: list[Member]) -> Batch:
    """The networks as explicit graphs."""
    return Batch.from_data_list([explicit(*own) for own in members])
