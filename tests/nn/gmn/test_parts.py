"""Parts of graph metanetworks: passes by hand and by autograd, dropout, norms over parts, options, files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from graphlab.nn.models.gmn import GMN, MPNN, GMNEditor, Graph, ResidualMPNN, explicit, read
from graphlab.nn.models.gmn import passes as passes_module
from graphlab.nn.models.gmn.ends import tiles
from graphlab.nn.models.gmn.mpnn import Block
from graphlab.nn.models.gmn.networks import READERS, ResidualSelfAttention
from graphlab.nn.models.gmn.norm import batch_norm
from graphlab.nn.models.gmn.passes import edge_pass, value_map
from graphlab.weightgraph import WeightGraph, WeightGraphBatch
from tests.nn.gmn.networks import listed, member
from tests.weightgraph.batches import batched


@given(shape=st.lists(st.integers(1, 7), min_size=1, max_size=4), most=st.integers(1, 60))
@settings(deadline=None)
def test_tiles_cover_edges_once(shape: list[int], most: int) -> None:
    seen = torch.zeros(*shape, 2)
    for tile in tiles(shape, most):
        part = seen[tile]
        assert part.is_contiguous()
        part += 1
    assert bool((seen == 1).all())


@pytest.mark.parametrize("large", [1, 10**9])
@pytest.mark.parametrize("nodes", [True, False])
@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_the_pass_by_hand_is_the_one_by_autograd(large: int, nodes: bool, activation: str) -> None:
    torch.manual_seed(0)
    graph = read(batched([member("every kind", 1, torch.float64), member("cnn", 2, torch.float64)], large)).both_ways()
    block = Block(6, nodes, activation, 0.0).double()  # type: ignore[arg-type]
    x = torch.randn(graph.num_nodes, 6, dtype=torch.float64)
    source, target = block.conv.terms(x)
    for edges in graph.edges:
        states = torch.randn(*edges.values.shape[:-1], 6, dtype=torch.float64, requires_grad=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(passes_module, "TILE", 60)
            found = block.edge_pass(edges, states, source, target, overwrite=False)
            expected = edge_pass(block.edge_function(), edges, states, source, target, graph.num_nodes)
        inputs = [states, *block.parameters()]
        results = []
        for new, sent in (found, expected):
            assert new is not None
            assert (sent is None) is not nodes
            out = new.square().sum() + (0 if sent is None else sent.square().sum())
            grads = torch.autograd.grad(out, inputs, retain_graph=True, allow_unused=True)
            results.append([new, *([] if sent is None else [sent]), *(own for own in grads if own is not None)])
        for own, other in zip(*results, strict=True):
            torch.testing.assert_close(own, other)


@pytest.mark.parametrize("gnn_type", ["empnn_dit", "empnn"])
def test_dropout_draws_the_same_in_the_backward_pass(gnn_type: str) -> None:
    members = [member("cnn", 1, torch.float64)]
    torch.manual_seed(0)
    model = GMN(4, 2, 1, gnn_type=gnn_type, dropout=0.4).double()  # type: ignore[arg-type]
    bias = model.pre_encoder.edge_attr_proj.bias  # type: ignore[union-attr]

    def out(value: Tensor) -> Tensor:
        torch.manual_seed(7)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bias, "data", value.detach())
            return model(batched(members, 1)).sum()

    start = bias.detach().clone()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes_module, "TILE", 100)
        (gradient,) = torch.autograd.grad(out(start), [bias])
        step = torch.randn_like(start)
        difference = (out(start + 1e-5 * step) - out(start - 1e-5 * step)) / 2e-5
    torch.testing.assert_close((gradient * step).sum(), difference.detach(), rtol=1e-4, atol=1e-7)
    assert out(start) != model.eval()(batched(members, 1)).sum()


@pytest.mark.parametrize("momentum", [0.1, None])
def test_norms_over_parts_are_norms_of_all(momentum: float | None) -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.BatchNorm1d(3, momentum=momentum).double() for _ in range(2))
    parts = [torch.randn(2, 4, 3).double(), torch.randn(5, 3).double()]
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        expected = theirs(torch.cat([part.reshape(-1, 3) for part in parts]))
        found = batch_norm(ours, parts)
        assert [own.shape for own in found] == [own.shape for own in parts]
        torch.testing.assert_close(torch.cat([own.reshape(-1, 3) for own in found]), expected)
    for name, buffer in ours.state_dict().items():
        torch.testing.assert_close(buffer, theirs.state_dict()[name])
    with pytest.raises(ValueError, match="needs two edges or nodes at least, got 1"):
        batch_norm(ours.train(), [torch.zeros(1, 3).double()])


def test_zero_init_begins_at_zero() -> None:
    model = ResidualMPNN(3, 6, 8, 2, 3, zero_init=True)
    wiring, tensors = member("mlp", 0)
    data = explicit(wiring, tensors)
    graph = Graph.of_list(data.x, data.edge_index, data.edge_attr)
    x, (edges,) = model(graph, data.x.float(), value_map)
    assert torch.equal(x, model.node_embed(data.x.float()))
    assert not edges.any()


def test_a_single_plain_layer_updates_edges_only() -> None:
    model = MPNN(3, 6, 8, 5, 2, 1)
    wiring, tensors = member("mlp", 0)
    data = explicit(wiring, tensors)
    x = data.x.float()
    found, (edges,) = model(Graph.of_list(x, data.edge_index, data.edge_attr), x, value_map)
    source, target = data.edge_index
    assert found is x
    torch.testing.assert_close(
        edges, model.convs[0].edge_model.edge_mlp(torch.cat([x[source], x[target], data.edge_attr], dim=1))
    )


def test_depth_is_normalised_by_each_network() -> None:
    """A network looks the same to the model whatever else is in the batch, and layers end at 1."""
    for graph in (batched([member("mlp", 0), member("cnn", 1)], 1), listed([member("mlp", 0), member("cnn", 1)])):
        own = read(graph, normalize_depth=True)
        depth = torch.zeros(2).scatter_reduce(0, own.owner, own.nodes[:, 0], "amax")
        assert depth.tolist() == [1, 1]
        assert 0 < float(own.table[:, 0].max()) <= 1


def test_a_network_without_edges_and_an_empty_batch_entry() -> None:
    data = listed([member("mlp", 0), member("cnn", 1)])
    kept = data.batch[data.edge_index[0]] == 0
    data.edge_index, data.edge_attr = data.edge_index[:, kept], data.edge_attr[kept]
    for gnn_type in ("empnn_dit", "empnn", "grit", "identity"):
        model = GMN(6, 2, 3, gnn_type=gnn_type, num_heads=2, pool_type="node_edge_ds").eval()  # type: ignore[arg-type]
        out = model(data)
        assert out.shape == (2, 3)
        assert out.isfinite().all()
        none = data.clone()
        none.edge_index, none.edge_attr = none.edge_index[:, :0], none.edge_attr[:0]
        assert model(none).shape == (2, 3)
        model(none).sum().backward()


def test_models_in_files(tmp_path: Path) -> None:
    model = GMN(8, 2, 3, gnn_type="grit", num_heads=2, undirected=True).eval()
    model.save_pretrained(tmp_path)
    batch = batched([member("mlp", 0), member("cnn", 1)], 1)
    assert torch.equal(GMN.from_pretrained(tmp_path)(batch), model(batch))


def test_edited_networks_run_and_learn() -> None:
    """Gradients of what edited networks compute reach the editor; the given networks stay as they were."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    inputs = torch.randn(30, 2)
    graph = WeightGraph.from_module(net, (inputs,))
    before = {name: own.clone() for name, own in graph.tensors.items()}
    editor = GMNEditor(8, 2)
    optimizer = torch.optim.Adam(editor.parameters(), lr=3e-2)
    losses = []
    for _ in range(30):
        (edited,) = editor.edit([graph])
        out = torch.func.functional_call(net, dict(edited.tensors), (inputs,))
        loss = (out - (net(inputs).detach() + 1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert all(torch.equal(own, before[name]) for name, own in graph.tensors.items())


def test_types_that_tell_queries_from_values() -> None:
    """With the published types, an entry of the queries' weight may be swapped with one of the values' unseen."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), ResidualSelfAttention(4, 2))
    graph = WeightGraph.from_module(net, (torch.randn(1, 5, 3),))
    weight = graph.tensors["1.attn.in_proj_weight"]
    swapped = weight.clone()
    swapped[[0, 8], 1] = weight[[8, 0], 1]
    for distinct, types in ((False, 14), (True, 21)):
        wiring = graph.wiring("parameter_graph", readers=READERS, distinct_types=distinct)
        tensors = [graph.tensors, {**graph.tensors, "1.attn.in_proj_weight": swapped}]
        with torch.no_grad():
            one, other = GMN(8, 2, 4, num_edge_types=types)(WeightGraphBatch([(wiring, own) for own in tensors]))
        assert torch.allclose(one, other, atol=1e-6) is not distinct
