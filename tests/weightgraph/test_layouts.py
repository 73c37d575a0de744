"""Layouts by name: every network in each that can hold it, and back; how one is added; what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphlab.weightgraph import WeightGraph, equal_bytes
from graphlab.weightgraph.layouts import layout, layouts, registry
from graphlab.weightgraph.layouts.nino import EdgeType, NodeType
from graphlab.weightgraph.wiring import Block, Drawing, View, Wiring, WiringError
from tests.architectures import ARCHITECTURES


def graph_of(name: str) -> WeightGraph:
    example = ARCHITECTURES[name]()
    outputs = [example.output] if isinstance(example.output, str) else None
    return WeightGraph.from_module(example.module, example.args, example.kwargs, outputs)


def types_of(wiring: Wiring, parameter: str) -> list[str]:
    return [
        EdgeType(b.type).name for b in wiring.blocks if isinstance(b.values, View) and b.values.parameter == parameter
    ]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_nino_on_the_neurons_of_a_structure_holds_every_network(name: str) -> None:
    graph = graph_of(name)
    data = graph.to_data("nino")
    assert data.validate()
    loops = data.edge_index[0] == data.edge_index[1]
    assert data.num_nodes == int((data.edge_type == EdgeType.SELF_LOOP).sum()) <= int(loops.sum())
    assert equal_bytes(graph.with_data(data, "nino").state_dict(), graph.state_dict())
    edited = graph.with_data(data.update({"edge_attr": data.edge_attr + 1}), "nino")
    for key, tensor in graph.tensors.items():
        moved = tensor.is_floating_point() and not key.endswith(("running_mean", "running_var"))
        torch.testing.assert_close(edited.tensors[key], tensor + 1 if moved else tensor)


def test_nino_knows_what_the_parameters_of_a_transformer_are() -> None:
    wiring = graph_of("llama").wiring("nino")
    prefix = "model.layers.0.self_attn."
    assert set(types_of(wiring, f"{prefix}q_proj.weight")) == {"QUERY"}
    assert set(types_of(wiring, f"{prefix}k_proj.weight")) == {"KEY"}
    assert set(types_of(wiring, f"{prefix}v_proj.weight")) == {"VALUE"}
    assert types_of(wiring, "model.embed_tokens.weight") == ["WORD"]
    assert types_of(wiring, "model.norm.weight") == ["NORM"]
    key = next(b for b in wiring.blocks if b.type == EdgeType.KEY)
    query = next(b for b in wiring.blocks if b.type == EdgeType.QUERY)
    assert key.target == query.source == "residual", "keys are drawn from the query neurons back to the stream"
    heads = wiring.nodes[f"{prefix}heads"]
    assert (heads.type, heads.size) == (NodeType.HEAD, 2)


@pytest.mark.parametrize(
    ("name", "parameter", "types"),
    [
        ("gpt2", "transformer.h.0.attn.c_attn.weight", ["QUERY", "KEY", "VALUE"]),
        ("gpt_neox", "gpt_neox.layers.0.attention.query_key_value.weight", ["QUERY"] * 2 + ["KEY"] * 2 + ["VALUE"]),
        ("bert_mlm", "bert.embeddings.word_embeddings.weight", ["WORD", "LINEAR"]),
        ("bert_mlm", "bert.embeddings.position_embeddings.weight", ["POSITION"]),
        ("bert_mlm", "bert.embeddings.token_type_embeddings.weight", ["BIAS"]),
        ("vit", "vit.embeddings.cls_token", ["WORD"]),
        ("resnet", "4.0.conv1.weight", ["CONV"]),
        ("mha_cross", "query.weight", ["LINEAR"]),
    ],
)
def test_nino_tells_fused_projections_and_tables_apart(name: str, parameter: str, types: list[str]) -> None:
    assert types_of(graph_of(name).wiring("nino"), parameter) == types


def test_positions_on_request() -> None:
    graph = graph_of("llama")
    data = graph.to_data("nino", positions=3)
    assert data.lpe.shape == (data.num_nodes, 3)
    torch.testing.assert_close(data.lpe.T @ data.lpe, torch.eye(3))
    assert "lpe" not in graph.to_data("nino")


def test_published_drawings_by_the_configuration_or_by_option() -> None:
    graph = graph_of("gpt2")
    by_config = graph.wiring("nino", wiring="published")
    saved = WeightGraph(graph.structure, graph.tensors)
    by_option = saved.wiring("nino", wiring="published", family="gpt2", num_heads=4)
    assert (by_config.nodes, by_config.blocks) == (by_option.nodes, by_option.blocks)
    with pytest.raises(WiringError, match=r"no published drawing of mixtral.*wiring='exact'"):
        graph_of("mixtral").wiring("nino", wiring="published")
    with pytest.raises(WiringError, match=r"0\.weight: its kernel has 49 positions, and an edge holds 9"):
        graph_of("resnet").wiring("nino", max_slots=9)


def test_parameter_graphs_need_the_modules() -> None:
    graph = graph_of("mlp")
    assert graph.wiring("parameter_graph").num_edges == graph.num_parameters
    assert graph.wiring("parameter_graph", selfloop=True).num_nodes < graph.wiring("parameter_graph").num_nodes
    bare = WeightGraph(graph.structure, graph.tensors)
    with pytest.raises(WiringError, match="made of tensors alone"):
        bare.wiring("parameter_graph")
    same = bare.wiring("parameter_graph", layers=graph.module)
    assert same.blocks == graph.wiring("parameter_graph").blocks
    with pytest.raises(WiringError, match="expected a sequence of modules, got UNet"):
        graph_of("unet").wiring("parameter_graph")


@pytest.mark.parametrize("name", ["mlp", "conv1d_net"])
def test_neural_graphs_carry_biases_on_their_nodes(name: str) -> None:
    graph = graph_of(name)
    data = graph.to_data("neural_graph")
    weights = sum(tensor.numel() for tensor in graph.tensors.values() if tensor.dim() > 1)
    assert data.edge_attr.numel() >= weights
    assert data.x.shape == (data.num_nodes, 1)
    blank = WeightGraph(graph.structure, {n: t.clone().zero_() for n, t in graph.tensors.items()}, graph.module)
    parameters = dict(graph.module.named_parameters())  # type: ignore[union-attr]
    for key, tensor in blank.with_data(data, "neural_graph").tensors.items():
        assert torch.equal(tensor, parameters.get(key, torch.zeros_like(tensor)))


def test_a_layout_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_LAYOUTS", layouts())

    @layout("weights_only")
    def weights_only(graph: WeightGraph, scale: int = 1) -> Wiring:
        drawing = Drawing()
        drawing.nodes("all", 7 * scale)
        shape = tuple(graph.tensors["0.weight"].shape)
        drawing.nodes("in", shape[1])
        drawing.nodes("out", shape[0])
        drawing.edges(Block("in", "out", shape[::-1], (0,), (1,), View("0.weight", (1, 0))))
        return drawing.wiring()

    graph = WeightGraph.from_module(nn.Sequential(nn.Linear(2, 3)), (torch.ones(1, 2),))
    assert graph.to_data("weights_only", scale=2).num_nodes == 14 + 5
    assert "weights_only" in layouts()
    with pytest.raises(ValueError, match="there is a layout 'weights_only' already"):
        layout("weights_only")(weights_only)
    with pytest.raises(WiringError, match="no option colour; it has scale"):
        graph.wiring("weights_only", colour=1)
    with pytest.raises(WiringError, match=r"no layout 'exakt'; there are .*exact.*nino"):
        graph.wiring("exakt")


def test_a_graph_of_another_network_is_refused() -> None:
    graph, other = graph_of("mlp"), graph_of("siren")
    with pytest.raises(WiringError, match="of another network"):
        graph.with_data(other.to_data("nino"), "nino")
    with pytest.raises(WiringError, match="of another network"):
        graph.with_data(graph.to_data("exact"), "nino")
