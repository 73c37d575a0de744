"""Batches of drawings: the same graph as PyG's batch of explicit ones, however the edges are divided."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch_geometric.data import Batch, Data

from graphlab.weightgraph import WeightGraph, WeightGraphBatch, equal_bytes
from graphlab.weightgraph.data import to_data
from graphlab.weightgraph.layouts.layers import Linear
from graphlab.weightgraph.layouts.parameter_graph import parameter_graph
from graphlab.weightgraph.positions import laplacian_positions
from graphlab.weightgraph.wiring import Block, Drawing, WiringError
from tests.architectures import ARCHITECTURES
from tests.weightgraph.batches import DIVISION, MEMBERS, batched, drawing_of, filled, member


def padded(data: Data, slots: int) -> Data:
    """With as many slots and as many kinds of columns as the others of a mixed batch."""
    data.edge_attr = torch.nn.functional.pad(data.edge_attr, (0, slots - data.edge_attr.shape[1]))
    if "x" not in data:
        data.x = torch.zeros(data.num_nodes, 1)
    return data


def flat_sum(x: Tensor, data: Data, values: Tensor) -> Tensor:
    """``sum of relu(x_source + x_target + values)`` at the targets, edge by edge."""
    source, target = data.edge_index
    return torch.zeros_like(x).index_add(0, target, torch.relu(x[source] + x[target] + values))


def sum_by_parts(x: Tensor, batch: WeightGraphBatch) -> Tensor:
    """The same over the parts."""
    result = torch.zeros_like(x)
    for edges in batch.parts:
        message = torch.relu(x[edges.source] + x[edges.target] + edges.values)
        target = edges.target.expand(message.shape[:-1])
        result = result.index_add(0, target.reshape(-1), message.reshape(-1, x.shape[1]))
    return result


# --- the graph --------------------------------------------------------------------------------------------------------


@given(kinds=MEMBERS, large=DIVISION)
@settings(deadline=None, max_examples=60)
def test_the_graph_is_that_of_the_members(kinds: list[str], large: int) -> None:
    pairs = [member(kind, seed) for seed, kind in enumerate(kinds)]
    batch = batched(pairs, large)
    order = batch.order.tolist()
    assert sorted(order) == list(range(len(kinds)))
    assert [kinds[place] for place in order] == sorted(kinds, key=kinds.index), "equal ones together, first come first"
    slots = max(wiring.slots for wiring, _ in pairs)
    expected = Batch.from_data_list([padded(to_data(*pairs[place]), slots) for place in order])
    data = batch.to_data()
    assert set(data.keys()) | {"x"} == set(expected.keys())
    assert ("x" in data) == any(wiring.has_node_values for wiring, _ in pairs)
    for name in set(data.keys()) - {"batch", "num_nodes"}:
        assert torch.equal(data[name], expected[name]), name
    assert torch.equal(data.batch, torch.tensor(order)[expected.batch])
    assert torch.equal(batch.ptr, expected.ptr)
    assert (len(batch), batch.num_nodes, batch.num_edges) == (len(kinds), expected.num_nodes, expected.num_edges)


def test_members_of_one_architecture_keep_their_order() -> None:
    pairs = [member("conv", seed) for seed in range(3)]
    assert len({id(wiring) for wiring, _ in pairs}) == 3, "drawn apart"
    batch = WeightGraphBatch(pairs)
    assert batch.order.tolist() == [0, 1, 2]
    expected = Batch.from_data_list([to_data(*pair) for pair in pairs])
    data = batch.to_data()
    assert all(torch.equal(data[name], expected[name]) for name in set(data.keys()) - {"num_nodes"})
    assert batch[1][1] is pairs[1][1]
    with pytest.raises(IndexError):
        batch[3]


@pytest.mark.parametrize("layout", ["exact", "nino"])
def test_traced_networks(layout: str) -> None:
    pairs = []
    for name in ("mlp", "resnet", "gpt2", "resnet", "mlp"):
        example = ARCHITECTURES[name]()
        graph = WeightGraph.from_module(example.module, example.args, example.kwargs)
        noisy = {n: t + torch.randn_like(t) if t.is_floating_point() else t for n, t in graph.tensors.items()}
        pairs.append((graph.wiring(layout), noisy))
    batch = batched(pairs, 500)
    assert batch.order.tolist() == [0, 4, 1, 3, 2]
    assert len(batch.parts) > 5
    expected = Batch.from_data_list([padded(to_data(*pairs[place]), batch.slots) for place in batch.order.tolist()])
    data = batch.to_data()
    assert all(torch.equal(data[name], expected[name]) for name in ("edge_index", "edge_attr", "edge_type"))
    assert all(equal_bytes(own, dict(pair[1])) for own, pair in zip(batch.state_dicts(), pairs, strict=True))


def test_what_depends_on_the_drawing_alone() -> None:
    pairs = [member(kind, seed) for seed, kind in enumerate(["thin", "wide", "thin"])]
    batch = WeightGraphBatch(pairs)
    found = batch.per_node(lambda wiring: laplacian_positions(wiring, 2))
    expected = torch.cat([laplacian_positions(pairs[place][0], 2) for place in batch.order.tolist()])
    assert torch.equal(found, expected)


# --- parts ------------------------------------------------------------------------------------------------------------


@given(kinds=MEMBERS, large=DIVISION)
@settings(deadline=None, max_examples=60)
def test_messages_do_not_depend_on_how_edges_are_divided(kinds: list[str], large: int) -> None:
    batch = batched([member(kind, seed) for seed, kind in enumerate(kinds)], large)
    data = batch.to_data()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch.num_nodes, 5, generator=generator, dtype=torch.float64)
    encode = torch.randn(batch.slots, 5, generator=generator, dtype=torch.float64)
    embedding = torch.randn(32, 5, generator=generator, dtype=torch.float64)

    states = batch.edge_map(
        lambda edges: edges.values.double() @ encode + embedding[edges.type] * (1 + edges.layer[..., None])
    )
    flat = data.edge_attr.double() @ encode + embedding[data.edge_type] * (1 + data.edge_layer[..., None])
    torch.testing.assert_close(states.to_data().edge_attr, flat)
    torch.testing.assert_close(sum_by_parts(x, states), flat_sum(x, data, flat))
    again = states.edge_map(lambda edges: edges.values + x[edges.source])
    torch.testing.assert_close(again.to_data().edge_attr, flat + x[data.edge_index[0]])
    by_type = batch.edge_map(lambda edges: embedding[edges.type])
    assert torch.equal(by_type.to_data().edge_attr, embedding[data.edge_type])


@given(kinds=MEMBERS, large=DIVISION)
@settings(deadline=None, max_examples=30)
def test_a_part_says_where_in_the_grid_it_leads_from_and_to(kinds: list[str], large: int) -> None:
    batch = batched([member(kind, seed) for seed, kind in enumerate(kinds)], large)
    numbers = torch.arange(batch.num_nodes)
    assert torch.equal(torch.cat([stack.grid(numbers).flatten() for stack in batch.stacks]), numbers)
    for edges in batch.parts:
        if edges.block is not None and edges.stack is not None:
            assert edges.values.shape == (len(edges.stack.members), *edges.block.shape, edges.block.slots)
            assert edges.block.num_edges * len(edges.stack.members) >= large
            for slice, ends in zip(edges.stack.ends(edges.block), (edges.source, edges.target), strict=True):
                rows = edges.stack.grid(numbers)[:, slice]
                assert torch.equal(ends.reshape(len(rows), -1).sort(dim=1).values, rows)
    assert [edges.block is None for edges in batch.parts[:-1]] == [False] * len(batch.parts[:-1])


# --- cost -------------------------------------------------------------------------------------------------------------


class Allocated(TorchDispatchMode):
    """Counts the bytes of every new tensor that is not a view."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = function(*args, **(kwargs or {}))
        known = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and not tensor.is_meta and tensor.untyped_storage()._cdata not in known:
                self.bytes += tensor.untyped_storage().nbytes()
        return result


def test_what_is_large_is_copied_once() -> None:
    widths = (256, 300, 200)
    layers = [Linear("0", widths[0], widths[1], True), Linear("1", widths[1], widths[2], True)]
    shapes = {"0.weight": (300, 256), "0.bias": (300,), "1.weight": (200, 300), "1.bias": (200,)}
    pairs = [filled(parameter_graph(layers), shapes, seed) for seed in range(4)]
    own = sum(tensor.nbytes for _, tensors in pairs for tensor in tensors.values())
    with Allocated() as allocated:
        batch = WeightGraphBatch(pairs)
    assert own <= allocated.bytes < 1.1 * own
    first = batch.parts[0].values
    assert first.shape == (4, 300, 256, 1)
    assert first.is_contiguous()


def test_equal_wirings_are_stacked_and_small_blocks_merged() -> None:
    batch = WeightGraphBatch([member("thin", seed) for seed in range(85)] + [member("wide", 0)])
    assert [len(stack.members) for stack in batch.stacks] == [85, 1]
    assert [part.block is None for part in batch.parts] == [True], "at most 12 edges each in 85 members, and 27"
    batch = WeightGraphBatch([member("thin", seed) for seed in range(200)] + [member("wide", 0)])
    *large, rest = batch.parts
    assert [tuple(part.values.shape) for part in large] == [(200, 4, 2, 1), (200, 3, 4, 1)]
    assert rest.values.shape == (200 * 4 + 2 * 9 + 9 + 9 * 3, 1)


# --- its face ---------------------------------------------------------------------------------------------------------


def test_it_reads_as_a_table() -> None:
    batch = batched([member("kinds", 0), member("kinds", 1), member("thin", 2)], 60)
    lines = repr(batch).splitlines()
    assert lines[0].startswith("WeightGraphBatch: 3 networks of 2 wirings, 32 nodes, ")
    assert lines[0].endswith(" edges, float32 on cpu")
    assert lines[1].split() == ["b", "->", "a", "[2,", "4,", "6,", "3]", "1", "slot", "kernel"]
    assert lines[-1].split()[0] == "remainder"


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(WiringError, match="one network or more"):
        WeightGraphBatch([])
    (wiring, tensors), (_, other) = member("thin", 0), member("wide", 0)
    with pytest.raises(WiringError, match=r"member 1: the parameter 0.bias is missing"):
        WeightGraphBatch([(wiring, tensors), (wiring, {n: t for n, t in tensors.items() if n != "0.bias"})])
    with pytest.raises(WiringError, match=r"member 1: 0.weight: expected \[4, 2\], as member 0 has, got \[9, 2\]"):
        WeightGraphBatch([(wiring, tensors), (wiring, other)])
    with pytest.raises(WiringError, match=r"member 0: 0.weight: what is drawn .* cannot carry the 18 entries"):
        WeightGraphBatch([(wiring, other)])
    with pytest.raises(WiringError, match=r"member 0: 0.weight: expected a tensor of 2 axes"):
        WeightGraphBatch([(wiring, tensors | {"0.weight": torch.zeros(8)})])
    many = {name: torch.stack([tensor, tensor]) for name, tensor in tensors.items()}
    with pytest.raises(WiringError, match=r"member 0: .* expected the tensor of one network, got \[2, "):
        WeightGraphBatch([(wiring, many)])
    with pytest.raises(WiringError, match=r"member 1: 0.weight: expected a tensor on cpu, got meta"):
        WeightGraphBatch([(wiring, tensors), (wiring, {name: tensor.to("meta") for name, tensor in tensors.items()})])


def test_values_of_other_edges_are_refused() -> None:
    batch = batched([member("kinds", 0), member("thin", 1)], 20)
    values = [part.values for part in batch.parts]
    with pytest.raises(WiringError, match="expected the values of parts"):
        batch.with_values(values[1:])
    with pytest.raises(WiringError, match="expected the values of parts"):
        batch.with_values([values[0][:, 1:], *values[1:]])
    with pytest.raises(WiringError, match="values of 21 nodes"):
        batch.with_values(values, torch.zeros(3, 1))
    with pytest.raises(WiringError, match="edges that carry 3 values, got 5"):
        batch.edge_map(lambda edges: edges.values.new_zeros(5)).state_dicts()
    with pytest.raises(WiringError, match="nodes that carry 1 value, got 2"):
        batch.with_values(values, torch.zeros(batch.num_nodes, 2)).state_dicts()


def test_networks_without_edges_or_parameters() -> None:
    drawing = Drawing()
    drawing.nodes("a", 3)
    batch = WeightGraphBatch([(drawing.wiring(), {"w": torch.ones(2)})] * 2)
    assert (batch.parts, batch.num_nodes, batch.num_edges, batch.x) == ((), 6, 0, None)
    assert batch.to_data().edge_attr.shape == (0, 1)
    assert [list(own) for own in batch.state_dicts()] == [["w"], ["w"]]
    constant = drawing_of([Block("a", "b", (40, 30), (0,), (1,), 2.0)], a=40, b=30)
    batch = WeightGraphBatch([(constant, {}), (constant, {})])
    assert torch.equal(batch.to_data().edge_attr, torch.full((2400, 1), 2.0))
    assert batch.state_dicts() == [{}, {}]
