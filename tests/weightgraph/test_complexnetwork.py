"""Strengths, fluctuations and networkx graphs, against the definitions on explicit edges."""

from __future__ import annotations

import networkx as nx
import pytest
import torch

from graphlab.capture import capture
from graphlab.weightgraph import WeightGraph
from graphlab.weightgraph.activations import node_activations
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


def test_activations_of_given_inputs() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    x = torch.randn(7, 3)
    graph = WeightGraph.from_module(module, (x,))
    wiring = exact(graph.structure, graph.tensors)
    found = node_activations(graph, capture(module, (x,)), (x,))
    hidden = module[1](module[0](x))
    expected = {"input:0": x, "0": hidden, "output:0": module[2](hidden)}
    for name, own in wiring.nodes.items():
        values = expected[name].detach().double().mean(0) if name in expected else torch.ones(own.size).double()
        torch.testing.assert_close(found[own.start : own.start + own.size], values, atol=1e-6, rtol=1e-6)
    strength = node_strength(wiring, graph.tensors, found)
    own = wiring.nodes["output:0"]
    flows = module[2].weight.detach().double() @ hidden.detach().double().mean(0) + module[2].bias.detach()
    torch.testing.assert_close(strength[own.start : own.start + own.size], flows, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["resnet", "unet", "llama", "bert", "mixtral", "lstm"])
def test_permuted_neurons_give_what_they_gave(name: str) -> None:
    example = ARCHITECTURES[name]()
    graph = WeightGraph.from_module(example.module, example.args, example.kwargs)
    program = capture(example.module, example.args, example.kwargs)
    group = next(group for group in graph.structure.free if not group.within and group.name in graph.wiring().nodes)
    moved = graph.permute({group.name: torch.arange(group.size).flip(0)})
    before, after = (node_activations(own, program, example.args, example.kwargs) for own in (graph, moved))
    own = graph.wiring().nodes[group.name]
    before[own.start : own.start + own.size] = before[own.start : own.start + own.size].flip(0)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-4)


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
