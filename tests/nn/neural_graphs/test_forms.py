"""Explicit graphs and graphs in blocks: the same numbers and gradients, however edges are divided."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from graphlab.nn.models.neural_graphs import ACTIVATIONS, NGGNNEditor, NGTEditor, Statistics, StatNN, WeightMLP
from tests.nn.neural_graphs.networks import (
    SMALL,
    Member,
    blocks_kept,
    convolutional,
    degrees,
    explicit,
    in_blocks,
    perceptron,
    small_gnn,
    small_transformer,
)

LARGE = st.sampled_from([1, 2, 7, 12, 10**9])
LAYOUTS = [(2, 5, 4, 3), (2, 4, 3), (2, 5, 4, 3), (2, 6, 3)]
MLPS = [perceptron(sizes, seed) for seed, sizes in enumerate(LAYOUTS)]
CNNS = [
    convolutional((3, 4, 6, 5), (-1, -1, 0), 0),
    convolutional((3, 5, 4), None, 1),
    convolutional((3, 4, 6, 5), (-1, -1, 0), 2),
]
NAMES = [["relu", "tanh", "gelu"], ["none", "silu"], ["relu", "sigmoid", "gelu"]]
APART = [convolutional((3, 4, 6, 5), (-1, -1, 0), 0, linear_as_conv=False), convolutional((3, 5, 4), None, 1, False)]

GNN: dict[str, dict[str, Any]] = {
    "plain": {},
    "both ways": {"encoder": {"bidirectional": True}},
    "gate": {"modulation": "gate", "norm": "node", "aggregators": ("sum", "var"), "act": "relu"},
    "unmodulated": {"modulation": "none", "norm": "none", "update_edges": False, "scalers": ("linear", "attenuation")},
    "probes": {"encoder": {"num_probes": 4, "bidirectional": True}, "pooling": "mean", "pooling_layer": "all"},
    "edges": {"pooling": "mean_edge", "pooling_layer": "all", "encoder": {"bidirectional": True}},
    "edges of outputs": {"pooling": "max_edge", "pooling_layer": "last"},
    "columns": {"pooling": "mean_edge", "pooling_layer": "last", "encoder": {"bidirectional": True}},
    "published norm": {"norm": "batch_graph", "pooling": "max", "pooling_layer": "all", "padded": True},
    "jumping": {"jk": "cat", "act_first": True},
    "lstm": {"jk": "lstm", "final_edge_update": True, "num_layers": 1},
}
NGT_OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "both ways": {"encoder": {"bidirectional": True}, "modulate_v": False, "use_ln": False},
    "cls": {"pooling": "cls_token", "encoder": {"num_probes": 3}},
    "edges": {"pooling": "mean_edge", "pooling_layer": "all", "disable_edge_updates": True},
    "columns": {"pooling": "mean_edge", "pooling_layer": "last"},
    "rows": {"pooling": "max_edge", "pooling_layer": "last", "pool_rows": True},
    "all": {"pooling": "max", "pooling_layer": "all", "n_layers": 1},
    "mean": {"pooling": "mean", "head_layers": 3, "tfixit_init": True, "disable_edge_updates": True},
}


def same(model: nn.Module, members: list[Member], large: int, activations: Any = None) -> None:
    """Outputs and gradients of both forms, blocks listed and kept."""
    results = []
    for graphs, kept in (
        (explicit(members), False),
        (in_blocks(members, large), False),
        (in_blocks(members, large), True),
    ):
        with blocks_kept() if kept else contextlib.nullcontext():
            scores = model(graphs, activations) if activations else model(graphs)
        wanted = [own for own in model.parameters() if own.requires_grad]
        factors = torch.arange(scores.numel(), dtype=scores.dtype).view_as(scores).cos()
        results.append([scores, *torch.autograd.grad((scores * factors).sum(), wanted, materialize_grads=True)])
    for first, *others in zip(*results, strict=True):
        for own in others:
            torch.testing.assert_close(own, first, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("options", GNN.values(), ids=GNN)
@settings(deadline=None, max_examples=3)
@given(large=LARGE)
def test_gnn_on_perceptrons(options: dict[str, Any], large: int) -> None:
    same(small_gnn(MLPS, (2, 2, 3), **options), MLPS, large)


@pytest.mark.parametrize("options", NGT_OPTIONS.values(), ids=NGT_OPTIONS)
@settings(deadline=None, max_examples=2)
@given(large=LARGE)
def test_transformer_on_perceptrons(options: dict[str, Any], large: int) -> None:
    same(small_transformer((2, 2, 3), **options), MLPS, large)


@pytest.mark.parametrize("large", [1, 40, 10**9])
def test_convolutional_networks(large: int) -> None:
    encoder = {"slots": 9, "activations": list(ACTIVATIONS)}
    same(small_gnn(CNNS, (3, 3, 4), encoder=encoder), CNNS, large, NAMES)
    same(small_transformer((3, 3, 4), encoder=encoder), CNNS, large, NAMES)
    same(small_transformer((3, 3, 4), encoder=encoder, padded=True), CNNS, large, NAMES)
    apart = {"slots": 9, "linear_apart": True, "bidirectional": True}
    same(small_gnn(APART, (3, 3, 4), encoder=apart), APART, large)
    same(small_transformer((3, 3, 4), encoder=apart), APART, large)


@pytest.mark.parametrize("large", [1, 40, 10**9])
def test_statistics_and_baselines(large: int) -> None:
    numbers = [0.1, 0.2, 0.3]
    statistics = {"weights_mean": numbers, "weights_std": numbers, "biases_mean": numbers, "biases_std": numbers}
    same(small_gnn(MLPS[::2], (2, 2, 3), statistics=statistics), MLPS[::2], large)
    kernels = {"encoder": {"slots": 9}, "statistics": {name: [*own, 0.4] for name, own in statistics.items()}}
    same(small_gnn(CNNS[::2], (3, 3, 4), **kernels), CNNS[::2], large)
    same(StatNN(3, 8).double(), CNNS, large)
    count = sum(tensor.numel() for tensor in MLPS[0][1].values())
    same(WeightMLP(count, 8, 2).double(), MLPS[::2], large)


@pytest.mark.parametrize("large", [1, 12, 10**9])
def test_editors(large: int) -> None:
    numbers = [0.1, 0.2, 0.3]
    options: dict[str, Any] = {
        "encoder": {"bidirectional": True},
        "statistics": dict.fromkeys(["weights_mean", "weights_std", "biases_mean", "biases_std"], numbers),
        "normalize": True,
    }
    members = [*MLPS[::2], perceptron((2, 3, 6, 3), 7)]
    torch.manual_seed(0)
    sizes = {name: size for name, size in SMALL.items() if name != "d_out_hid"}
    for model in (
        NGGNNEditor(2, 2, 3, degrees(members), 8, 3, **options),
        NGGNNEditor(2, 2, 3, degrees(members), 8, 3, misread_biases=True, **options),
        NGTEditor(2, 2, 3, **sizes, **options),
    ):
        model.double()
        blocks, graphs = in_blocks(members, large), explicit(members)
        changed: list[dict[str, Tensor]] = model(blocks).state_dicts()
        with blocks_kept():
            again = model(blocks).state_dicts()
        for own, same in zip(changed, again, strict=True):
            assert all(torch.allclose(own[name], same[name]) for name in own)
        for (wiring, before), own, data in zip(members, changed, model(graphs).to_data_list(), strict=True):
            back = wiring.read_back(data.edge_attr, before, data.x)
            assert back.keys() == own.keys() == before.keys()
            for name, tensor in back.items():
                torch.testing.assert_close(own[name], tensor)
                assert not torch.equal(tensor, before[name])
        assert all(
            torch.equal(a.values, b.values) for a, b in zip(blocks.parts, in_blocks(members, large).parts, strict=True)
        )
        assert all(torch.equal(graphs[name], explicit(members)[name]) for name in ("x", "edge_attr"))


def test_statistics_are_those_that_a_single_network_gets() -> None:
    statistics = Statistics([0.1, 0.2], [1.0, 2.0], [0.3, 0.4], [3.0, 4.0])
    wiring, tensors = perceptron((2, 4, 3), 0)
    x, edges = statistics.apply(wiring, wiring.node_values(tensors), wiring.edge_values(tensors))
    from graphlab.nn.models.neural_graphs.graphs import read

    standard = statistics.standardised(read(explicit([(wiring, tensors)])))
    torch.testing.assert_close(standard.x, x)
    torch.testing.assert_close(standard.values[0], edges)
