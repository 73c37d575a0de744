"""Layers of PyTorch Geometric on our operators: the same parameters and checkpoints; what is left alone."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as geometric
from torch_geometric.nn import APPNP, GATConv, GATv2Conv, GCNConv, GINConv, PNAConv, SAGEConv
from torch_geometric.utils import to_torch_csr_tensor

import graphlab
from tests.nn.conv_cases import (
    ACROSS,
    ATTRIBUTES,
    CHANNELS,
    EDGES,
    NODES,
    PAIR,
    Build,
    degrees,
    features,
    gat,
    gcn,
    mlp,
    pna,
)


class Loud(GCNConv):
    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return 2 * super().message(x_j, edge_weight)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: GCNConv(4, 4, flow="target_to_source"), "flow='target_to_source'"),
        (lambda: SAGEConv(4, 4, "lstm"), "aggr='lstm'"),
        (lambda: SAGEConv(4, 4, ["mean", "max"]), r"aggr=\['mean', 'max'\]"),
        (lambda: SAGEConv(4, 4, geometric.MedianAggregation()), r"aggr='MedianAggregation\(\)'"),
        (lambda: SAGEConv(4, 4, decomposed_layers=2), "decomposed_layers=2"),
        (lambda: GATConv(4, 4, aggr="max"), "aggr='max'"),
        (lambda: GATConv(4, 4, edge_dim=2, fill_value="max"), "edge_dim=2 with fill_value='max'"),
        (lambda: GATv2Conv(4, 4, edge_dim=2), "edge_dim=2"),
        (lambda: PNAConv(4, 4, ["mean"], ["identity"], degrees(), edge_dim=2), "edge_dim=2"),
        (lambda: PNAConv(4, 4, ["mean"], ["identity"], degrees(), pre_layers=2), "pre_layers"),
        (lambda: PNAConv(4, 4, ["mean", "median"], ["identity"], degrees()), "aggregators: not MedianAggregation"),
        (lambda: PNAConv(4, 4, ["mean", "mean"], ["identity"], degrees()), "aggregators: twice MeanAggregation"),
        (lambda: Loud(4, 4), "a subclass of GCNConv"),
        (lambda: geometric.TransformerConv(4, 4), "no counterpart"),
    ],
)
def test_other_configurations_are_left_alone_and_named(build: Build, reason: str) -> None:
    conv = build()
    kind = type(conv)
    model, report = graphlab.accelerate(nn.Sequential(conv))
    assert type(model[0]) is kind
    assert report.swapped == ()
    assert list(report.left) == ["0"]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(report.left["0"])


@pytest.mark.filterwarnings("ignore:Sparse")  # torch announces that invariants are not checked, and a beta
def test_calls_that_need_messages_are_pytorch_geometrics(ran: list[str]) -> None:
    x = features(NODES, CHANNELS).detach()
    # no SAGEConv: after one with aggr="lstm", PyTorch Geometric's own cannot take a sparse tensor in the same process
    for build in (gcn(), lambda: GINConv(mlp()), gat(GATConv), gat(GATv2Conv), pna(), lambda: APPNP(2, 0.1)):
        plain = build().double()
        matrix = to_torch_csr_tensor(EDGES, torch.ones(EDGES.shape[1]).double(), (NODES, NODES)).t().to_sparse_csr()
        conv, _ = graphlab.accelerate(copy.deepcopy(plain))
        torch.testing.assert_close(conv(x, matrix), plain(x, matrix))
        seen: list[Any] = []
        conv.register_message_forward_hook(lambda *given, seen=seen: seen.append(given))
        torch.testing.assert_close(conv(x, EDGES), plain(x, EDGES))
        assert seen
    for kind in (GATConv, GATv2Conv):
        plain = gat(kind)().double()
        conv, _ = graphlab.accelerate(copy.deepcopy(plain))
        (y, (there, alpha)), (y_, (there_, alpha_)) = (
            layer(x, EDGES, return_attention_weights=True) for layer in (conv, plain)
        )
        for a, b in ((y, y_), (there, there_), (alpha, alpha_)):
            torch.testing.assert_close(a, b)
    plain = gcn(normalize=False)().double()
    conv, _ = graphlab.accelerate(copy.deepcopy(plain))
    column = ATTRIBUTES.detach()[:, :1]
    torch.testing.assert_close(conv(x, EDGES, column), plain(x, EDGES, column))
    sage = SAGEConv(CHANNELS, 5).double()
    batch = torch.stack([x, x])
    expected = sage(batch, EDGES)
    torch.testing.assert_close(graphlab.accelerate(sage)[0](batch, EDGES), expected)
    assert not ran


def test_a_layer_made_directly_leaves_the_same_alone(ran: list[str]) -> None:
    torch.manual_seed(0)
    theirs, ours = (
        [
            module.GCNConv(CHANNELS, 5, flow="target_to_source"),
            module.SAGEConv(CHANNELS, 5, "lstm"),
            module.GATv2Conv(CHANNELS, 5, edge_dim=3),
            module.GATConv(CHANNELS, 5, edge_dim=3, fill_value="max"),
            module.APPNP(2, 0.1, flow="target_to_source"),
            module.PNAConv(CHANNELS, 5, ["mean"], ["identity"], degrees(), pre_layers=2),
        ]
        for module in (geometric, graphlab.nn.conv)
    )
    x = features(NODES, CHANNELS).detach().float()
    for plain, conv in zip(theirs, ours, strict=True):
        conv.load_state_dict(plain.state_dict())
        order = EDGES[:, EDGES[1].argsort(stable=True)]
        given = (x, order, ATTRIBUTES.detach().float()) if isinstance(plain, (GATConv, GATv2Conv)) else (x, order)
        torch.testing.assert_close(conv(*given), plain(*given))
    assert not ran
    conv = graphlab.nn.conv.SAGEConv(CHANNELS, 5)
    conv(x, EDGES)
    assert ran == ["spmm"]


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = GCNConv(CHANNELS, CHANNELS)
        self.rest = nn.ModuleList([GATConv(CHANNELS, 3, 2), GATv2Conv(CHANNELS, 3, 2, edge_dim=3)])
        self.inner = geometric.Sequential("x, edge_index", [(SAGEConv(CHANNELS, 6), "x, edge_index -> x"), nn.ReLU()])
        self.again = self.first

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = self.inner(self.first(x, edge_index), edge_index)
        for conv in self.rest:
            h = conv(h, edge_index).relu()
        y: Tensor = self.again(h, edge_index)
        return y


def trained(model: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor) -> Tensor:
    for _ in range(5):
        optimiser.zero_grad()
        model(x, EDGES).square().mean().backward()
        optimiser.step()
    return model(x, EDGES)


def test_a_model_keeps_its_parameters_optimiser_and_checkpoints() -> None:
    torch.manual_seed(0)
    plain = Network().double()
    model = copy.deepcopy(plain)
    parameters, names = list(model.parameters()), list(model.state_dict())
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    returned, report = graphlab.accelerate(model)
    assert returned is model
    assert [id(part) for part in model.parameters()] == [id(part) for part in parameters]
    assert list(model.state_dict()) == names
    assert report.swapped == ("first", "rest.0", "inner.module_0")
    assert list(report.left) == ["rest.1"]
    assert model.again is model.first
    x = features(NODES, CHANNELS).detach()
    expected = trained(plain, torch.optim.Adam(plain.parameters(), 1e-2), x)
    torch.testing.assert_close(trained(model, optimiser, x), expected)
    model.load_state_dict(plain.state_dict())
    torch.testing.assert_close(model(x, EDGES), expected)


def test_report_prints_as_a_table() -> None:
    _, report = graphlab.accelerate(Network())
    assert str(report).splitlines() == [
        "3 of 4 message-passing layers swapped",
        "  first           GCNConv    swapped",
        "  rest.0          GATConv    swapped",
        "  rest.1          GATv2Conv  left: edge_dim=3: the nonlinearity is applied to each channel of each edge",
        "  inner.module_0  SAGEConv   swapped",
    ]
    assert str(graphlab.accelerate(GINConv(mlp()))[1]).endswith("  (model)  GINConv  swapped")
    assert str(graphlab.accelerate(nn.Linear(2, 2))[1]) == "0 of 0 message-passing layers swapped"


def test_accelerating_again_changes_nothing() -> None:
    model, report = graphlab.accelerate(Network())
    kinds = [type(part) for part in model.modules()]
    again, second = graphlab.accelerate(model)
    assert again is model
    assert [type(part) for part in model.modules()] == kinds
    assert second == report


def test_copies_and_files_of_an_accelerated_model() -> None:
    model, _ = graphlab.accelerate(Network().double())
    x = features(NODES, CHANNELS).detach()
    expected = model(x, EDGES)
    torch.testing.assert_close(copy.deepcopy(model)(x, EDGES), expected)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert [type(part) for part in loaded.modules()] == [type(part) for part in model.modules()]
    torch.testing.assert_close(loaded(x, EDGES), expected)


def test_a_file_is_read_by_a_process_that_has_made_no_layer(tmp_path: Path) -> None:
    conv, _ = graphlab.accelerate(nn.Sequential(SAGEConv(CHANNELS, 5), GATConv(5, 5)))
    torch.save((conv, conv[0](torch.ones(3, CHANNELS), EDGES[:, :0])), tmp_path / "model.pt")
    program = f"""
import torch
model, expected = torch.load({str(tmp_path / "model.pt")!r}, weights_only=False)
x, none = torch.ones(3, {CHANNELS}), torch.empty(2, 0, dtype=torch.long)
torch.testing.assert_close(model[0](x, none), expected)
torch.testing.assert_close(model[0](torch.stack([x, x]), none)[0], expected)
assert model[1](model[0](x, none), none).shape == (3, 5)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)


def test_lazy_layers_and_hooks() -> None:
    torch.manual_seed(0)
    plain = nn.ModuleList([GCNConv(-1, 5), SAGEConv((-1, -1), 5), GATConv((-1, -1), 5, add_self_loops=False)])
    model, report = graphlab.accelerate(copy.deepcopy(plain))
    assert len(report.swapped) == 3
    seen: list[Any] = []
    both = tuple(part.detach().float() for part in PAIR)
    for layer, other, arguments in zip(model, plain, ((both[0], EDGES), (both, ACROSS), (both, ACROSS)), strict=True):
        layer.register_forward_hook(lambda *given: seen.append(given))
        layer(*arguments), other(*arguments)
        other.load_state_dict(layer.state_dict())
        torch.testing.assert_close(layer(*arguments), other(*arguments))
    assert len(seen) == 6


@pytest.mark.parametrize("model", [geometric.GCN, geometric.GraphSAGE, geometric.GIN, geometric.GAT, geometric.PNA])
def test_models_of_pytorch_geometric(model: Any) -> None:
    torch.manual_seed(0)
    options = (
        {"aggregators": ["mean", "max"], "scalers": ["identity"], "deg": degrees()} if model is geometric.PNA else {}
    )
    plain = model(CHANNELS, 8, 3, 4, **options).double().eval()
    ours, report = graphlab.accelerate(copy.deepcopy(plain))
    assert len(report.swapped) == 3
    x = features(NODES, CHANNELS)
    torch.testing.assert_close(ours(x, EDGES), plain(x, EDGES))
