"""Descriptions of networks of any mix of architectures, maps and neighbours."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphlab import checkpoint
from graphlab.checkpoint import CheckpointError
from graphlab.weightgraph import WeightGraph, random_permutations
from graphlab.weightgraph.population import Population, embed
from graphlab.weightgraph.weight_statistics import KINDS, NAMES, PARTS, SAMPLED, weight_statistics


def mlp():
    return nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 3))


def cnn():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, 5)
    )


def transformer():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2, enable_nested_tensor=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for seed in range(3):
        for build in (mlp, cnn, transformer):
            torch.manual_seed(seed)
            (folder / build.__name__).mkdir(exist_ok=True)
            torch.save(build().state_dict(), folder / build.__name__ / f"{seed}.pt")
    return folder


def population(folder):
    return Population.of({str(path.relative_to(folder)): path for path in checkpoint.find(folder)})


def test_networks_of_a_kind_are_neighbours(models):
    found = population(models)
    assert found.embeddings.shape == (9, len(KINDS) * PARTS * len(NAMES))
    assert not found.skipped
    for name, near in found.neighbours(2).items():
        assert {own.name.split("/")[0] for own in near} == {name.split("/")[0]}
        assert near[0].distance <= near[1].distance


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_maps_are_repeatable(models, method):
    found = population(models)
    first, second = (found.map(method, seed=1) for _ in range(2))
    assert first.shape == (9, 2)
    assert torch.equal(first, second)
    assert first.isfinite().all()


def test_descriptions_do_not_depend_on_the_order_of_neurons(tmp_path):
    torch.manual_seed(0)
    module = mlp()
    graph = WeightGraph.from_module(module, (torch.randn(2, 6),))
    permuted = graph.permute(random_permutations(graph.structure))
    assert not torch.equal(permuted.state_dict()["2.weight"], graph.state_dict()["2.weight"])
    rows = []
    for name, state in (("a", graph.state_dict()), ("b", permuted.state_dict())):
        checkpoint.save(state, tmp_path / f"{name}.safetensors")
        rows.append(embed(checkpoint.open(tmp_path / f"{name}.safetensors")))
    torch.testing.assert_close(rows[0], rows[1], equal_nan=True)


def test_the_numbers_are_those_of_the_weights():
    torch.manual_seed(0)
    module = mlp()
    graph = WeightGraph.from_module(module, (torch.randn(2, 6),))
    found = weight_statistics(graph.wiring(), graph.tensors)
    last = module[4].weight.detach().double()
    row = dict(zip(NAMES, found[KINDS.index("weights"), -1].tolist(), strict=True))
    assert row["log2 std"] == pytest.approx(last.std(correction=0).log2().item())
    assert row["quantile 0.75 / std"] == pytest.approx((last.quantile(0.75) / last.std(correction=0)).item())
    assert 2 ** row["log2 fan-in"] == pytest.approx(24)
    assert 2 ** row["log2 fan-out"] == pytest.approx(3)
    assert (row["zeros"], row["log2 blocks"]) == (0, 0)
    assert found[KINDS.index("kernels")].isnan().all()


def test_large_blocks_are_sampled():
    big = nn.Linear(1024, 1024)
    graph = WeightGraph.from_module(nn.Sequential(nn.Linear(4, 1024), nn.ReLU(), big), (torch.randn(2, 4),))
    assert big.weight.numel() > SAMPLED
    found = weight_statistics(graph.wiring(), graph.tensors)[KINDS.index("weights"), -1]
    assert found[0].item() == pytest.approx(big.weight.std(correction=0).log2().item(), abs=0.01)


def test_what_cannot_be_described_is_skipped(models, tmp_path):
    paths = {path.name: path for path in checkpoint.find(models / "mlp")}
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04")
    checkpoint.save({"0.weight": torch.tensor([[1.0, float("nan")]])}, tmp_path / "nan.safetensors")
    checkpoint.save({"step": torch.tensor(3)}, tmp_path / "counter.safetensors")
    names = ("cut.pt", "nan.safetensors", "counter.safetensors")
    found = Population.of({**paths, **{name: tmp_path / name for name in names}})
    assert (len(found.names), set(found.skipped)) == (3, set(names))
    assert "0.weight" in found.skipped["nan.safetensors"]
    assert "NaN or infinity" in found.skipped["nan.safetensors"]
    assert "no weights" in found.skipped["counter.safetensors"]
    with pytest.raises(CheckpointError, match=r"none can be described\n  .*cut\.pt"):
        Population.of({"cut": tmp_path / "cut.pt"})


def test_one_network_has_no_map_and_no_neighbours(models):
    alone = Population.of({"one": models / "mlp" / "0.pt"})
    assert alone.neighbours() == {"one": []}
    with pytest.raises(ValueError, match="needs 2 networks"):
        alone.map()
    with pytest.raises(ValueError, match="expected pca or tsne"):
        alone.map("umap")


def test_folders_with_a_configuration_are_one_checkpoint(tmp_path):
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text("{}")
    for name in ("bert/model.safetensors", "bert/extra.bin", "one.pth", ".hidden.pt", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.pt").write_bytes(b"")
    assert checkpoint.find(tmp_path) == [tmp_path / "one.pth", tmp_path / "bert"]
    with pytest.raises(CheckpointError, match="cannot be listed"):
        checkpoint.find(tmp_path / "nowhere")
