"""Layers on our operators give what PyTorch Geometric's give: outputs and all gradients."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.nn import APPNP, GATConv, GATv2Conv, GCNConv, GINConv, PNAConv, SAGEConv

import graphlab
from graphlab.nn.conv import attended
from tests.nn.conv_cases import (
    ACROSS,
    BOTH,
    CHANNELS,
    EDGES,
    NODES,
    ONE,
    WEIGHT,
    Build,
    compare,
    degrees,
    edges,
    features,
    gat,
    gcn,
    pna,
)


@pytest.mark.parametrize("name", ONE)
def test_layer_gives_what_it_gave(name: str, ran: list[str]) -> None:
    build, *rest = ONE[name]
    compare(build, (features(NODES, CHANNELS), EDGES, *rest))
    assert ran


@pytest.mark.parametrize("name", BOTH)
def test_bipartite_layer_gives_what_it_gave(name: str, ran: list[str]) -> None:
    build, x, *rest = BOTH[name]
    compare(build, (x, ACROSS, *rest))
    assert ran


@pytest.mark.parametrize("build", [gcn(), lambda: SAGEConv(CHANNELS, 5), gat(GATConv), gat(GATv2Conv), pna()])
def test_edge_index_class(build: Build, ran: list[str]) -> None:
    x, graph = features(NODES, CHANNELS), EdgeIndex(EDGES, sparse_size=(NODES, NODES))
    compare(build, (x, EDGES), (x, graph))
    assert ran


@pytest.mark.parametrize("name", ["gcn", "gcn weights", "sage mean", "gin", "appnp", "gat edges", "gatv2", "pna"])
def test_single_precision(name: str) -> None:
    build, *rest = ONE[name]
    torch.manual_seed(0)
    plain = build()
    conv, _ = graphlab.accelerate(copy.deepcopy(plain))
    x, *rest = (part.detach().float() for part in (features(NODES, CHANNELS), *rest))
    torch.testing.assert_close(conv(x, EDGES, *rest), plain(x, EDGES, *rest), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["gcn", "gcn weights", "sage max", "gin", "appnp", "gat", "gatv2", "pna"])
def test_graph_without_edges(name: str) -> None:
    build, *rest = ONE[name]
    compare(build, (features(4, CHANNELS), EDGES[:, :0], *(part[:0] for part in rest)))


@pytest.mark.parametrize("name", ["gcn", "gcn weights", "appnp", "sage mean", "gat", "gatv2"])
def test_autocast(name: str) -> None:
    build, *rest = ONE[name]
    plain = build()
    conv, _ = graphlab.accelerate(copy.deepcopy(plain))
    x, *rest = (part.detach().float() for part in (features(NODES, CHANNELS), *rest))
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = conv(x, EDGES, *rest), plain(x, EDGES, *rest)
    assert ours.dtype == theirs.dtype
    torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-2)


def test_weights_of_edges_that_change_are_seen() -> None:
    plain = GCNConv(CHANNELS, 5).double()
    conv, _ = graphlab.accelerate(copy.deepcopy(plain))
    x, edge_index, weight = features(NODES, CHANNELS), EDGES.clone(), WEIGHT.detach().clone()

    def same() -> None:
        torch.testing.assert_close(conv(x, edge_index, weight), plain(x, edge_index, weight))

    same()
    weight.mul_(torch.arange(len(weight)))
    same()
    weight = weight.clone() + 1
    same()
    edge_index[0] = edge_index[0].flip(0)
    same()
    edge_index = edge_index.flip(1)
    same()


def test_a_cached_layer_keeps_its_first_graph() -> None:
    plain = GCNConv(CHANNELS, 5, cached=True).double()
    x, other = features(NODES, CHANNELS), EDGES.flip(0)
    expected = plain(x, EDGES)
    conv, _ = graphlab.accelerate(copy.deepcopy(plain))
    torch.testing.assert_close(conv(x, other), expected)
    conv.reset_parameters()
    assert not torch.allclose(conv(x, other), conv.lin(x) * 0)
    assert conv._cached_edge_index is not None


def test_training_after_inference_mode() -> None:
    """What is remembered by evaluation can be saved for a backward pass."""
    for build in (gcn(), gat(GATConv)):
        conv, _ = graphlab.accelerate(build())
        x, edge_index = torch.randn(NODES, CHANNELS), EDGES.clone()
        with torch.inference_mode():
            conv(x, edge_index)
        conv(x, edge_index).sum().backward()


def test_edges_and_weights_made_in_inference_mode() -> None:
    plain = GCNConv(CHANNELS, 5)
    conv, _ = graphlab.accelerate(copy.deepcopy(plain))
    with torch.inference_mode():
        x, edge_index, weight = torch.randn(NODES, CHANNELS), EDGES.clone(), WEIGHT.float()
        torch.testing.assert_close(conv(x, edge_index, weight), plain(x, edge_index, weight))
        torch.testing.assert_close(conv(x, EDGES, weight), plain(x, EDGES, weight))
        torch.testing.assert_close(conv(x, edge_index), plain(x, edge_index))


@pytest.mark.parametrize("kind", [GATConv, GATv2Conv])
def test_dropout_of_attention(kind: Any) -> None:
    """Each factor is 0 or 1 / (1 - p), drawn from torch's generator, and the mean is what comes without."""
    torch.manual_seed(0)
    conv, _ = graphlab.accelerate(gat(kind, dropout=0.4)().double())
    x = features(NODES, CHANNELS).detach()
    with torch.no_grad():
        torch.manual_seed(1)
        first, second = conv(x, EDGES), conv(x, EDGES)
        torch.manual_seed(1)
        assert torch.equal(conv(x, EDGES), first)
        assert not torch.equal(second, first)
        mean = torch.stack([conv(x, EDGES) for _ in range(3000)]).mean(0)
        expected = conv.eval()(x, EDGES)
        torch.testing.assert_close(mean, expected, rtol=0, atol=0.12)
    factors = attended.drawn(conv.train(), attended.attended_adjacency(conv, EDGES, NODES, NODES)[0], x)
    assert factors is not None
    assert set(factors.unique().tolist()) == {0.0, 1 / 0.6}


def test_dropout_of_propagation() -> None:
    torch.manual_seed(0)
    conv, _ = graphlab.accelerate(APPNP(1, 0.1, dropout=0.5).double())
    x = features(NODES, CHANNELS).detach()
    mean = torch.stack([conv(x, EDGES) for _ in range(3000)]).mean(0)
    torch.testing.assert_close(mean, conv.eval()(x, EDGES), rtol=0, atol=0.1)
    with pytest.raises(ValueError, match="no edge weights to drop out"):
        graphlab.accelerate(APPNP(1, 0.1, dropout=0.5, normalize=False))[0](x, EDGES)


def test_no_tensor_of_edges_times_channels() -> None:
    """Peak size of what autograd keeps: nothing has a row of channels for each edge."""
    edge_index = edges(50, 50, 3000)
    x = torch.randn(50, 32, requires_grad=True)
    kept: list[int] = []

    def note(part: Tensor) -> Tensor:
        kept.append(part.numel())
        return part

    layers = [GCNConv(32, 32), SAGEConv(32, 32), GINConv(nn.Linear(32, 32)), GATConv(32, 8, 4), GATv2Conv(32, 8, 4)]
    layers += [APPNP(3, 0.1), PNAConv(32, 32, ["mean", "std"], ["identity"], degrees())]
    for conv in layers:
        graphlab.accelerate(conv)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda part: part):
            conv(x, edge_index)
        assert max(kept) < 3000 * 32 / 4


def test_edges_that_do_not_fit_are_refused() -> None:
    for conv in (GCNConv(CHANNELS, 5), SAGEConv(CHANNELS, 5), GATConv(CHANNELS, 5)):
        graphlab.accelerate(conv)
        with pytest.raises((ValueError, IndexError, RuntimeError)):
            conv(torch.randn(4, CHANNELS), EDGES)
