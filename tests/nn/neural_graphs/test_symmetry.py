"""Hidden neurons in another order: the same scores, and edits in that order; of every architecture that is drawn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from graphlab.nn.models.neural_graphs import NGGNN, NGT, NGGNNEditor, NGTEditor, StatNN
from graphlab.weightgraph import WeightGraph, WeightGraphBatch, random_permutations
from tests.architectures import ARCHITECTURES
from tests.nn.neural_graphs.networks import SMALL, Member, degrees, in_blocks, perceptron, small_gnn, small_transformer


def relabelled(member: Member, seed: int) -> tuple[Member, list[torch.Tensor]]:
    """A perceptron with its hidden neurons in another order, and the order of each layer."""
    wiring, tensors = member
    generator = torch.Generator().manual_seed(seed)
    sizes = [own.size for own in wiring.nodes.values()]
    orders = [torch.randperm(size, generator=generator) for size in sizes]
    orders[0], orders[-1] = torch.arange(sizes[0]), torch.arange(sizes[-1])
    moved = {}
    for layer in range(len(sizes) - 1):
        moved[f"{layer}.weight"] = tensors[f"{layer}.weight"][orders[layer + 1]][:, orders[layer]]
        moved[f"{layer}.bias"] = tensors[f"{layer}.bias"][orders[layer + 1]]
    return (wiring, moved), orders


@settings(deadline=None, max_examples=10)
@given(
    widths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    ends=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    bidirectional=st.booleans(),
    probes=st.sampled_from([0, 2]),
    seed=st.integers(0, 2**31),
)
def test_perceptrons(widths: list[int], ends: tuple[int, int], bidirectional: bool, probes: int, seed: int) -> None:
    member = perceptron((ends[0], *widths, ends[1]), seed)
    other, orders = relabelled(member, seed)
    sizes = (ends[0], len(widths), ends[1])
    encoder: Any = {"bidirectional": bidirectional, "num_probes": probes, "inp_factor": 0.5}
    models: list[nn.Module] = [small_gnn([member], sizes, encoder=encoder), small_transformer(sizes, encoder=encoder)]
    for model in (*models, StatNN(len(widths), 8).double()):
        torch.testing.assert_close(model(in_blocks([member])), model(in_blocks([other])), atol=1e-8, rtol=1e-6)
    options = {name: size for name, size in SMALL.items() if name != "d_out_hid"}
    for editor in (
        NGGNNEditor(*sizes, degrees([member]), 8, 3, encoder=encoder).double(),
        NGTEditor(*sizes, **options, encoder=encoder).double(),
    ):
        (ours,), (theirs,) = (editor(in_blocks([own])).state_dicts() for own in (member, other))
        (_, expected), _ = relabelled((member[0], ours), seed)
        for name, tensor in expected.items():
            torch.testing.assert_close(theirs[name], tensor, atol=1e-8, rtol=1e-6)
    assert all(order.dtype == torch.int64 for order in orders)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(name: str) -> None:
    """Exact drawings: nodes are told apart by nothing but their edges."""
    example = ARCHITECTURES[name]()
    graph = WeightGraph.from_module(example.module, example.args, example.kwargs)
    free = [group.name for group in graph.structure.free]
    orders = random_permutations(graph.structure, free, torch.Generator().manual_seed(0))
    moved = graph.permute(orders)
    wiring = graph.wiring("exact")
    batch, other = (WeightGraphBatch([(wiring, own.tensors)]).to(dtype=torch.float64) for own in (graph, moved))
    torch.manual_seed(0)
    encoder: Any = {"pos_embed": False, "slots": batch.slots, "bidirectional": True, "inp_factor": 0.1}
    everywhere: Any = {"pooling": "mean", "pooling_layer": "all", "encoder": encoder}
    gnn = NGGNN(1, 0, 1, 3, [0, 1, 1], 8, 2, **everywhere).double().eval()
    torch.testing.assert_close(gnn(batch), gnn(other), atol=1e-8, rtol=1e-6)
    editor = NGGNNEditor(1, 0, 1, [0, 1, 1], 8, 2, encoder=encoder).double().eval()
    (ours,), (theirs,) = (editor.edit([own], layout="exact") for own in (graph, moved))
    for own, tensor in ours.permute(orders).tensors.items():
        torch.testing.assert_close(theirs.tensors[own], tensor, atol=1e-4, rtol=1e-4)
    if batch.num_nodes <= 300:
        sizes = {own: size for own, size in SMALL.items() if own != "n_layers"}
        transformer = NGT(1, 0, 1, 3, n_layers=2, **sizes, **everywhere).double().eval()
        torch.testing.assert_close(transformer(batch), transformer(other), atol=1e-8, rtol=1e-6)
