"""The encoder of neural graphs: published values, symmetry, batches of unlike networks, statistics, bad input."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from graphlab.nn.models.neural_graphs import (
    ACTIVATIONS,
    GraphConstructor,
    Labels,
    ProbeFeatures,
    Statistics,
)
from graphlab.nn.models.neural_graphs.encoder import FourierFeatures
from graphlab.nn.models.wild_park import WildParkCNN
from graphlab.weightgraph.data import to_data
from graphlab.weightgraph.layouts.neural_graph import both_ways, dense, input_first, mlp_layers, neural_graph
from graphlab.weightgraph.wiring import Wiring

DATA = os.environ.get("GRAPHLAB_DATA")
GOLDEN = (Path(DATA) if DATA else Path(__file__).parents[4] / "shared" / "data").parent / "golden" / "neural_graphs"
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden cases in {GOLDEN}")


# --- the features that published models begin with ------------------------------------------------------------------


def case(name: str) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    document = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    tensors = load_file(GOLDEN / f"{name}.safetensors")
    prefix = "param/construct_graph."
    return document, tensors, {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


@golden
@pytest.mark.parametrize("name", ["gnn_cls_probe_rev", "gnn_cls_plain", "ngt_cls_plain", "ngt_cls_probe_rev_clstoken"])
def test_features_of_perceptrons_are_the_published(name: str) -> None:
    document, tensors, params = case(name)
    layout, config = document["layer_layout"], document["config"]
    depth = len(layout) - 1
    lists = ([tensors[f"input/{kind}.{layer}"] for layer in range(depth)] for kind in ("weights", "biases"))
    raw, wiring = input_first(layout, *lists), neural_graph(mlp_layers(layout))
    x, edge_attr = wiring.node_values(raw), wiring.edge_values(raw)
    x, edge_attr = Statistics(**document["stats"]).apply(wiring, x, edge_attr)
    encoder = GraphConstructor(
        layout[0],
        depth - 1,
        layout[-1],
        params["proj_node_in.bias"].numel(),
        params["proj_edge_in.bias"].numel(),
        bidirectional=config["rev_edge_features"],
        num_probes=config["graph_constructor"].get("num_probe_features", 0),
    )
    encoder.load_state_dict(params)
    probes = encoder.gpf and encoder.gpf(raw)
    nodes, edges = encoder(x, edge_attr, encoder.labels(wiring), probes)
    index = both_ways(wiring.edge_index()) if encoder.bidirectional else wiring.edge_index()
    found = {
        "probe_features": probes,
        "node_features": nodes,
        "edge_features": dense(index, edges, wiring.num_nodes, encoder.absent_edge()),
    }
    compared = [each for each in found if f"output/{each}" in tensors]
    assert compared
    for each in compared:
        assert torch.allclose(found[each], tensors[f"output/{each}"], atol=2e-5), each


@golden
@pytest.mark.parametrize(
    "name",
    ["cnn_gnn_hetero_residual", "cnn_gnn_linear_not_conv_rev", "cnn_gnn_repeat_nodes", "cnn_ngt_hetero_residual"],
)
def test_features_of_unlike_convolutional_networks_are_the_published(name: str) -> None:
    document, tensors, params = case(name)
    config = document["config"]
    kernel = config["max_kernel_size"]
    encoder = GraphConstructor(
        config["input_channels"],
        config["max_num_hidden_layers"],
        config["num_classes"],
        params["proj_node_in.bias"].numel(),
        params["proj_edge_in.bias"].numel(),
        slots=kernel[0] * kernel[1],
        bidirectional=config["rev_edge_features"],
        activations=ACTIVATIONS,
        map_size=len(params["spatial_embed"]) if "spatial_embed" in params else None,
        linear_apart=not config["linear_as_conv"],
    )
    encoder.load_state_dict(params)
    graphs, labels = [], []
    for number, entry in enumerate(document["networks"]):
        sizes = (entry[key] for key in ("channels", "kernel_size", "n_classes"))
        net = WildParkCNN(*sizes, *(entry.get(key) for key in ("residual", "activation", "fmap")))
        net.load_state_dict({key: tensors[f"input/net{number}.{key}"] for key in net.state_dict()})
        wiring = neural_graph(
            net.declare(),
            max_kernel=kernel,
            linear_as_conv=config["linear_as_conv"],
            residuals=net.residual,
            flatten="channel_last" if config["flattening_method"] else None,
        )
        graphs.append(to_data(wiring, net.state_dict()))
        labels.append(encoder.labels(wiring, entry.get("activation")))
    nodes, edges = encoder(
        torch.cat([data.x for data in graphs]), torch.cat([data.edge_attr for data in graphs]), Labels.cat(labels)
    )
    assert len(edges) == sum(data.num_edges for data in graphs) * (2 if encoder.bidirectional else 1)
    if "output/node_features" in tensors:
        for own, published in zip(
            nodes.split([data.num_nodes for data in graphs]), tensors["output/node_features"], strict=True
        ):
            assert torch.allclose(own, published[: len(own)], atol=1e-5)


# --- parts ----------------------------------------------------------------------------------------------------------


def test_frequencies_are_kept_and_not_learned() -> None:
    features = FourierFeatures(2, 5, 3.0)
    assert [name for name, _ in features.named_parameters()] == []
    assert list(features.state_dict()) == ["b"]
    values = torch.randn(4, 2)
    phases = 2 * torch.pi * values @ features.b.t()
    assert torch.allclose(features(values), torch.cat([phases.cos(), phases.sin()], dim=1), atol=1e-5)
    large = FourierFeatures(4096, 64, 3.0).b
    assert abs(float(large.std()) - 3) < 0.05


def test_phases_do_not_lose_precision_under_autocast() -> None:
    features, values = FourierFeatures(1, 64, 3.0), torch.linspace(-4, 4, 50).unsqueeze(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = features(values)
    assert torch.equal(found, features(values))
    half = features(values.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), features(values.bfloat16().float()), atol=1e-2)


def test_published_parameter_names() -> None:
    encoder = GraphConstructor(
        2, 2, 1, 4, 3, input_layers=2, num_probes=5, activations=ACTIVATIONS, map_size=9, linear_apart=True
    )
    names = {name.rpartition(".")[0] if "embed" not in name or "act" in name else name for name in encoder.state_dict()}
    assert names == {
        *("pos_embed", "spatial_embed", "act_emb.embedding", "proj_node_in", "proj_edge_in", "proj_mlp_edge_in", "gpf"),
        *(f"{own}.{k}" for own in ("proj_weight", "proj_bias", "proj_mlp_weight") for k in (0, 1, 3)),
        *(f"gpf.proj.{layer}.{k}" for layer in range(4) for k in (0, 1)),
    }


def test_probes_answer_like_the_network() -> None:
    tensors = random((3, 5, 2), 4, torch.Generator().manual_seed(0))
    probes = ProbeFeatures(3, 2, 6, 8, activation=torch.tanh, offset=0.0).double()

    def expected() -> Tensor:
        hidden = torch.tanh(probes.inputs @ tensors["0.weight"].mT + tensors["0.bias"].unsqueeze(1))
        last = hidden @ tensors["1.weight"].mT + tensors["1.bias"].unsqueeze(1)
        answers = [probes.inputs.expand(4, -1, -1), hidden, last]
        return torch.cat([proj(answer.mT) for proj, answer in zip(probes.proj, answers, strict=True)], dim=1)

    assert torch.allclose(probes(tensors), expected())
    tensors["0.bias"].zero_()
    assert torch.allclose(probes({name: own for name, own in tensors.items() if name != "0.bias"}), expected())
    with pytest.raises(ValueError, match=r"expected 0\.weight, 1\.weight and biases, got 0\.weight"):
        probes({"0.weight": tensors["0.weight"]})


def random(sizes: tuple[int, ...], batch: int, generator: torch.Generator) -> dict[str, Tensor]:
    tensors = {}
    for number, (read, made) in enumerate(pairwise(sizes)):
        tensors[f"{number}.weight"] = torch.randn(batch, made, read, generator=generator, dtype=torch.float64)
        tensors[f"{number}.bias"] = torch.randn(batch, made, generator=generator, dtype=torch.float64)
    return tensors


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.booleans(), st.integers(0, 2**31))
def test_features_of_permuted_networks_are_permuted(sizes, bidirectional, seed) -> None:  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(seed)
    wiring, tensors = neural_graph(mlp_layers(sizes)), random(sizes, 2, generator)
    encoder = GraphConstructor(
        sizes[0], len(sizes) - 2, sizes[-1], 4, 3, bidirectional=bidirectional, num_probes=3, activations=ACTIVATIONS
    ).double()
    orders = [torch.randperm(size, generator=generator) for size in sizes]
    orders[0], orders[-1] = torch.arange(sizes[0]), torch.arange(sizes[-1])
    permuted = {}
    for layer in range(len(sizes) - 1):
        permuted[f"{layer}.weight"] = tensors[f"{layer}.weight"][:, orders[layer + 1]][:, :, orders[layer]]
        permuted[f"{layer}.bias"] = tensors[f"{layer}.bias"][:, orders[layer + 1]]
    starts = [own.start for own in wiring.nodes.values()]
    relabelled = torch.cat([start + order for start, order in zip(starts, orders, strict=True)])
    (nodes, edges), (nodes_after, edges_after) = (encoded(encoder, wiring, given) for given in (tensors, permuted))
    assert torch.allclose(nodes_after, nodes[:, relabelled])
    assert torch.allclose(edges_after, edges[:, relabelled][:, :, relabelled])
    alone = encoded(encoder, wiring, {name: tensor[1:] for name, tensor in tensors.items()})[0]
    assert torch.allclose(alone, nodes[1:]), "a network's features do not depend on its batch"


def encoded(encoder: GraphConstructor, wiring: Wiring, tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Nodes, and the dense matrix of edges."""
    assert encoder.gpf is not None
    labels = encoder.labels(wiring, ["gelu"] * (len(wiring.nodes) - 2))
    values = wiring.node_values(tensors), wiring.edge_values(tensors)
    nodes, edges = encoder(*values, labels, encoder.gpf(tensors))
    assert nodes.dtype == edges.dtype == torch.float64
    index = both_ways(wiring.edge_index()) if encoder.bidirectional else wiring.edge_index()
    return nodes, dense(index, edges, wiring.num_nodes, encoder.absent_edge())


def test_linear_edges_have_an_encoder_of_their_own_forward_only() -> None:
    net = WildParkCNN((1, 2, 3), (3, 3), 2)
    wiring = neural_graph(net.declare(), linear_as_conv=False)
    encoder = GraphConstructor(1, 2, 2, 4, 4, slots=9, bidirectional=True, linear_apart=True)
    x, edge_attr, labels = wiring.node_values(p := net.state_dict()), wiring.edge_values(p), encoder.labels(wiring)
    before = encoder(x, edge_attr, labels)[1]
    assert encoder.proj_mlp_weight is not None
    with torch.no_grad():
        encoder.proj_mlp_weight[1].bias += 1
    changed = (encoder(x, edge_attr, labels)[1] != before).any(dim=1)
    assert torch.equal(changed.nonzero().flatten(), torch.arange(8, 14)), "the six edges of fc, not reversed"


# --- networks that an encoder was not made for ----------------------------------------------------------------------


def test_other_networks_are_refused() -> None:
    encoder = GraphConstructor(2, 1, 1, 4, 4, activations=ACTIVATIONS)
    inr = neural_graph(mlp_layers((2, 3, 1)))
    with pytest.raises(ValueError, match="has 2 hidden layers, the encoder was made for at most 1"):
        encoder.labels(neural_graph(mlp_layers((2, 3, 3, 1))))
    with pytest.raises(ValueError, match="has 3 inputs, the encoder was made for 2"):
        encoder.labels(neural_graph(mlp_layers((3, 3, 1))))
    with pytest.raises(ValueError, match="has 5 outputs, the encoder was made for 1"):
        encoder.labels(neural_graph(mlp_layers((2, 3, 5))))
    with pytest.raises(ValueError, match=r"unknown activations \['sine'\]: the encoder knows none, relu, gelu"):
        encoder.labels(inr, ["sine"])
    with pytest.raises(ValueError, match=r"the activations of 1 hidden layers of the network, got \['relu', 'relu'\]"):
        encoder.labels(inr, ["relu", "relu"])
    more = GraphConstructor(2, 1, 1, 4, 4, activations=(*ACTIVATIONS, "sine"))
    assert more.labels(inr, ["sine"]).activation.tolist() == [-1, -1, 7, 7, 7, -1]
    labels = encoder.labels(inr)
    with pytest.raises(ValueError, match="expected 1 values of an edge, got 9"):
        encoder(torch.zeros(6, 1), torch.zeros(9, 9), labels)
    with pytest.raises(ValueError, match="expected no probe features"):
        encoder(torch.zeros(6, 1), torch.zeros(9, 1), labels, torch.zeros(6, 4))
    with pytest.raises(ValueError, match="expected probe features"):
        GraphConstructor(2, 1, 1, 4, 4, num_probes=2)(torch.zeros(6, 1), torch.zeros(9, 1), labels)


def test_a_map_larger_than_the_embedding_is_refused() -> None:
    wiring = neural_graph(WildParkCNN((1, 2), (3,), 2, map_size=16).declare(), flatten="channel_first")
    encoder = GraphConstructor(1, 1, 2, 4, 4, slots=9, map_size=9)
    with pytest.raises(ValueError, match="last map has 16 positions, the encoder was made for at most 9"):
        encoder.labels(wiring)


def test_shallow_networks_share_the_rows_of_the_outputs() -> None:
    encoder = GraphConstructor(2, 3, 2, 4, 4)
    assert encoder.labels(neural_graph(mlp_layers((2, 2)))).position.tolist() == [0, 1, 5, 6]
    assert encoder.labels(neural_graph(mlp_layers((2, 1, 1, 2)))).position.tolist() == [0, 1, 2, 3, 5, 6]


def test_linear_encoder_without_embeddings() -> None:
    encoder = GraphConstructor(2, 0, 1, 4, 3, num_frequencies=None, pos_embed=False)
    wiring = neural_graph(mlp_layers((2, 1)))
    nodes, edges = encoder(torch.zeros(0, 3, 1), torch.zeros(0, 2, 1), encoder.labels(wiring))
    assert (nodes.shape, edges.shape) == ((0, 3, 4), (0, 2, 3)), "an empty batch"
    again = [encoder(torch.ones(3, 1), torch.ones(2, 1), encoder.labels(wiring)) for _ in range(2)]
    assert torch.equal(again[0][0], again[1][0])
