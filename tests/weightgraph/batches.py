"""Small networks of several architectures, and batches of them whose edges are divided in any way."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from graphlab.weightgraph import WeightGraphBatch
from graphlab.weightgraph import parts as parts_module
from graphlab.weightgraph.layouts.layers import Conv, Linear, Norm
from graphlab.weightgraph.layouts.neural_graph import neural_graph
from graphlab.weightgraph.layouts.parameter_graph import parameter_graph
from graphlab.weightgraph.wiring import Block, Drawing, View, Wiring

Member = tuple[Wiring, Mapping[str, Tensor]]


def drawing_of(blocks: list[Block], **sizes: int) -> Wiring:
    drawing = Drawing()
    for name, size in sizes.items():
        drawing.nodes(name, size, type=size % 3, layer=size % 5, ordered=size % 2 == 0)
    for block in blocks:
        drawing.edges(block)
    return drawing.wiring()


def every_kind() -> Wiring:
    """Blocks of all kinds: dense, with slots, placed, parallel, diagonal, one to all, constant, swapped axes, empty."""
    drawing = Drawing()
    drawing.nodes("a", 6, type=1, ordered=True)
    drawing.nodes("b", 4, layer=1, values=View("nodes", (0,)))
    drawing.nodes("c", 1, layer=2, values=2.5)
    drawing.nodes("none", 0)
    for block in (
        Block("a", "b", (6, 4), (0,), (1,), View("dense", (1, 0)), type=3),
        Block("a", "b", (6, 4), (0,), (1,), View("kernel", (1, 0, 2)), slots=3, layer=1),
        Block("a", "b", (6, 4), (0,), (1,), View("dense", (1, 0)), slots=3, places=(1,)),
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


def filled(
    wiring: Wiring, shapes: Mapping[str, tuple[int, ...]], seed: int, dtype: torch.dtype = torch.float32
) -> Member:
    generator = torch.Generator().manual_seed(seed)
    return wiring, {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


KINDS = {
    "dense": (4, 6),
    "kernel": (4, 6, 3),
    "cut": (6,),
    "other": (2, 3),
    "scalar": (),
    "nodes": (4,),
    "undrawn": (2,),
}


def member(kind: str, seed: int) -> Member:
    """A network of one of a few architectures."""
    match kind:
        case "kinds":
            return filled(every_kind(), KINDS, seed)
        case "conv":
            layers = [Conv("0", 2, 5, (3, 3), True), Norm("1", "bn", 5, True, True), Linear("2", 5, 3, True)]
            shapes = {"0.weight": (5, 2, 3, 3), "0.bias": (5,), "1.weight": (5,), "1.bias": (5,)}
            return filled(parameter_graph(layers), shapes | {"2.weight": (3, 5), "2.bias": (3,)}, seed)
        case "neural":
            net = nn.Sequential(nn.Linear(3, 7), nn.ReLU(), nn.Linear(7, 2))
            return filled(neural_graph(net), {n: tuple(p.shape) for n, p in net.named_parameters()}, seed)
    widths = {"thin": 4, "wide": 9}[kind]
    layers = [Linear("0", 2, widths, True), Linear("1", widths, 3, False)]
    return filled(
        parameter_graph(layers), {"0.weight": (widths, 2), "0.bias": (widths,), "1.weight": (3, widths)}, seed
    )


MEMBERS = st.lists(st.sampled_from(["kinds", "conv", "neural", "thin", "wide"]), min_size=1, max_size=7)
DIVISION = st.sampled_from([1, 2, 9, 25, 60, 10**9])
"""From how many edges on a block is a part of its own."""


def batched(pairs: list[Member], large: int) -> WeightGraphBatch:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "LARGE", large)
        return WeightGraphBatch(pairs)
