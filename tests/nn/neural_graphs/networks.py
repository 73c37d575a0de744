"""Networks for the tests of models on neural graphs, as explicit graphs and as batches in blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch

from graphlab.nn.models.neural_graphs import NGGNN, NGT, graph_data
from graphlab.nn.models.neural_graphs import graphs as graphs_module
from graphlab.nn.models.wild_park import WildParkCNN
from graphlab.weightgraph import WeightGraphBatch
from graphlab.weightgraph import parts as parts_module
from graphlab.weightgraph.layouts.neural_graph import degree_histogram, mlp_layers, neural_graph
from graphlab.weightgraph.wiring import Wiring

Member = tuple[Wiring, Mapping[str, Tensor]]

SMALL: dict[str, Any] = {
    "d_node": 8,
    "d_edge": 6,
    "d_attn_hid": 8,
    "d_node_hid": 12,
    "d_edge_hid": 10,
    "d_out_hid": 8,
    "n_layers": 3,
    "n_heads": 2,
}
"""Sizes of a small NG-T."""


def perceptron(sizes: Sequence[int], seed: int, dtype: torch.dtype = torch.float64) -> Member:
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for number, (read, made) in enumerate(pairwise(sizes)):
        tensors[f"{number}.weight"] = torch.randn(made, read, generator=generator, dtype=dtype)
        tensors[f"{number}.bias"] = torch.randn(made, generator=generator, dtype=dtype)
    return neural_graph(mlp_layers(sizes)), tensors


def convolutional(
    channels: Sequence[int], residual: Sequence[int] | None, seed: int, linear_as_conv: bool = True
) -> Member:
    """With kernels of 3 and 1 by turns in edges of 3 x 3 slots."""
    depth = len(channels) - 1
    net = WildParkCNN(channels, [3 if number % 2 == 0 else 1 for number in range(depth)], 4, residual).double()
    generator = torch.Generator().manual_seed(seed)
    tensors = {n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in net.state_dict().items()}
    wiring = neural_graph(
        net.declare(), max_kernel=(3, 3), linear_as_conv=linear_as_conv, residuals=net.residual
    )
    return wiring, tensors


def in_blocks(members: Sequence[Member], large: int = 1) -> WeightGraphBatch:
    """With every block of at least so many edges a part of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "LARGE", large)
        return WeightGraphBatch(members)


def explicit(members: Sequence[Member]) -> Batch:
    return Batch.from_data_list([graph_data(*member) for member in members])


def degrees(members: Sequence[Member]) -> list[int]:
    return degree_histogram(wiring for wiring, _ in members).tolist()


def small_gnn(members: Sequence[Member], sizes: tuple[int, int, int], seed: int = 0, **options: Any) -> NGGNN:
    torch.manual_seed(seed)
    settings = {"channels": 8, "num_layers": 3} | options
    return NGGNN(*sizes, 3, degrees(members), **settings).double().eval()


def small_transformer(sizes: tuple[int, int, int], seed: int = 0, **options: Any) -> NGT:
    torch.manual_seed(seed)
    return NGT(*sizes, 3, **SMALL | options).double().eval()


@contextlib.contextmanager
def blocks_kept() -> Iterator[None]:
    """Within, blocks are computed as such on a CPU, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs_module, "IN_BLOCKS", {"cpu", "cuda"})
        yield
