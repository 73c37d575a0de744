"""Networks and settings that models on neural graphs refuse, and edge cases that they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

from graphlab.nn.models.neural_graphs import (
    NGGNN,
    NGT,
    ModulatedPNAConv,
    NGGNNEditor,
    NGTEditor,
    StatNN,
    WeightMLP,
    graph_data,
)
from graphlab.weightgraph import WeightGraph, WeightGraphBatch
from graphlab.weightgraph.layouts.neural_graph import mlp_layers, neural_graph
from tests.nn.neural_graphs.networks import (
    SMALL,
    convolutional,
    degrees,
    explicit,
    in_blocks,
    perceptron,
    small_gnn,
    small_transformer,
)

SIZES = (2, 2, 3)
STATISTICS = ("weights_mean", "weights_std", "biases_mean", "biases_std")
MLPS = [perceptron(sizes, seed) for seed, sizes in enumerate([(2, 5, 4, 3), (2, 4, 3), (2, 5, 4, 3)])]


def models(**options: Any) -> list[nn.Module]:
    return [small_gnn(MLPS, SIZES, **options), small_transformer(SIZES, **options)]


@pytest.mark.parametrize("form", [in_blocks, explicit])
def test_networks_of_other_sizes_are_named(form: Any) -> None:
    for model in models():
        with pytest.raises(ValueError, match="network 1 has 3 inputs, the encoder was made for 2"):
            model(form([MLPS[0], perceptron((3, 4, 3), 0)]))
        with pytest.raises(ValueError, match="network 2 has 4 outputs, the encoder was made for 3"):
            model(form([MLPS[0], MLPS[1], perceptron((2, 4, 4), 0)]))
        with pytest.raises(ValueError, match="network 0 has 3 hidden layers, the encoder was made for at most 2"):
            model(form([perceptron((2, 4, 4, 4, 3), 0), MLPS[1]]))
    for model in models(encoder={"pos_embed": False}):
        with pytest.raises(ValueError, match="network 1 has 4 outputs; to concatenate them, all must have 3"):
            model(form([MLPS[0], perceptron((2, 4, 4), 0)]))


@pytest.mark.parametrize("form", [in_blocks, explicit])
def test_not_a_number_is_named(form: Any) -> None:
    for name, message in (("1.weight", "a weight of layer 1"), ("0.bias", "a bias of layer 0")):
        members = [(wiring, {key: own.clone() for key, own in tensors.items()}) for wiring, tensors in MLPS]
        members[2][1][name].view(-1)[1] = float("nan")
        for model in (*models(), StatNN(2, 4).double()):
            with pytest.raises(ValueError, match=f"network 2: {message} is NaN or infinite"):
                model(form(members))


def test_mixed_layouts() -> None:
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    graph = WeightGraph.from_module(net, (torch.randn(1, 2, dtype=torch.float64),))
    mixed = WeightGraphBatch([(neural_graph(net), graph.tensors), (graph.wiring("exact"), graph.tensors)])
    for model in models():
        with pytest.raises(ValueError, match="network 1 is drawn without layers of nodes"):
            model(mixed)
    with pytest.raises(ValueError, match="expected 1 values of an edge, got 9"):
        models()[0](in_blocks([convolutional((2, 4, 3), None, 0)]))
    with pytest.raises(TypeError, match=r"expected a WeightGraphBatch, or a Data or Batch of .* got list"):
        models()[0]([MLPS[0]])
    data = graph_data(*MLPS[0])
    del data.node_layer
    with pytest.raises(ValueError, match="the graph has no node_layer; graph_data makes all that is read"):
        models()[0](data)


def test_kernels_of_another_size_are_not_misplaced() -> None:
    model = small_gnn(MLPS, (3, 3, 4), encoder={"slots": 25})
    with pytest.raises(ValueError, match="expected 25 values of an edge, got 9"):
        model(in_blocks([convolutional((3, 4, 3), None, 0)]))


def test_statistics_of_other_depths() -> None:
    numbers = {name: [0.1, 0.2, 0.3] for name in STATISTICS}
    model = small_gnn(MLPS, SIZES, statistics=numbers)
    with pytest.raises(ValueError, match="network 1: expected 3 layers, as there are statistics, got 2"):
        model(in_blocks(MLPS))
    data = explicit(MLPS[::2])
    del data.edge_filled
    with pytest.raises(ValueError, match="do not say which values are parameters"):
        model(data)
    with pytest.raises(ValueError, match="weights_std of layer 1: expected positive and finite, got 0"):
        small_gnn(MLPS, SIZES, statistics=numbers | {"weights_std": [1.0, 0.0, 1.0]})


def test_settings_that_there_are_not() -> None:
    with pytest.raises(ValueError, match="NG-GNN has no pooling cat over all"):
        small_gnn(MLPS, SIZES, pooling_layer="all")
    with pytest.raises(ValueError, match="NG-GNN has no pooling cls_token over last"):
        small_gnn(MLPS, SIZES, pooling="cls_token")
    with pytest.raises(ValueError, match="pooling: expected some of cat, mean"):
        small_transformer(SIZES, pooling="cat_mean")
    with pytest.raises(ValueError, match="pooling_layer: expected some of last, all"):
        small_transformer(SIZES, pooling_layer="first")
    with pytest.raises(ValueError, match="cannot be divided among 3 heads"):
        small_transformer(SIZES, n_heads=3)
    with pytest.raises(ValueError, match="scalers: expected some of identity"):
        small_gnn(MLPS, SIZES, scalers=("square",))
    with pytest.raises(ValueError, match="degrees: expected how many nodes"):
        NGGNN(*SIZES, 3, [])
    with pytest.raises(ValueError, match="8 and 9 channels cannot be divided among 2 towers"):
        ModulatedPNAConv(8, 9, 4, [1], towers=2)
    with pytest.raises(ValueError, match="normalize: there are no statistics to undo"):
        NGTEditor(*SIZES, normalize=True)


def test_baselines() -> None:
    with pytest.raises(ValueError, match="network 0 has 3 layers, expected at most 2"):
        StatNN(1, 4).double()(in_blocks(MLPS))
    with pytest.raises(ValueError, match="network 1 has 27 parameters, expected 54"):
        WeightMLP(54, 4).double()(in_blocks(MLPS))


def test_probes_need_perceptrons_or_answers() -> None:
    encoder: Any = {"slots": 9, "num_probes": 2}
    model = small_gnn(MLPS, (3, 3, 4), encoder=encoder)
    batch = in_blocks([convolutional((3, 4, 3), None, 0)])
    with pytest.raises(ValueError, match="edges carry 9 values: no multilayer perceptron has these"):
        model(batch)
    assert model(batch, answer=lambda probes: torch.ones(batch.num_nodes, len(probes)).double()).shape == (1, 3)


# --- edge cases -------------------------------------------------------------------------------------------------------


def test_a_network_says_the_same_beside_others_unless_published() -> None:
    for options in ({}, {"encoder": {"bidirectional": True}}):
        for model in models(**options):
            together = model(in_blocks(MLPS))
            alone = torch.cat([model(in_blocks([own])) for own in MLPS])
            torch.testing.assert_close(together, alone, atol=1e-9, rtol=1e-7)
    published = (
        small_gnn(MLPS, SIZES, norm="batch_graph"),
        small_transformer(SIZES, padded=True),
    )
    for model in published:
        alone = torch.cat([model(in_blocks([own])) for own in MLPS])
        assert not torch.allclose(model(in_blocks(MLPS)), alone, atol=1e-4)


def test_narrow_and_shallow_networks() -> None:
    for sizes in ((1, 1, 1), (2, 3), (1, 1)):
        member = perceptron(sizes, 0, torch.float32)
        ends = (sizes[0], max(len(sizes) - 2, 0), sizes[-1])
        small = (small_gnn([member], ends).float(), small_transformer(ends).float(), StatNN(2, 4))
        for model in small:
            scores = model(in_blocks([member]))
            assert scores.isfinite().all()
            assert scores.dtype == torch.float32


def test_missing_biases_count_as_zeros() -> None:
    net = nn.Sequential(nn.Linear(2, 4, bias=False), nn.ReLU(), nn.Linear(4, 3)).double()
    tensors = {name: own.detach() for name, own in net.named_parameters()}
    zeros = {"0.weight": tensors["0.weight"], "0.bias": torch.zeros(4).double()}
    zeros |= {f"1.{own}": tensors[f"2.{own}"] for own in ("weight", "bias")}
    for model in models():
        given = model(in_blocks([(neural_graph(net), tensors)]))
        torch.testing.assert_close(given, model(in_blocks([(neural_graph(mlp_layers((2, 4, 3))), zeros)])))


def test_single_explicit_graph_and_order_of_a_batch() -> None:
    for model in models():
        one = model(graph_data(*MLPS[0]))
        torch.testing.assert_close(one, model(explicit(MLPS[:1])))
        mixed = in_blocks(MLPS)
        assert mixed.order.tolist() == [0, 2, 1]
        torch.testing.assert_close(model(mixed.to_data()), model(mixed)) if isinstance(model, NGT) else None


def test_models_are_kept_in_folders(tmp_path: Path) -> None:
    sizes = {name: size for name, size in SMALL.items() if name != "d_out_hid"}
    numbers = {name: [0.1, 0.2, 0.3] for name in STATISTICS}
    batch = in_blocks(MLPS[::2]).to(dtype=torch.float32)
    made: list[Any] = [
        NGGNN(*SIZES, 3, degrees(MLPS), 8, 2, encoder={"num_probes": 2}, statistics=numbers),
        NGT(*SIZES, 3, **SMALL, pooling="cls_token"),
        NGGNNEditor(*SIZES, degrees(MLPS), 8, 2),
        NGTEditor(*SIZES, **sizes),
        StatNN(2, 8),
        WeightMLP(54, 8),
    ]
    for model in made:
        folder = tmp_path / type(model).__name__
        model.save_pretrained(folder)
        again = type(model).from_pretrained(folder)
        first, second = (own.eval()(batch) for own in (model, again))
        if isinstance(first, WeightGraphBatch):
            first, second = (torch.cat([part.values.flatten() for part in own.parts]) for own in (first, second))
        assert torch.equal(first, second)


def test_dropout_in_training_only() -> None:
    for model in models(dropout=0.5):
        batch = in_blocks(MLPS)
        assert torch.equal(model(batch), model(batch))
        model.train()
        assert not torch.equal(model(batch), model(batch))


def test_input_is_not_written() -> None:
    for model in models():
        batch = explicit(MLPS)
        kept = {name: batch[name].clone() for name in batch.keys() if torch.is_tensor(batch[name])}  # noqa: SIM118
        model(batch), model(batch)
        assert all(torch.equal(batch[name], own) for name, own in kept.items())
        assert isinstance(batch, Batch)
