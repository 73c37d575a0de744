"""Weight matching: shuffled networks are put back, objectives never fall, functions stay."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from graphlab.capture import capture
from graphlab.weightgraph import WeightGraph, equal_bytes, matching, random_permutations
from graphlab.weightgraph.align import Alignment, align
from graphlab.weightgraph.barrier import Curve, interpolate, interpolation_barrier, output_distance
from tests.architectures import ARCHITECTURES, Example

NAMED = ("mlp", "resnet", "vit_timm_style", "llama", "mixtral")
FURTHER = ("resnext_block", "lstm", "swin", "gpt_neox_partial", "t5")
NAMES = NAMED + FURTHER


def graph_of(example: Example) -> WeightGraph:
    outputs = [example.output] if isinstance(example.output, str) else None
    return WeightGraph.from_module(example.module, example.args, example.kwargs, outputs)


def shuffled(graph: WeightGraph, seed: int = 0) -> WeightGraph:
    generator = torch.Generator().manual_seed(seed)
    return graph.permute(random_permutations(graph.structure, generator=generator))


def another(graph: WeightGraph, seed: int = 100) -> WeightGraph:
    """A network of the same structure whose weights have nothing to do with the first one's."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: torch.rand(t.shape, generator=generator) * t.abs().mean() + 0.01 if t.is_floating_point() else t
        for name, t in graph.tensors.items()
    }
    return WeightGraph(graph.structure, tensors)


def check_consistent(a: WeightGraph, b: WeightGraph, result: Alignment) -> None:
    """What is reported is what was done."""
    assert all(later >= earlier for earlier, later in itertools.pairwise(result.objectives))
    assert equal_bytes(result.graph.state_dict(), b.permute(result.permutations).state_dict())
    floating = [name for name in a.structure.axes if a.tensors[name].is_floating_point()]
    for graph, objective, distance in (
        (b, result.objectives[0], result.distance_before),
        (result.graph, result.objectives[-1], result.distance_after),
    ):
        pairs = [(a.tensors[name].double(), graph.tensors[name].double()) for name in floating]
        assert objective == pytest.approx(sum(float((x * y).sum()) for x, y in pairs))
        assert distance == pytest.approx(sum(float((x - y).square().sum()) for x, y in pairs) ** 0.5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_shuffled_network_is_put_back_exactly(name: str, seed: int) -> None:
    a = graph_of(ARCHITECTURES[name]())
    b = shuffled(a, seed)
    assert not equal_bytes(a.state_dict(), b.state_dict())
    result = align(a, b, seed=seed)
    assert equal_bytes(result.graph.state_dict(), a.state_dict())
    assert result.distance_after == 0
    assert result.objectives[-1] == pytest.approx(align(a, a).objectives[0], rel=1e-12)
    check_consistent(a, b, result)


@pytest.mark.parametrize("name", NAMES)
def test_an_unrelated_network_comes_closer_and_computes_what_it_did(name: str) -> None:
    example = ARCHITECTURES[name]()
    a = graph_of(example)
    b = another(a)
    result = align(a, b)
    check_consistent(a, b, result)
    assert result.objectives[-1] > result.objectives[0]
    assert result.distance_after < result.distance_before
    program = capture(example.module, example.args, example.kwargs)
    with torch.no_grad():
        before, after = (
            program.run(graph.state_dict(), example.args, example.kwargs, torch.float64) for graph in (b, result.graph)
        )
    for counted in a.structure.counted:
        torch.testing.assert_close(after[counted], before[counted], rtol=1e-10, atol=1e-10)


def test_the_end_is_a_local_optimum_and_the_seed_decides_the_way() -> None:
    a = graph_of(ARCHITECTURES["vit_timm_style"]())
    b = another(a)
    first, again = align(a, b, seed=3), align(a, b, seed=3)
    assert first.objectives == again.objectives
    more = align(a, first.graph)
    assert more.objectives[-1] == pytest.approx(first.objectives[-1], rel=0.02)
    assert len(align(a, b, max_sweeps=1).objectives) == 2


def test_a_network_is_its_own_closest_and_tensors_are_shared() -> None:
    a = graph_of(ARCHITECTURES["resnet"]())
    result = align(a, a)
    assert not any(result.moved.values())
    assert all(result.graph.tensors[name] is a.tensors[name] for name in a.tensors)
    assert repr(result).startswith("Alignment: objective")


@pytest.mark.parametrize("name", ["vit_timm_style", "mixtral"])
def test_heads_too_many_to_pair_are_still_matched(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "NESTED", 0)
    a = graph_of(ARCHITECTURES[name]())
    b = shuffled(a)
    result = align(a, b)
    check_consistent(a, b, result)
    assert result.objectives[-1] > result.objectives[0]


def test_the_best_order_of_one_layer_is_found() -> None:
    """With one hidden layer the assignment is the optimum: compared with all 5! orders."""
    torch.manual_seed(0)
    modules = [nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)) for _ in range(2)]
    a, b = (WeightGraph.from_module(module, (torch.randn(2, 3),)) for module in modules)
    (group,) = a.structure.free
    best = max(
        sum(float((a.tensors[n] * t).sum()) for n, t in b.permute({group.name: torch.tensor(order)}).tensors.items())
        for order in itertools.permutations(range(5))
    )
    assert align(a, b).objectives[-1] == pytest.approx(best, rel=1e-6)


def test_progress_is_told_and_ends_settled() -> None:
    a = graph_of(ARCHITECTURES["mlp"]())
    told: list[tuple[int, int]] = []
    align(a, shuffled(a), progress=lambda *step: told.append(step))
    assert told[-1] == (2, 2)


def test_what_cannot_be_aligned_is_refused() -> None:
    a, b = (graph_of(ARCHITECTURES[name]()) for name in ("mlp", "resnet"))
    with pytest.raises(ValueError, match=r"the structures differ(.|\n)*- (.|\n)*lines more"):
        align(a, b)
    wider = WeightGraph.from_module(nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2)), (torch.randn(2, 3),))
    other = WeightGraph.from_module(nn.Sequential(nn.Linear(3, 7), nn.ReLU(), nn.Linear(7, 2)), (torch.randn(2, 3),))
    with pytest.raises(ValueError, match=r"- 0 6 free relu\n.*\+ 0 7 free relu"):
        align(wider, other)
    broken = WeightGraph(a.structure, {**a.tensors, "0.bias": torch.full((24,), torch.nan)})
    with pytest.raises(ValueError, match="NaN or infinity"):
        align(a, broken)


def test_barriers_of_shuffled_networks_vanish() -> None:
    example = ARCHITECTURES["resnet"]()
    a = graph_of(example)
    target = example.module(*example.args).detach()
    prepared, told = [], []

    def loss(state: dict[str, Tensor]) -> float:
        return float((functional_call(example.module, state, example.args) - target).square().mean())

    def prepare(state: dict[str, Tensor]) -> dict[str, Tensor]:
        prepared.append(state)
        return state

    found = interpolation_barrier(a, shuffled(a), loss, 5, prepare, progress=lambda *step: told.append(step))
    assert found.before.barrier > 1e-3
    assert found.after.barrier == pytest.approx(0, abs=1e-9)
    assert found.before.weights == (0, 0.25, 0.5, 0.75, 1)
    assert len(prepared) == 10
    assert told[-1] == (10, 10)
    assert "before aligning" in repr(found)
    with pytest.raises(ValueError, match="2 ends"):
        interpolation_barrier(a, a, loss, 1)


def test_a_loss_without_labels_is_the_same_at_both_ends() -> None:
    module, args = nn.Linear(3, 2, bias=False), (torch.randn(5, 3),)
    a = WeightGraph.from_module(module, args)
    b = WeightGraph(a.structure, {"weight": a.tensors["weight"] + torch.randn(2, 3)})
    loss = output_distance(a, b, capture(module, args), args)
    outputs = [args[0].double() @ graph.tensors["weight"].detach().double().T for graph in (a, b)]
    apart = float((outputs[0] - outputs[1]).square().sum())
    expected = apart / float(sum(output.square().sum() for output in outputs))
    assert loss(a.state_dict()) == pytest.approx(expected)
    assert loss(b.state_dict()) == pytest.approx(expected)
    assert loss(interpolate(a.state_dict(), b.state_dict(), 0.5)) == pytest.approx(expected / 2)  # it is linear


def test_curves_and_points_of_the_line() -> None:
    assert Curve((0.0, 0.5, 1.0), (1.0, 4.0, 3.0)).barrier == 2
    state = interpolate({"x": torch.zeros(2), "n": torch.tensor(3)}, {"x": torch.ones(2), "n": torch.tensor(5)}, 0.25)
    assert state["x"].tolist() == [0.25, 0.25]
    assert state["n"] == 3
