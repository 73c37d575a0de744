"""Weight-graphs: nothing copied, nothing lost, nothing written into."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from graphlab import checkpoint
from graphlab.checkpoint import CheckpointError
from graphlab.weightgraph import WeightGraph, equal_bytes, random_permutations, verify
from graphlab.weightgraph.graph import STRUCTURE_KEY

X = torch.randn(5, 3)


def network(hidden: int = 6) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 2)).eval()


def graph_of(module: nn.Module) -> WeightGraph:
    return WeightGraph.from_module(module, (X,))


def test_tensors_are_the_modules_own() -> None:
    module = network()
    graph = graph_of(module)
    state = graph.state_dict()
    assert list(state) == list(module.state_dict())
    assert all(state[name].data_ptr() == tensor.data_ptr() for name, tensor in module.state_dict().items())


def test_permuting_keeps_the_function_and_shares_what_it_does_not_touch() -> None:
    module = network()
    graph = graph_of(module)
    before = {name: tensor.clone() for name, tensor in graph.state_dict().items()}
    permuted = graph.permute({"0": torch.tensor([5, 4, 3, 2, 1, 0])})
    assert equal_bytes(graph.state_dict(), before)
    assert torch.equal(permuted.tensors["0.weight"], before["0.weight"].flip(0))
    assert torch.equal(permuted.tensors["3.weight"], before["3.weight"].flip(1))
    assert torch.equal(permuted.tensors["1.running_mean"], before["1.running_mean"].flip(0))
    assert permuted.tensors["3.bias"] is graph.tensors["3.bias"]
    expected = module(X)
    permuted.load_into(module)
    torch.testing.assert_close(module(X), expected)


def test_permutations_that_do_not_fit_are_all_named() -> None:
    graph = graph_of(network())
    with pytest.raises(ValueError, match="permutations") as caught:
        graph.permute(
            {
                "0": torch.arange(5),
                "nothing": torch.arange(2),
                "output:0": torch.tensor([1, 0]),
                "input:0": torch.arange(3),
            }
        )
    message = str(caught.value)
    assert "0: expected integers (6,), got (5,)" in message
    assert "nothing: no such group" in message
    assert "output:0: its neurons are fixed (output 0)" in message
    with pytest.raises(ValueError, match="not a permutation of 6"):
        graph.permute({"0": torch.zeros(6, dtype=torch.long)})


def test_load_into_another_network_is_refused_whole() -> None:
    other = network(7)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        graph_of(network()).load_into(other)
    assert "'0.weight': expected [7, 3], got [6, 3]" in str(caught.value)
    assert "'3.weight'" in str(caught.value)
    assert equal_bytes(other.state_dict(), before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_every_dtype_and_nan_survive_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    graph = graph_of(network())
    state = {n: t.to(dtype) if t.is_floating_point() else t.clone() for n, t in graph.state_dict().items()}
    if dtype != torch.float8_e4m3fn:
        state["0.bias"][:2] = torch.tensor([float("nan"), float("inf")])
    again = WeightGraph(graph.structure, state)
    again.save(tmp_path / "g.safetensors")
    loaded = WeightGraph.load(tmp_path / "g.safetensors")
    assert equal_bytes(loaded.state_dict(), state)
    table = random_permutations(graph.structure, generator=torch.Generator().manual_seed(0))
    inverse = {name: permutation.argsort(-1) for name, permutation in table.items()}
    assert equal_bytes(loaded.permute(table).permute(inverse).state_dict(), state)


def test_a_mapped_file_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    graph_of(network()).save(path)
    before = path.read_bytes()
    loaded = WeightGraph.load(path)
    loaded.tensors["0.weight"].add_(1)
    loaded.permute({"0": torch.arange(6).flip(0)}).tensors["0.weight"].zero_()
    assert path.read_bytes() == before


def test_from_a_checkpoint_with_a_wrappers_prefix_and_a_module_on_meta(tmp_path: Path) -> None:
    module = network()
    state = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "model.pt")
    with torch.device("meta"):
        empty = network()
    graph = WeightGraph.from_checkpoint(checkpoint.open(tmp_path / "model.pt"), empty, (X.to("meta"),))
    assert equal_bytes(graph.state_dict(), module.state_dict())


def test_a_buffer_that_the_module_no_longer_saves_is_carried(tmp_path: Path) -> None:
    module = network()
    module.register_buffer("places", torch.arange(4), persistent=False)
    state = {**module.state_dict(), "places": torch.arange(4)}
    checkpoint.save(state, tmp_path / "old.safetensors")
    graph = WeightGraph.from_checkpoint(checkpoint.open(tmp_path / "old.safetensors"), module, (X,))
    assert equal_bytes(graph.state_dict(), state)
    graph.save(tmp_path / "new.safetensors")
    assert equal_bytes(WeightGraph.load(tmp_path / "new.safetensors").state_dict(), state)
    permuted = graph.permute(random_permutations(graph.structure))
    assert torch.equal(permuted.tensors["places"], torch.arange(4))
    permuted.load_into(module)


def test_tensors_that_do_not_fit_are_all_named() -> None:
    graph = graph_of(network())
    wrong = dict(graph.tensors)
    wrong["0.weight"] = torch.zeros(6, 4)
    del wrong["3.bias"]
    with pytest.raises(CheckpointError) as caught:
        WeightGraph(graph.structure, wrong)
    assert "0.weight: expected shape (6, 3), got (6, 4)" in str(caught.value)
    assert "3.bias: expected shape (2,), got nothing" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        "{}",
        '{"groups": [{"name": "a"}]}',
        "[" * 100_000,
        json.dumps({"groups": [], "axes": {"w": ["unknown"]}, "outputs": {}}),
        json.dumps({"groups": [], "axes": {"w": [["*", -1]]}, "outputs": {}}),
        json.dumps({"groups": [], "axes": {"w": [3]}, "outputs": {}, "counted": [], "tied": [1], "unused": []}),
    ],
)
def test_a_hostile_structure_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "g.safetensors"
    save_file({"w": torch.zeros(3)}, path, metadata={STRUCTURE_KEY: text})
    with pytest.raises(CheckpointError, match=r"g\.safetensors"):
        WeightGraph.load(path)


def test_a_checkpoint_without_a_structure_says_what_to_do(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(3)}, tmp_path / "g.safetensors")
    with pytest.raises(CheckpointError, match="graphlab convert"):
        WeightGraph.load(tmp_path / "g.safetensors")


def test_a_graph_prints_itself() -> None:
    text = repr(graph_of(network()))
    assert text.startswith("WeightGraph: 62 parameters")
    assert "free" in text
    assert "[output:0, 0]" in text


def test_verify_gives_noise_to_tensors_that_would_feel_nothing() -> None:
    result = verify(network(), (X,))
    assert set(result.perturbed) == {"1.weight", "1.bias", "1.running_mean", "1.running_var"}
    assert result.passed
    assert result.checks[0].control is not None
