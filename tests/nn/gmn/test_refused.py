"""What graph metanetworks refuse, and what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from graphlab.nn.models.gmn import GMN, GRIT, MPNN, FeatureEncoder, GMNEditor, ResidualMPNN, explicit, read
from graphlab.weightgraph import WeightGraph, WeightGraphBatch
from graphlab.weightgraph.layouts.neural_graph import neural_graph
from graphlab.weightgraph.layouts.parameter_graph import parameter_graph
from graphlab.weightgraph.wiring import WiringError
from tests.nn.gmn.networks import listed, member
from tests.weightgraph.batches import batched


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("large", [1, 10**9])
def test_numbers_that_are_none_are_named(value: float, large: int) -> None:
    members = [member(kind, seed) for seed, kind in enumerate(["mlp", "cnn", "mlp"])]
    members[2][1]["2.weight"][1, 3] = value
    for graph in (batched(members, large), listed(members)):
        with pytest.raises(ValueError, match="network 2: a parameter of layer 1 is NaN or infinite"):
            GMN(4, 1, 1)(graph)


def test_a_batch_of_several_layouts() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    graph = WeightGraph.from_module(net, (torch.randn(2, 3),))
    with pytest.raises(WiringError, match=r"one layout, got parameter_graph \(member 1\), exact \(member 2\)"):
        WeightGraphBatch([(graph.wiring(name), graph.tensors) for name in ("parameter_graph",) * 2 + ("exact",)])
    batch = WeightGraphBatch([(neural_graph(net), dict(net.named_parameters()))])
    with pytest.raises(ValueError, match="nodes carry values in one of the drawings"):
        GMN(4, 1, 1)(batch)


def changed(**columns: Any) -> Callable[[], Any]:
    def build() -> Any:
        data = explicit(*member("mlp", 0))
        data.update(columns)
        return data

    return build


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda: [1], "expected a torch_geometric Data or a WeightGraphBatch, got list"),
        (changed(x=None), "expected a graph with x, edge_index and edge_attr"),
        (changed(x=torch.zeros(11, 2)), r"x: expected \[N, 3\] \(layer, order, type\), got \[11, 2\]"),
        (changed(edge_attr=torch.zeros(33, 1)), r"edge_attr: expected floating \[E, 6\]"),
        (changed(edge_attr=torch.zeros(33, 6, dtype=torch.int64)), r"got torch.int64 \[33, 6\]"),
        (changed(edge_index=torch.zeros(2, 5, dtype=torch.int64)), r"edge_index: expected \[2, 33\], as many edges"),
        (changed(edge_index=torch.full((2, 33), 99)), "edge_index: expected nodes 0 to 11, got 99 to 99"),
        (
            lambda: explicit(*member("mlp", 0, torch.float64)),
            "networks are torch.float64 on cpu, the model is torch.fl",
        ),
        (
            lambda: explicit(*member("mlp", 0, torch.float16)),
            "networks are torch.float16 on cpu, the model is torch.fl",
        ),
    ],
)
def test_graphs_that_do_not_fit(graph: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GMN(4, 1, 1)(graph())


def test_drawings_that_do_not_fit() -> None:
    conv = nn.Sequential(nn.Conv2d(2, 3, 3))
    graph = WeightGraph.from_module(conv, (torch.randn(1, 2, 5, 5),))
    batch = WeightGraphBatch([(graph.wiring("exact"), graph.tensors)])
    with pytest.raises(ValueError, match="expected edges that carry 1 values, got 9: slots=9 takes them"):
        GMN(4, 1, 1)(batch)
    grown = parameter_graph([nn.Linear(2, 3)], distinct_types=True)
    data = explicit(grown, dict(nn.Sequential(nn.Linear(2, 3)).named_parameters()))
    data.edge_attr[0, 2] = 20
    with pytest.raises(ValueError, match="expected edge types 0 to 13, got 0 to 20: the drawing is of another layout"):
        GMN(4, 1, 1)(data)
    assert GMN(4, 1, 1, num_edge_types=21)(data).shape == (1, 1)
    data.x[0, 2] = 17
    with pytest.raises(ValueError, match="expected node types 0 to 16, got 0 to 17"):
        GMN(4, 1, 1)(data)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GMN(0, 1, 1), "expected hidden_dim, num_gnn_layers, out_dim of at least 1, got 0, 1, 1"),
        (lambda: GMN(4, 1, 1, gnn_type="gcn"), "gnn_type: expected one of empnn_dit, empnn, grit, identity, got 'gcn'"),
        (lambda: GMN(4, 1, 1, pool_type="max"), "pool_type: expected one of ds, node_edge_ds, mean, got 'max'"),
        (lambda: GMN(4, 1, 1, aggregation="std"), "aggregation: expected one of mean, sum, max, got 'std'"),
        (lambda: GMN(4, 1, 1, activation="gelu"), "activation: expected one of silu, relu, got 'gelu'"),
        (lambda: GMN(4, 1, 1, dropout=1.0), "dropout: expected 0 <= dropout < 1, got 1.0"),
        (lambda: GMN(5, 1, 1, pre_encoder_ff=True), "hidden: Fourier features come in pairs of sine and cosine, got 5"),
        (lambda: GMN(4, 1, 1, gnn_type="grit", num_heads=5), "4 channels cannot be divided among 5 heads"),
        (lambda: GMN(4, 1, 1, gnn_type="grit", pre_encoder=False), "grit has as many channels everywhere"),
        (lambda: GMNEditor(4, 1, gnn_type="grit"), "gnn_type: expected one of empnn_dit, empnn, got 'grit'"),
        (lambda: MPNN(3, 6, 8, 3, 2, 2), "expected node_out and edge_out to agree, got 3 and 2"),
        (lambda: ResidualMPNN(3, 6, 8, 2, 0), "num_layers of at least 1"),
        (lambda: GRIT(8, 0, 2), "num_layers"),
        (lambda: FeatureEncoder(4, slots=0), "slots"),
    ],
)
def test_models_that_cannot_be(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_networks_that_a_layout_cannot_hold() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.scale

    net = nn.Sequential(nn.Linear(3, 3), Own())
    graph = WeightGraph.from_module(net, (torch.randn(2, 3),))
    with pytest.raises(WiringError, match=r"1 \(Own\) has parameters"):
        GMNEditor(4, 1).edit([graph])
    grouped = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2))
    with pytest.raises(WiringError, match="convolutions of 2 groups cannot be drawn"):
        parameter_graph(grouped)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_dtypes_are_kept(dtype: torch.dtype) -> None:
    assert explicit(*member("mlp", 0, dtype)).edge_attr.dtype == dtype
    assert read(WeightGraphBatch([member("mlp", 0, dtype)])).edges[0].values.dtype == dtype
