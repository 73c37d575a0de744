"""Strengths, fluctuations and networkx graphs, against the definitions on explicit edges."""

from __future__ import annotations

import networkx as nx
import pytest
import torch

from graphlab.weightgraph import WeightGraph
from graphlab.weightgraph.complexnetwork import layer_fluctuation, node_strength, to_networkx
from graphlab.weightgraph.layouts.exact import exact
from graphlab.weightgraph.wiring import Wiring, WiringError
from tests.architectures import ARCHITECTURES


def drawn(name: str) -> tuple[WeightGraph, Wiring]:
    example = ARCHITECTURES[name]()
    graph = WeightGraph.from_module(example.module, example.args, example.kwargs)
    return graph, exact(graph.structure, graph.tensors)


@pytest.mark.parametrize("name", ["mlp", "resnet", "llama", "mixtral"])
@pytest.mark.parametrize("weighted", [False, True])
def test_strength_is_the_sum_over_edges(name: str, weighted: bool) -> None:
    graph, wiring = drawn(name)
    activations = torch.rand(wiring.num_nodes) if weighted else None
    source, target = wiring.edge_index()
    weight = wiring.edge_values(graph.tensors, torch.float64).sum(1)
    if activations is not None:
        weight = weight * activations[source]
    expected = torch.zeros(wiring.num_nodes, dtype=torch.float64)
    expected.index_add_(0, source, weight).index_add_(0, target, weight)
    torch.testing.assert_close(node_strength(wiring, graph.tensors, activations), expected)


def test_fluctuation_is_the_spread_in_a_range() -> None:
    graph, wiring = drawn("mlp")
    strength = node_strength(wiring, graph.tensors)
    fluctuation = layer_fluctuation(wiring, strength)
    own = wiring.nodes["0"]
    values = strength[own.start : own.start + own.size]
    assert fluctuation["0"] == pytest.approx(((values - values.mean()) ** 2).mean().sqrt().item())
    assert fluctuation["unit of 0.bias"] == 0


def test_networkx_of_ranges_and_of_neurons() -> None:
    graph, wiring = drawn("unet")
    quotient = to_networkx(wiring)
    assert set(quotient) == set(wiring.nodes)
    assert sum(entries for *_, entries in quotient.edges(data="entries")) == 19106
    assert nx.is_weakly_connected(quotient)
    neurons = to_networkx(wiring, graph.tensors)
    assert (len(neurons), neurons.number_of_edges()) == (wiring.num_nodes, wiring.num_edges)
    strength = node_strength(wiring, graph.tensors)
    degree = dict(neurons.degree(weight="weight"))
    assert all(degree[node] == pytest.approx(strength[node].item(), abs=1e-9) for node in neurons)


def test_what_cannot_be_done_is_said() -> None:
    graph, wiring = drawn("mlp")
    with pytest.raises(WiringError, match="activation for each of 60 nodes"):
        node_strength(wiring, graph.tensors, torch.ones(3))
    large = WeightGraph.from_module(torch.nn.Linear(400, 300), (torch.zeros(1, 400),))
    with pytest.raises(WiringError, match="120,300 edges are too many"):
        to_networkx(exact(large.structure, large.tensors), large.tensors)
