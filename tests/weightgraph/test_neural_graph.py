"""Neural graphs: the published cases, and what the drawing means."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphlab.conformance import Status, run, strip_case
from graphlab.weightgraph.layouts.layers import Conv, Linear, Norm, ResidualAttention
from graphlab.weightgraph.layouts.neural_graph import (
    EdgeType,
    both_ways,
    both_ways_features,
    degree_histogram,
    dense,
    fixed_edge_index,
    last_map,
    linear_edges,
    map_positions,
    mlp_layers,
    neural_graph,
    nonzero_mask,
)
from tests.weightgraph.declared import ones

SMALL = Path(__file__).parents[1] / "golden" / "neural_graphs"
DATA = os.environ.get("GRAPHLAB_DATA")
ALL = (Path(DATA) if DATA else Path(__file__).parents[3] / "shared" / "data").parent / "golden" / "neural_graphs"


# --- the published construction ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [SMALL, ALL], ids=["small", "all"])
def test_golden_cases(folder: Path, tmp_path: Path) -> None:
    cases = sorted(folder.glob("graph_*.json"))
    if not cases:
        pytest.skip(f"no golden cases in {folder}")
    rows = [row for case in cases for row in run(case).rows]
    assert {row.status for row in rows} == {Status.PASS}, [row for row in rows if row.status != Status.PASS]
    for case in cases:
        assert run(strip_case(case, tmp_path)).rows[0].status == Status.DUMPED


def test_a_perceptron_node_by_node_and_edge_by_edge() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.SiLU(), nn.Linear(3, 1, bias=False))
    tensors = {name: tensor.detach() for name, tensor in net.named_parameters()}
    wiring = neural_graph(net)
    assert wiring.node_values(tensors).flatten().tolist() == [0, 0, *tensors["0.bias"].tolist(), 0]
    assert wiring.edge_index().tolist() == [[0, 0, 0, 1, 1, 1, 2, 3, 4], [2, 3, 4, 2, 3, 4, 5, 5, 5]]
    expected = [*tensors["0.weight"].t().flatten(), *tensors["2.weight"].flatten()]
    assert wiring.edge_values(tensors).flatten().tolist() == expected
    assert [own.layer for own in wiring.nodes.values()] == [0, 1, 2]
    assert [own.ordered for own in wiring.nodes.values()] == [True, False, True]


@pytest.mark.parametrize("sizes", [(2, 32, 32, 1), [3, 1]])
def test_layouts_are_any_sequence(sizes: tuple[int, ...]) -> None:
    wiring = neural_graph(mlp_layers(sizes))
    assert wiring.num_nodes == sum(sizes)
    assert wiring.num_edges == sum(a * b for a, b in pairwise(sizes))


def test_degrees_are_counted_forward_and_over_all_graphs() -> None:
    inr = neural_graph(mlp_layers((2, 32, 32, 1)))
    histogram = degree_histogram([inr])
    assert {k: n for k, n in enumerate(histogram.tolist()) if n} == {0: 2, 2: 32, 32: 33}
    degrees = torch.arange(len(histogram)) + 1
    assert (histogram * degrees.log()).sum() / histogram.sum() == pytest.approx(2.246871), "the published delta"
    both = degree_histogram([inr, neural_graph(mlp_layers((1, 1)))])
    assert both[:3].tolist() == [3, 1, 32]


def test_both_ways_are_the_dense_channels_at_the_edges() -> None:
    wiring = neural_graph(mlp_layers((2, 3, 2)))
    values, index = torch.randn(4, wiring.num_edges, 2), wiring.edge_index()
    matrix = dense(index, values, wiring.num_nodes)
    channels = torch.cat([matrix, matrix.transpose(1, 2), matrix + matrix.transpose(1, 2)], dim=-1)
    source, target = both_ways(index)
    assert torch.equal(both_ways_features(values), channels[:, source, target])
    assert torch.equal(dense(torch.stack([source, target]), both_ways_features(values), wiring.num_nodes), channels)


def test_the_published_mask_leaves_out_values_that_are_zero() -> None:
    matrix = dense(torch.tensor([[0, 0], [1, 2]]), torch.tensor([[0.0], [2.0]]), 3)
    assert nonzero_mask(matrix, symmetric=False).nonzero()[:, :2].tolist() == [[0, 2]]
    assert nonzero_mask(matrix, symmetric=True).nonzero()[:, :2].tolist() == [[0, 2], [2, 0]]
    assert dense(torch.tensor([[0], [1]]), torch.ones(1, 1), 2, torch.tensor([7.0]))[..., 0].tolist() == [
        [7, 1],
        [7, 7],
    ]


# --- what the drawing means -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [(3, 5), (1, 1), (5, 3), (5, 7)])
def test_a_smaller_kernel_lies_in_the_middle(kernel: tuple[int, int]) -> None:
    conv = nn.Conv2d(2, 4, kernel, padding=(kernel[0] // 2, kernel[1] // 2))
    wiring = neural_graph([conv], max_kernel=(5, 7))
    edges = wiring.edge_values({"0.weight": conv.weight.detach(), "0.bias": conv.bias.detach()})  # type: ignore[union-attr]
    image = torch.randn(1, 2, 9, 9)
    padded = F.conv2d(image, edges.view(2, 4, 5, 7).transpose(0, 1), conv.bias, padding=(2, 3))
    assert torch.allclose(padded, conv(image), atol=1e-6)


def test_an_even_kernel_is_nearer_to_the_first_slot() -> None:
    wiring = neural_graph([Conv("0", 1, 1, (2,), bias=False), Conv("1", 1, 1, (5,), bias=False)])
    values = wiring.edge_values({"0.weight": torch.tensor([[[1.0, 2.0]]]), "1.weight": torch.ones(1, 1, 5)})
    assert values[0].tolist() == [0, 1, 2, 0, 0]


def test_linear_edges_apart_carry_their_weight_in_the_first_slot() -> None:
    layers = [Conv("0", 2, 3, (3, 3)), Norm("1", "bn", 3), Linear("2", 3, 4)]
    for apart in (False, True):
        wiring = neural_graph(layers, linear_as_conv=not apart)
        tensors = ones(layers)
        assert linear_edges(wiring).sum() == (3 + 12) * apart
        assert (wiring.edge_values(tensors)[6:].argmax(dim=1) == (0 if apart else 4)).all()


def test_a_torch_flattened_map_has_the_column_of_each_node() -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(3 * 4, 5))
    tensors = {name: tensor.detach() for name, tensor in net.named_parameters()}
    image = torch.randn(1, 1, 4, 4)
    answers = net[0](image)
    for flatten, order in (("channel_first", (1, 2, 3)), ("channel_last", (2, 3, 1))):
        wiring = neural_graph(net, flatten=flatten)  # type: ignore[arg-type]
        nodes = wiring.nodes["0"]
        assert nodes.size == 12
        bias = wiring.node_values(tensors)[nodes.start : nodes.start + 12, 0]
        positions = map_positions(wiring)[nodes.start : nodes.start + 12]
        kernels = wiring.edge_values(tensors)[:12].view(12, 3, 3)
        patches = image.unfold(2, 3, 1).unfold(3, 3, 1).reshape(4, 3, 3)
        made = (kernels * patches[positions]).sum((1, 2)) + bias
        assert torch.allclose(made, answers.permute(0, *order).flatten(), atol=1e-6)
        assert (map_positions(wiring) >= 0).sum() == 12
        assert torch.equal(last_map(wiring), map_positions(wiring) >= 0)
    columns = wiring.edge_values(tensors)[12:, 4].view(12, 5)
    assert torch.equal(columns.t(), tensors["2.weight"]), "columns are in the order of the nodes, whichever it is"


def test_residuals_join_the_channels_that_both_have_with_the_identity_kernel() -> None:
    layers = [Conv("a", 1, 2, (3, 3)), Conv("b", 2, 5, (3, 3)), Conv("c", 5, 4, (3, 3)), Linear("d", 4, 1)]
    wiring = neural_graph(layers, residuals=(-1, -1, 0))
    assert fixed_edge_index(wiring).tolist() == [[1, 2], [8, 9]]
    assert wiring.edge_values(ones(layers))[-2:].tolist() == [[0, 0, 0, 0, 1, 0, 0, 0, 0]] * 2
    assert wiring.edge_type[-2:].tolist() == [EdgeType.FIXED] * 2
    for flatten, targets in (("channel_last", [8, 9, 12, 13]), ("channel_first", [8, 9, 10, 11])):
        wide = [*layers[:-1], Linear("d", 8, 1)]
        index = fixed_edge_index(neural_graph(wide, residuals=(-1, -1, 0), flatten=flatten))  # type: ignore[arg-type]
        assert index[1].tolist() == targets, "every copy of the first two channels"


def test_residuals_reach_what_the_norm_after_a_convolution_gives() -> None:
    layers = [Conv("a", 1, 2, (1, 1)), Norm("n", "bn", 2), Conv("b", 2, 2, (1, 1)), Norm("m", "bn", 2)]
    wiring = neural_graph(layers, residuals=[-1, 0])
    block = wiring.blocks[-1]
    assert (block.source, block.target, block.values) == ("n", "m", 1.0)


def test_attention_leads_from_queries_over_keys_and_heads_to_values() -> None:
    wiring = neural_graph([ResidualAttention("0", 6, num_heads=2)])
    ends = [(block.source.split()[-1], block.target.split()[-1]) for block in wiring.blocks]
    assert ends == [
        ("inputs", "queries"),
        ("inputs", "keys"),
        ("inputs", "values"),
        ("queries", "keys"),
        ("keys", "heads"),
        ("heads", "values"),
        ("values", "0.attn.out_proj"),
        ("inputs", "0.attn.out_proj"),
    ]
    source, target = wiring.edge_index()
    keys, heads = wiring.nodes["0 keys"].start, wiring.nodes["0 heads"].start
    into = (target >= heads) & (target < heads + 2)
    assert (source[into] - keys).tolist() == [0, 1, 2, 3, 4, 5]
    assert (target[into] - heads).tolist() == [0, 0, 0, 1, 1, 1]
