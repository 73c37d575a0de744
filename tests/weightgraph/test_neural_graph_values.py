"""Values of neural graphs: there and back, for one network and many; relabelling."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from graphlab.weightgraph import equal_bytes
from graphlab.weightgraph.data import from_data, to_data
from graphlab.weightgraph.layouts.layers import Conv, Layer, Linear, ResidualAttention
from graphlab.weightgraph.layouts.neural_graph import dense, mlp_layers, neural_graph
from graphlab.weightgraph.layouts.parameter_graph import parameter_graph
from graphlab.weightgraph.wiring import Block, Nodes, View, Wiring
from tests.weightgraph.declared import blank, networks, ones, random

DRAWINGS = st.fixed_dictionaries(
    {
        "max_kernel": st.sampled_from([None, (3, 4), (5, 5)]),
        "linear_as_conv": st.booleans(),
        "flatten": st.sampled_from(["channel_last", "channel_first"]),
    }
)


@settings(deadline=None)
@given(networks(), DRAWINGS)
def test_every_parameter_there_and_back(layers, options) -> None:  # type: ignore[no-untyped-def]
    wiring, tensors = neural_graph(layers, **options), random(layers)
    data = to_data(wiring, tensors)
    assert equal_bytes(from_data(wiring, data, blank(tensors)), tensors)
    assert data.x.shape == (wiring.num_nodes, 1)
    assert list(wiring.nodes.values())[-1].ordered
    stacked = random(layers, (2, 3))
    nodes, edges = wiring.node_values(stacked), wiring.edge_values(stacked)
    assert nodes.shape == (2, 3, wiring.num_nodes, 1)
    assert equal_bytes(wiring.read_back(edges, blank(stacked), nodes), stacked)
    one = {name: tensor[1, 2] for name, tensor in stacked.items()}
    assert torch.equal(wiring.edge_values(one), edges[1, 2])
    assert torch.equal(wiring.node_values(one), nodes[1, 2])


def test_values_keep_dtype_and_gradients() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(8, 1)).double()
    wiring, tensors = neural_graph(net, flatten="channel_first"), dict(net.named_parameters())
    nodes, edges = wiring.node_values(tensors), wiring.edge_values(tensors)
    assert nodes.dtype == edges.dtype == torch.float64
    assert wiring.node_values(tensors, torch.float32).dtype == torch.float32
    (nodes.pow(2).sum() + edges.pow(2).sum()).div(2).backward()
    for name, parameter in net.named_parameters():
        copies = 4 if name.startswith("1.") else 1
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, copies * parameter.detach())


def test_gradients_flow_back_from_the_parameters_read() -> None:
    layers = mlp_layers((2, 3, 1))
    wiring, tensors = neural_graph(layers), random(layers, (4,))
    nodes, edges = wiring.node_values(tensors).requires_grad_(), wiring.edge_values(tensors).requires_grad_()
    read = wiring.read_back(edges, tensors, nodes)
    sum(tensor.sum() for tensor in read.values()).backward()  # type: ignore[union-attr]
    assert edges.grad is not None
    assert nodes.grad is not None
    assert (edges.grad == 1).all()
    assert nodes.grad.sum(dim=1).flatten().tolist() == [4] * 4, "inputs have nothing to do with it"


def test_values_stay_on_their_device() -> None:
    layers = [Conv("a", 1, 2, (3, 3)), Linear("b", 8, 1)]
    tensors = {name: tensor.to("meta") for name, tensor in ones(layers).items()}
    wiring = neural_graph(layers, max_kernel=(5, 5), flatten="channel_last")
    assert {wiring.node_values(tensors).device.type, wiring.edge_values(tensors).device.type} == {"meta"}


@settings(deadline=None)
@given(st.lists(st.integers(1, 5), min_size=3, max_size=5), st.integers(0, 2**31))
def test_permuting_hidden_neurons_relabels_the_graph(sizes, seed) -> None:  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(seed)
    layers: list[Layer] = [Conv(str(n), *pair, (3, 2)) for n, pair in enumerate(pairwise(sizes))]
    wiring, tensors = neural_graph(layers), random(layers)
    orders = [torch.randperm(size, generator=generator) for size in sizes]
    orders[0], orders[-1] = torch.arange(sizes[0]), torch.arange(sizes[-1])
    permuted = {}
    for number in range(len(layers)):
        permuted[f"{number}.weight"] = tensors[f"{number}.weight"][orders[number + 1]][:, orders[number]]
        permuted[f"{number}.bias"] = tensors[f"{number}.bias"][orders[number + 1]]
    starts = [own.start for own in wiring.nodes.values()]
    relabelled = torch.cat([start + order for start, order in zip(starts, orders, strict=True)])
    assert torch.equal(wiring.node_values(permuted), wiring.node_values(tensors)[relabelled])
    before, after = (
        dense(wiring.edge_index(), wiring.edge_values(given), wiring.num_nodes) for given in (tensors, permuted)
    )
    assert torch.equal(after, before[relabelled][:, relabelled])


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**31))
def test_permuting_heads_and_neurons_inside_them_relabels_the_graph(heads, width, seed) -> None:  # type: ignore[no-untyped-def]
    generator, size = torch.Generator().manual_seed(seed), heads * width
    layers: list[Layer] = [ResidualAttention("0", size, num_heads=heads)]
    wiring, tensors = neural_graph(layers), random(layers)
    of_heads = torch.randperm(heads, generator=generator)

    def inside() -> torch.Tensor:
        order = torch.stack([torch.randperm(width, generator=generator) for _ in range(heads)])
        return (of_heads.unsqueeze(1) * width + order[of_heads]).flatten()

    keys, values, kept = inside(), inside(), torch.arange(size)
    packed = torch.cat([keys, keys + size, values + 2 * size])
    permuted = {
        "0.attn.in_proj_weight": tensors["0.attn.in_proj_weight"][packed],
        "0.attn.in_proj_bias": tensors["0.attn.in_proj_bias"][packed],
        "0.attn.out_proj.weight": tensors["0.attn.out_proj.weight"][:, values],
        "0.attn.out_proj.bias": tensors["0.attn.out_proj.bias"],
    }
    starts = [own.start for own in wiring.nodes.values()]
    orders = (kept, keys, keys, of_heads, values, kept)
    relabelled = torch.cat([start + order for start, order in zip(starts, orders, strict=True)])
    assert torch.equal(wiring.node_values(permuted), wiring.node_values(tensors)[relabelled])
    before, after = (
        dense(wiring.edge_index(), wiring.edge_values(given), wiring.num_nodes) for given in (tensors, permuted)
    )
    assert torch.equal(after, before[relabelled][:, relabelled])


def test_constants_of_nodes_and_a_wiring_of_constants_alone() -> None:
    ranges = [Nodes("a", 2, 0, values=3.0), Nodes("b", 1, 2)]
    block = Block("a", "b", (2, 1), (0,), (1,), 0.5, slots=3, places=(2,))
    wiring = Wiring(ranges, [block])
    assert wiring.node_values({}).tolist() == [[3], [3], [0]]
    assert wiring.edge_values({}).tolist() == [[0, 0, 0.5]] * 2
    assert View("w", (0,)).batch(torch.ones(2, 3)) == (2,)


def test_other_layouts_leave_their_nodes_without_values() -> None:
    wiring = parameter_graph(mlp_layers((2, 3, 1)))
    assert not wiring.has_node_values
    assert "x" not in to_data(wiring, ones(mlp_layers((2, 3, 1)))).keys()  # noqa: SIM118
