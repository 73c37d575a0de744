"""Explicit graphs and blocks give the same numbers and gradients, alone and in batches; symmetry; both passes agree."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphlab.nn.models.gmn import GMN, GMNEditor, explicit
from graphlab.nn.models.gmn import passes as passes_module
from graphlab.weightgraph import WeightGraph, WeightGraphBatch, random_permutations
from tests.architectures import ARCHITECTURES
from tests.nn.gmn.networks import KINDS, listed, member
from tests.weightgraph.batches import DIVISION, batched

MEMBERS = st.lists(st.sampled_from(KINDS), min_size=1, max_size=3)
OPTIONS: dict[str, dict[str, Any]] = {
    "directed": {},
    "undirected": {"undirected": True, "activation": "relu"},
    "fourier": {
        "undirected": True,
        "pre_encoder_ff": True,
        "pre_encoder_norms": True,
        "pre_encoder_post_activation": True,
        "pool_type": "node_edge_ds",
        "readout_layers": 3,
    },
    "raw": {"pre_encoder": False, "undirected": True, "pool_type": "mean"},
    "sum": {"aggregation": "sum", "normalize_depth": True},
    "max": {"aggregation": "max", "undirected": True},
    "grit": {"gnn_type": "grit", "num_heads": 3, "undirected": True},
    "plain": {"gnn_type": "empnn", "undirected": True},
    "plain max": {"gnn_type": "empnn", "aggregation": "max"},
    "identity": {"gnn_type": "identity"},
}


def model_of(options: dict[str, Any], layers: int = 2) -> GMN:
    torch.manual_seed(0)
    return GMN(6, layers, 3, **options).double()


def gradients(out: Tensor, model: torch.nn.Module) -> list[Tensor | None]:
    parameters = list(model.parameters())
    return list(torch.autograd.grad(out.square().sum(), parameters, allow_unused=True))


@pytest.mark.parametrize("name", OPTIONS)
@given(
    kinds=MEMBERS,
    large=DIVISION,
    layers=st.integers(1, 3),
    training=st.booleans(),
    tile=st.sampled_from([400, 1 << 17]),
)
@settings(deadline=None, max_examples=5)
def test_blocks_are_explicit_graphs(
    name: str, kinds: list[str], large: int, layers: int, training: bool, tile: int
) -> None:
    members = [member(kind, seed, torch.float64) for seed, kind in enumerate(kinds)]
    model = model_of(OPTIONS[name] | {"attention_dropout": 0.0}, layers).train(training)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes_module, "TILE", tile)
        found = model(batched(members, large))
        grads = gradients(found, model)
    if training:  # running statistics are updated
        model = model_of(OPTIONS[name] | {"attention_dropout": 0.0}, layers).train()
    expected = model(listed(members))
    torch.testing.assert_close(found, expected)
    for own, other in zip(grads, gradients(expected, model), strict=True):
        assert (own is None) == (other is None)
        if own is not None:
            torch.testing.assert_close(own, other)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(batched(members, large)), model(listed(members)))


@pytest.mark.parametrize("name", OPTIONS)
def test_a_batch_is_its_members(name: str) -> None:
    members = [member(kind, seed, torch.float64) for seed, kind in enumerate([*KINDS, "mlp", "mlp"])]
    model = model_of(OPTIONS[name]).eval()
    alone = torch.cat([model(explicit(*own)) for own in members])
    torch.testing.assert_close(model(listed(members)), alone)
    torch.testing.assert_close(model(WeightGraphBatch(members)), alone)
    assert model.embed(WeightGraphBatch(members)).shape[0] == len(members)


@pytest.mark.parametrize("name", ["undirected", "sum", "grit", "plain", "max"])
def test_gradients_reach_the_networks(name: str) -> None:
    wiring, tensors = member("cnn", 3, torch.float64)
    model = model_of(OPTIONS[name] | {"attention_dropout": 0.0}).eval()
    names = ["0.weight", "1.bias", "2.conv1.weight"]

    def through(*values: Tensor) -> Tensor:
        return model(WeightGraphBatch([(wiring, tensors | dict(zip(names, values, strict=True)))]))

    values = [tensors[name].clone().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(through, values, fast_mode=True)
    listed_values = torch.autograd.grad(
        model(explicit(wiring, tensors | dict(zip(names, values, strict=True)))).sum(), values
    )
    for own, other in zip(torch.autograd.grad(through(*values).sum(), values), listed_values, strict=True):
        torch.testing.assert_close(own, other)


@given(kinds=MEMBERS, large=DIVISION, undirected=st.booleans())
@settings(deadline=None, max_examples=8)
def test_edits_of_blocks_are_those_of_explicit_graphs(kinds: list[str], large: int, undirected: bool) -> None:
    members = [member(kind, seed, torch.float64) for seed, kind in enumerate(kinds)]
    torch.manual_seed(1)
    model = GMNEditor(6, 2, undirected=undirected, scale=0.5).double()
    found = model(batched(members, large))
    for (wiring, tensors), own in zip(members, found.state_dicts(), strict=True):
        edited = model(explicit(wiring, tensors))
        expected = wiring.read_back(edited.edge_attr[:, :1], tensors)
        for name, tensor in expected.items():
            torch.testing.assert_close(own[name], tensor)
            assert name == "scalar" or not torch.allclose(tensor, tensors[name])


# --- symmetry -------------------------------------------------------------------------------------------------------


def traced(name: str) -> WeightGraph:
    example = ARCHITECTURES[name]()
    return WeightGraph.from_module(example.module, example.args, example.kwargs)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_permuted_neurons_of_any_architecture(name: str) -> None:
    """Embeddings are the same; edits are the permuted edits."""
    graph = traced(name)
    wiring = graph.wiring("exact")
    options = {"slots": wiring.slots, "num_node_types": 3, "num_edge_types": 1 + max(b.type for b in wiring.blocks)}
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    permutations = random_permutations(graph.structure, generator=generator)
    permuted = graph.permute(permutations)
    with torch.no_grad():
        model = GMN(4, 2, 2, undirected=True, **options)
        found = model(WeightGraphBatch([(wiring, graph.tensors), (wiring, permuted.tensors)]))
        torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
        editor = GMNEditor(4, 2, scale=1.0, **options)
        edited, of_permuted = editor.edit([graph, permuted], "exact")
        expected = edited.permute(permutations)
    for key, tensor in of_permuted.tensors.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, expected.tensors[key], rtol=1e-3, atol=1e-4)


def test_kernels_in_slots() -> None:
    """The exact drawing has kernels on one edge."""
    graph = traced("resnet")
    wiring = graph.wiring("exact")
    assert wiring.slots > 1
    options = {"slots": wiring.slots, "num_node_types": 3, "num_edge_types": 1 + max(b.type for b in wiring.blocks)}
    torch.manual_seed(0)
    model, editor = GMN(4, 2, 2, undirected=True, **options), GMNEditor(4, 2, scale=1.0, **options)
    data = explicit(wiring, graph.tensors)
    with torch.no_grad():
        torch.testing.assert_close(model(data), model(WeightGraphBatch([(wiring, graph.tensors)])))
        (edited,) = editor.edit([graph], "exact")
        expected = wiring.read_back(editor(data).edge_attr[:, : wiring.slots], graph.tensors)
    for name, tensor in expected.items():
        torch.testing.assert_close(edited.tensors[name], tensor)
