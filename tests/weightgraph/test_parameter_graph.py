"""Parameter graphs: the published cases, sizes and quirks; values there and back; relabelling; what cannot be drawn."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from graphlab.conformance import Status, run, strip_case
from graphlab.weightgraph import equal_bytes
from graphlab.weightgraph.layouts.parameter_graph import (
    Conv,
    EdgeType,
    Layer,
    Linear,
    NodeType,
    Norm,
    ResidualAttention,
    ResidualConv,
    ResidualFFN,
    SetLinear,
    TriplanarGrid,
    edge_features,
    edge_labels,
    node_features,
    parameter_graph,
)
from graphlab.weightgraph.wiring import Wiring, WiringError

DATA = os.environ.get("GRAPHLAB_DATA")
SHARED = Path(DATA) if DATA else Path(__file__).parents[3] / "shared" / "data"
GOLDEN = SHARED.parent / "golden" / "metanetworks"


# --- the published construction -------------------------------------------------------------------------------------


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden cases in {GOLDEN}")
def test_golden_cases(tmp_path: Path) -> None:
    cases = sorted(GOLDEN.glob("pg_*.json"))
    rows = [row for case in cases for row in run(case).rows]
    assert len(rows) == len(cases) > 0
    assert {row.status for row in rows} == {Status.PASS}, [row for row in rows if row.status != Status.PASS]
    for case in cases:
        assert run(strip_case(case, tmp_path)).rows[0].status == Status.DUMPED


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU()),
        nn.Sequential(nn.Conv2d(32, 32, 3), nn.BatchNorm2d(32), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)),
    )


def vit() -> list[Layer]:
    layers: list[Layer] = [Conv("stem", 3, 64, (4, 4))]
    for block in range(2):
        layers += [
            Norm(f"{block}.norm1", "ln", 64),
            ResidualAttention(f"{block}.attention", 64),
            Norm(f"{block}.norm2", "ln", 64),
            ResidualFFN(f"{block}.ffn", 64, 256),
        ]
    return [*layers, Linear("head", 64, 10)]


@pytest.mark.parametrize(("net", "nodes", "edges"), [(mlp, 70, 1185), (cnn, 117, 11_658), (vit, 995, 104_010)])
def test_published_sizes(net, nodes, edges) -> None:  # type: ignore[no-untyped-def]
    wiring = parameter_graph(net())
    assert (wiring.num_nodes, wiring.num_edges) == (nodes, edges)


def test_two_linear_layers_edge_by_edge() -> None:
    net = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 2, bias=False))
    wiring = parameter_graph(net)
    tensors = dict(net.named_parameters())
    assert node_features(wiring).tolist() == [[0, 0, 0], [0, 1, 0], [1, -1, 0], [1, -1, 1], [2, 0, 0], [2, 1, 0]]
    assert wiring.edge_index().tolist() == [[0, 1, 3, 2, 2], [2, 2, 2, 4, 5]]
    features = edge_features(wiring, tensors)
    assert features.dtype == torch.float32
    assert torch.equal(features[:, 0], torch.cat([tensor.flatten() for tensor in net.parameters()]))
    assert features[:, 1:].tolist() == [[0, kind, -1, -1, -1] for kind in (0, 0, 1)] + [[1, 0, -1, -1, -1]] * 2


def test_self_loops_take_the_place_of_units() -> None:
    net = nn.Sequential(nn.Conv1d(2, 3, 5), nn.GroupNorm(3, 3), nn.Conv1d(3, 1, 1))
    plain, loops = parameter_graph(net), parameter_graph(net, selfloop=True)
    assert plain.num_nodes - loops.num_nodes == 4, "two biases, gamma and beta"
    tensors = dict(net.named_parameters())
    assert torch.equal(edge_features(plain, tensors), edge_features(loops, tensors))
    source, target = loops.edge_index()
    alone = torch.isin(loops.edge_type, torch.tensor([EdgeType.CONV_BIAS, EdgeType.GN_GAMMA, EdgeType.GN_BETA]))
    assert torch.equal(source == target, alone)
    assert torch.equal(target[alone], torch.tensor([2, 3, 4] * 3 + [5]))


def test_a_norm_at_the_end_takes_the_order_of_the_outputs_unless_they_are_marked() -> None:
    net = nn.Sequential(nn.Linear(2, 3, bias=False), nn.LayerNorm(3))
    published, marked = (node_features(parameter_graph(net, mark_outputs=marked))[:, 1].tolist() for marked in (0, 1))
    assert published == [0, 1, -1, -1, -1, 0, 0]
    assert marked == [0, 1, 0, 1, 2, -1, -1]


def test_norms_have_the_layer_of_what_they_scale_but_inside_residual_blocks_of_the_convolution() -> None:
    wiring = parameter_graph([Conv("0", 3, 4, (3, 3)), Norm("1", "bn", 4), ResidualConv("2", 4, 5, projected=True)])
    layers = {own.name: own.layer for own in wiring.nodes.values() if own.type == NodeType.BN_GAMMA}
    assert layers == {"1.weight": 1, "2.bn1.weight": 1, "2.bn2.weight": 2, "2.shortcut.1.weight": 2}
    assert [wiring.nodes[name].layer for name in ("2.conv1", "2.conv2", "2.shortcut.0")] == [2, 3, 3]


def test_distinct_types_tell_parallel_edges_apart() -> None:
    layers = [Linear("0", 2, 4), ResidualAttention("1", 4), SetLinear("2", 4, 3)]
    for distinct in (False, True):
        wiring = parameter_graph(layers, distinct_types=distinct)
        edges = torch.cat([wiring.edge_index(), wiring.edge_type.unsqueeze(0)]).t()
        parallel = len(edges) - len(edges.unique(dim=0))
        assert parallel == (0 if distinct else 2 * 16 + 12), "keys, values, and the mean's weight"


def test_the_first_layer_makes_the_inputs_whatever_it_is() -> None:
    assert parameter_graph([Norm("0", "ln", 3), Linear("1", 3, 1)]).num_nodes == 3 + 2 + 1 + 1
    assert parameter_graph([ResidualConv("0", 3, 3), Norm("1", "gn", 3)]).num_nodes == 3 + 2 * (3 + 2) + 2
    assert parameter_graph([ResidualAttention("0", 3, bias=False)]).num_nodes == 3 + 3 + 3


# --- triplanar grids ------------------------------------------------------------------------------------------------


def test_a_correct_grid_joins_each_value_to_its_point_and_feature() -> None:
    grid = TriplanarGrid("0", (1, 6, 4, 4))
    wiring = parameter_graph([grid, Linear("1", 5, 2)], correct_grid=True)
    entries = torch.arange(6 * 16, dtype=torch.float64).view(1, 6, 4, 4)
    tensors = {"0.tgrid": entries, "1.weight": torch.zeros(2, 5), "1.bias": torch.zeros(2)}
    features = edge_features(wiring, tensors)[: entries.numel()]
    source, target = wiring.edge_index()[:, : entries.numel()]
    for plane, feature, row, column in ((0, 0, 0, 3), (1, 1, 2, 1), (2, 1, 3, 0)):
        edge = features[:, 0] == entries[0, 2 * plane + feature, row, column]
        assert source[edge].item() == 3 + 16 * plane + 4 * row + column
        assert target[edge].item() == 3 + 48 + feature
        first, second = (-1 + 2 * place / 3 for place in (column, row))
        expected = [0.0, 0.0, 0.0]
        expected[plane], expected[(plane + 1) % 3] = first, second
        assert features[edge, 3:].squeeze(0).tolist() == pytest.approx(expected)


def test_several_ranges_of_activations_keep_the_order_of_the_weights() -> None:
    layers = [TriplanarGrid("0", (1, 3, 2, 2)), Norm("1", "ln", 4), ResidualFFN("2", 4, 2), Linear("3", 4, 1)]
    for selfloop in (False, True):
        wiring = parameter_graph(layers, selfloop)
        tensors = random_tensors(wiring, layers)
        assert equal_bytes(wiring.read_back(wiring.edge_values(tensors), blank(tensors)), tensors)
        first = wiring.edge_values(tensors)[wiring.edge_type == EdgeType.LIN_WEIGHT]
        assert torch.equal(first[:8].flatten(), tensors["2.lin1.weight"].flatten())
        source, target = wiring.edge_index()[:, wiring.edge_type == EdgeType.RESIDUAL]
        assert source.tolist() == [0, 1, 2, 15]
        assert target.tolist() == list(range(target[0], target[0] + 4))


# --- there and back -------------------------------------------------------------------------------------------------


def shapes(layer: Layer) -> list[tuple[int, ...]]:
    """Of a layer's parameters, in their order."""
    match layer:
        case Linear():
            return [(layer.out_features, layer.in_features), (layer.out_features,)][: 1 + layer.bias]
        case Conv():
            return [(layer.out_channels, layer.in_channels, *layer.kernel), (layer.out_channels,)][: 1 + layer.bias]
        case Norm():
            return [(layer.features,)] * (layer.weight + layer.bias)
        case ResidualConv():
            pairs = [*layer.branch, *([layer.shortcut] if layer.shortcut else [])]
            return [shape for pair in pairs for part in pair for shape in shapes(part)]
        case ResidualAttention():
            d = layer.embed_dim
            return [(3 * d, d), (3 * d,), (d, d), (d,)] if layer.bias else [(3 * d, d), (d, d)]
        case ResidualFFN():
            return [shape for part in layer.branch for shape in shapes(part)]
        case SetLinear():
            weight = (layer.out_dim, layer.in_dim, 1)[: layer.axes]
            return [weight, (layer.out_dim,), weight]
        case TriplanarGrid():
            return [layer.shape]


def random_tensors(wiring: Wiring, layers: list[Layer]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(wiring.num_edges)
    return {
        name: torch.randn(shape, generator=generator)
        for layer in layers
        for name, shape in zip(layer.parameters, shapes(layer), strict=True)
    }


def blank(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.full_like(tensor, 7) for name, tensor in tensors.items()}


@st.composite
def networks(draw: st.DrawFn) -> list[Layer]:
    """Layers of every kind whose widths agree."""
    width, layers = draw(st.integers(1, 4)), list[Layer]()
    if draw(st.booleans()):
        layers.append(TriplanarGrid("grid", (1, 3 * width, 2, 2)))
        width += 3
    for number in range(draw(st.integers(1, 5))):
        name, new, flag = str(number), draw(st.integers(1, 4)), draw(st.booleans())
        kernel = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
        kept: list[Layer] = [
            Norm(name, draw(st.sampled_from(["bn", "ln", "gn", "in"])), width, bias=flag),
            ResidualConv(name, width, width),
            ResidualAttention(name, width, flag),
            ResidualFFN(name, width, new),
        ]
        changed: list[Layer] = [
            Linear(name, width, new, flag),
            Conv(name, width, new, kernel, flag),
            ResidualConv(name, width, new, projected=True, kernel=(1, 2)),
            SetLinear(name, width, new, axes=2 if flag else 3),
        ]
        layer = draw(st.sampled_from(kept + changed))
        layers.append(layer)
        width = new if layer in changed else width
    return layers


@settings(deadline=None, max_examples=150)
@given(networks(), st.booleans(), st.booleans(), st.booleans())
def test_every_parameter_on_one_edge_and_back(layers, distinct, marked, correct) -> None:  # type: ignore[no-untyped-def]
    loops = not any(isinstance(layer, ResidualConv | ResidualAttention) for layer in layers)
    for selfloop in {False, loops}:
        wiring = parameter_graph(layers, selfloop, distinct_types=distinct, mark_outputs=marked, correct_grid=correct)
        tensors = random_tensors(wiring, layers)
        features = edge_features(wiring, tensors)
        residual = features[:, 2] == EdgeType.RESIDUAL
        assert int((~residual).sum()) == sum(tensor.numel() for tensor in tensors.values())
        assert (features[residual, 0] == 1).all()
        assert torch.equal(features[:, 1:], edge_labels(wiring))
        assert node_features(wiring).shape == (wiring.num_nodes, 3)
        assert wiring.edge_index().unique().tolist() == [
            node for node in range(wiring.num_nodes) if node not in xyz_alone(layers)
        ]
        assert equal_bytes(wiring.read_back(features[:, :1], blank(tensors)), tensors)
        moved = (
            correct and isinstance(layers[0], TriplanarGrid),
            any(isinstance(x, ResidualAttention) for x in layers),
        )
        if not any(moved):
            flat = torch.cat([tensor.flatten() for tensor in tensors.values()])
            assert torch.equal(features[~residual, 0], flat), "the parameters one after the other"


def xyz_alone(layers: list[Layer]) -> range:
    """The nodes without edges: coordinates that nothing reads."""
    return range(3 if len(layers) == 1 and isinstance(layers[0], TriplanarGrid) else 0)


def test_features_keep_dtype_and_gradients() -> None:
    net = mlp().double()
    wiring, tensors = parameter_graph(net), dict(net.named_parameters())
    features = edge_features(wiring, tensors)
    assert features.dtype == torch.float64
    features[:, 0].pow(2).sum().div(2).backward()
    for parameter in net.parameters():
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, parameter.detach())
    assert edge_features(wiring, tensors, torch.float32).dtype == torch.float32


def test_values_of_another_network_are_refused() -> None:
    wiring = parameter_graph(mlp())
    with pytest.raises(WiringError, match="expected the values of 1185 edges"):
        wiring.read_back(torch.zeros(1184, 1), dict(mlp().named_parameters()))


# --- symmetry -------------------------------------------------------------------------------------------------------


def rows(wiring: Wiring, tensors: dict[str, Tensor], nodes: Tensor) -> list[list[float]]:
    """Edges with all that they carry, sorted, where node ``i`` is called ``nodes[i]``."""
    ends = nodes[wiring.edge_index()].t().float()
    return sorted(torch.cat([ends, edge_features(wiring, tensors)], dim=1).tolist())


@pytest.mark.parametrize("selfloop", [False, True])
def test_permuting_hidden_neurons_permutes_the_graph(selfloop: bool) -> None:
    net = nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 3, 1))
    tensors = {name: torch.randn_like(tensor) for name, tensor in net.named_parameters()}
    permutation = torch.randperm(5, generator=torch.Generator().manual_seed(1))
    permuted = {name: tensor if name[0] == "3" else tensor[permutation] for name, tensor in tensors.items()}
    permuted["3.weight"] = tensors["3.weight"][:, permutation]
    wiring = parameter_graph(net, selfloop)
    nodes = torch.arange(wiring.num_nodes)
    hidden = wiring.nodes["0"]
    old = nodes.clone()
    old[hidden.start : hidden.start + 5] = nodes[hidden.start : hidden.start + 5][permutation]
    assert rows(wiring, permuted, old) == rows(wiring, tensors, nodes)
    assert rows(wiring, permuted, nodes) != rows(wiring, tensors, nodes)
    assert torch.equal(node_features(wiring)[old], node_features(wiring))
