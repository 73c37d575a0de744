"""What neurons answer to probes, of perceptrons and of any captured network."""

from __future__ import annotations

import warnings

import pytest
import torch

from graphlab.capture import capture
from graphlab.nn.models.neural_graphs import NGGNN, ProbeFeatures, program_answers
from graphlab.nn.models.neural_graphs.graphs import read
from graphlab.nn.models.neural_graphs.probes import perceptron_answers
from graphlab.weightgraph import WeightGraph, WeightGraphBatch, random_permutations
from tests.architectures import ARCHITECTURES
from tests.nn.neural_graphs.networks import blocks_kept, explicit, in_blocks, perceptron


@pytest.mark.parametrize("name", ["mlp", "siren", "vgg", "vit_timm_style", "lstm"])
def test_answers_of_permuted_networks_are_permuted(name: str) -> None:
    example = ARCHITECTURES[name]()
    program = capture(example.module, example.args, example.kwargs)
    graph = WeightGraph.from_module(example.module, example.args, example.kwargs)
    free = [group.name for group in graph.structure.free]
    orders = random_permutations(graph.structure, free, torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch: no batching rule of attention on a CPU
        answers = program_answers(program, [graph, graph.permute(orders)], example.args, example.kwargs)
    ours, theirs = answers.view(2, -1, answers.shape[1])
    shown = 0
    for own in graph.wiring("exact").nodes.values():
        here = slice(own.start, own.start + own.size)
        if own.name in orders and not graph.structure.groups[own.name].within:
            torch.testing.assert_close(theirs[here], ours[here][orders[own.name]], atol=1e-4, rtol=1e-4)
            shown += int(bool(ours[here].abs().sum() > 0))
    assert shown or not free


def test_answers_reach_a_model() -> None:
    example = ARCHITECTURES["mlp"]()
    program = capture(example.module, (torch.randn(4, 11),))
    graph = WeightGraph.from_module(example.module, (torch.randn(4, 11),))
    batch = WeightGraphBatch([(graph.wiring("exact"), graph.tensors)] * 2)
    encoder = {"pos_embed": False, "num_probes": 4}
    model = NGGNN(11, 0, 1, 3, [1, 1], 8, 2, pooling="mean", pooling_layer="all", encoder=encoder)
    model(batch, answer=lambda inputs: program_answers(program, [graph, graph], (inputs,))).sum().backward()
    assert model.construct_graph.gpf is not None
    assert model.construct_graph.gpf.inputs.grad is not None
    assert model.construct_graph.gpf.inputs.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="expected one network or more"):
        program_answers(program, [])


def test_perceptrons_of_unlike_sizes_answer_like_themselves() -> None:
    members = [perceptron(sizes, seed) for seed, sizes in enumerate([(2, 5, 3), (2, 4, 4, 3), (2, 5, 3)])]
    probes = ProbeFeatures(2, 3, 6, 4).double()
    for graphs in (explicit(members), in_blocks(members)):
        for kept in (False, True):
            with blocks_kept() if kept else pytest.MonkeyPatch.context():
                given = read(graphs)
            answers = probes.perceptron(given)
            for graph, place in enumerate(given.order.tolist()):
                stacked = {name: own.unsqueeze(0) for name, own in members[place][1].items()}
                expected = torch.cat([own[0] for own in perceptron_answers(stacked, probes.inputs)])
                torch.testing.assert_close(answers[given.ptr[graph] : given.ptr[graph + 1]], expected)
