"""The exact layout: every entry of every network on an edge, symmetries as relabellings, and back without loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from graphlab.weightgraph import Product, WeightGraph, equal_bytes, permute_tensor, random_permutations
from graphlab.weightgraph.data import from_data, to_data
from graphlab.weightgraph.layouts.exact import exact
from graphlab.weightgraph.wiring import Block, Drawing, View, Wiring, WiringError
from tests.architectures import ARCHITECTURES


def drawn(name: str) -> tuple[WeightGraph, Wiring]:
    example = ARCHITECTURES[name]()
    outputs = [example.output] if isinstance(example.output, str) else None
    graph = WeightGraph.from_module(example.module, example.args, example.kwargs, outputs)
    return graph, exact(graph.structure, graph.tensors)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_entry_comes_back_bit_for_bit(name: str) -> None:
    graph, wiring = drawn(name)
    data = to_data(wiring, graph.tensors)
    floating = [tensor for tensor in graph.tensors.values() if tensor.is_floating_point()]
    carried = sum(block.num_edges * block.slots for block in wiring.blocks)
    again = sum((len(uses) - 1) * graph.tensors[n].numel() for n, uses in graph.structure.reads.items() if uses)
    assert carried == sum(tensor.numel() for tensor in floating) + again, "one value of an edge for each entry and use"
    assert data.validate()
    blank = {n: torch.full_like(t, 7) if t.is_floating_point() else t for n, t in graph.tensors.items()}
    assert equal_bytes(from_data(wiring, data, blank), dict(graph.tensors))
    assert all((tensor == 7).all() for tensor in blank.values() if tensor.is_floating_point()), "nothing written into"


@pytest.mark.parametrize("name", ["mlp", "resnet", "unet", "gpt2", "llama", "mixtral", "lstm", "swin"])
def test_permuting_a_network_renames_the_nodes_of_its_graph(name: str) -> None:
    graph, wiring = drawn(name)
    permutations = random_permutations(graph.structure, generator=torch.Generator().manual_seed(0))
    permuted = graph.permute(permutations)
    groups = graph.structure.groups
    old = torch.arange(wiring.num_nodes)
    for own in wiring.nodes.values():
        names = own.name.split(" . ")
        if all(part in groups for part in names):
            place = slice(own.start, own.start + own.size)
            old[place] = permute_tensor(old[place], [Product(tuple(groups[part] for part in names))], permutations)
    before, after = to_data(wiring, graph.tensors), to_data(wiring, permuted.tensors)
    assert not torch.equal(before.edge_attr, after.edge_attr)
    assert _rows(before.edge_index, before) == _rows(old[after.edge_index], after)


def _rows(edge_index: Tensor, data) -> list[tuple]:  # type: ignore[no-untyped-def, type-arg]
    """Edges with all that they carry, in an order that does not depend on theirs."""
    return sorted(
        (*ends, kind, *values)
        for ends, kind, values in zip(
            edge_index.t().tolist(), data.edge_type.tolist(), data.edge_attr.tolist(), strict=True
        )
    )


def test_the_wiring_of_a_small_network() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    graph = WeightGraph.from_module(module, (torch.randn(4, 2),))
    wiring = exact(graph.structure, graph.tensors)
    data = to_data(wiring, graph.tensors)
    assert (data.num_nodes, data.num_edges) == (2 + 3 + 2 + 1 + 1, 6 + 3 + 6 + 2)
    assert list(wiring.nodes) == ["input:0", "0", "unit of 0.bias", "output:0", "unit of 1.bias"]
    first = data.edge_attr[: 2 * 3].view(2, 3)
    assert torch.equal(first, module[0].weight.detach().t())
    assert data.edge_index[:, :6].tolist() == [[0, 0, 0, 1, 1, 1], [2, 3, 4, 2, 3, 4]]
    assert data.node_order.tolist() == [0, 1, -1, -1, -1, -1, 0, 1, -1]


def test_edges_lead_from_what_a_parameter_reads() -> None:
    graph, wiring = drawn("gpt2")
    ends = {(b.source, b.target) for b in wiring.blocks if b.values.parameter == "transformer.wte.weight"}  # type: ignore[union-attr]
    rows, residual = "transformer.wte.rows", "transformer.residual"
    assert ends == {(rows, residual), (residual, rows)}, "the embedding, and the last layer that it is tied to"
    assert graph.structure.reads["transformer.h.0.mlp.c_fc.weight"] == ((0,),), "stored (in, out)"
    one = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1, bias=False))
    graph = WeightGraph.from_module(one, (torch.randn(2, 3),))
    last = exact(graph.structure, graph.tensors).blocks[-1]
    assert (last.source, last.target) == ("0", "unit of 1.weight")


def test_a_graph_of_another_network_is_refused() -> None:
    graph, wiring = drawn("mlp")
    other, another = drawn("siren")
    with pytest.raises(WiringError, match="another network"):
        from_data(wiring, to_data(another, other.tensors), graph.tensors)
    data = to_data(wiring, graph.tensors)
    data.edge_attr = None
    with pytest.raises(WiringError, match="edge_attr"):
        from_data(wiring, data, graph.tensors)
    with pytest.raises(WiringError, match="803 edges with 1 slots, got"):
        wiring.read_back(torch.zeros(802, 1), graph.tensors)


def test_a_wiring_that_does_not_hold_together_is_refused() -> None:
    drawing = Drawing()
    drawing.nodes("a", 2)
    drawing.nodes("b", 3)
    with pytest.raises(WiringError, match="two ranges"):
        drawing.nodes("a", 1)
    drawing.edges(Block("a", "b", (3, 3), (0,), (1,), View("w", (1, 0))))
    with pytest.raises(WiringError, match="needs 3 of the 2 nodes a"):
        drawing.wiring()
    good = Drawing()
    good.nodes("a", 2)
    good.edges(Block("a", "a", (2, 2), (0,), (1,), View("w", (1, 0))))
    with pytest.raises(WiringError, match="cannot carry the 6 entries"):
        good.wiring().edge_values({"w": torch.zeros(2, 3)})
    wide = Drawing()
    wide.nodes("a", 5)
    wide.edges(Block("a", "a", (2, 5), (0,), (1,), View("w", (1, 0))))
    with pytest.raises(WiringError, match="cannot carry"):
        wide.wiring().edge_values({"w": torch.zeros(2, 5)})


def test_values_keep_a_dtype_or_take_the_one_asked_for() -> None:
    graph, wiring = drawn("mlp")
    half = {name: tensor.to(torch.bfloat16) for name, tensor in graph.tensors.items()}
    assert wiring.edge_values(half).dtype == torch.bfloat16
    assert wiring.edge_values(half, torch.float64).dtype == torch.float64
    assert equal_bytes(wiring.read_back(wiring.edge_values(half), half), half)
