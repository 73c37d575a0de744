"""Published collections, in the form in which they are published: small ones of our own making."""

from __future__ import annotations

import csv
import gzip
import json
import os
import pickle

import numpy as np
import pytest
import torch

from graphlab import checkpoint
from graphlab.datasets import DatasetError
from graphlab.datasets.zoos import (
    ChainArchitecture,
    CNNArchitecture,
    load_zoo,
    read_inrs,
    read_small_cnn_zoo,
    read_trials,
)
from graphlab.nn.models.siren import Siren
from graphlab.nn.models.wild_park import WildParkCNN

# --- MNIST-INR and Fashion-MNIST-INR ----------------------------------------------------------------------------------


def state(layout=(2, 4, 4, 1)):
    return {f"seq.{name}": own.detach() for name, own in Siren(layout).named_parameters()}


@pytest.fixture
def inrs(tmp_path):
    """Twelve images for training, three for testing."""
    for number in range(15):
        part = "training" if number < 12 else "testing"
        folder = tmp_path / "mnist-inrs" / f"mnist_png_{part}_{number % 10}_{number + 100}" / "checkpoints"
        folder.mkdir(parents=True)
        torch.save(state(), folder / "model_final.pth")
    return tmp_path / "mnist-inrs"


def test_label_image_and_part_are_those_of_the_folder(inrs):
    zoo = load_zoo("mnist-inr", inrs.parent, strict=True)
    assert len(zoo) == 15
    order = zoo.fact("image").argsort()
    assert zoo.fact("label")[order].tolist() == [number % 10 for number in range(15)]
    assert zoo.fact("split")[order][12:].tolist() == [2, 2, 2]
    assert (zoo.fact("split") == 1).sum() == 1  # a twelfth
    file = next(inrs.glob("*_7_107/**/*.pth"))
    row = int((zoo.fact("image") == 107).nonzero())
    assert torch.equal(zoo[row].tensors["1.weight"], checkpoint.open(file)["seq.1.weight"])


def test_a_published_split_decides(inrs, tmp_path):
    names = sorted(path.parent.parent.name for path in inrs.rglob("*.pth"))
    paths = [f"/home/them/data/mnist-inrs/{name}/checkpoints/model_final.pth" for name in names]
    split = {"train": {"path": paths[:5], "label": ["3"] * 5}, "val": paths[5:8], "test": paths[8:14]}
    (tmp_path / "mnist_splits.json").write_text(json.dumps(split))
    zoo = read_inrs(inrs)
    assert [len(zoo.split(part)) for part in ("train", "val", "test")] == [5, 3, 6]
    assert zoo.split("train").fact("label").tolist() == [3] * 5
    assert [own.reason for own in zoo.skipped] == ["the split does not name it"]


@pytest.mark.parametrize("document", [{"train": 3}, {"train": {"path": ["a"], "label": []}}, {"train": [1]}, "{", "[]"])
def test_a_split_that_is_none_is_refused(inrs, tmp_path, document):
    (tmp_path / "mnist_splits.json").write_text(document if isinstance(document, str) else json.dumps(document))
    with pytest.raises(DatasetError, match=r"mnist_splits\.json"):
        read_inrs(inrs)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile",)


def test_files_that_cannot_be_used_are_listed_and_nothing_is_run(inrs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = sorted(inrs.rglob("*.pth"))
    torch.save({"state": Hostile()}, files[0])
    files[1].write_bytes(files[1].read_bytes()[:200])
    torch.save({"conv.weight": torch.zeros(2, 2)}, files[2])
    broken = state()
    broken["seq.1.bias"][0] = float("inf")
    torch.save(broken, files[3])
    files[4].write_bytes(pickle.dumps(Hostile()))
    zoo = read_inrs(inrs)
    assert (len(zoo), len(zoo.skipped)) == (10, 5)
    assert not (tmp_path / "hostile").exists()
    assert "1.bias holds NaN or infinity" in {own.reason for own in zoo.skipped}
    with pytest.raises(DatasetError, match="strict"):
        read_inrs(inrs, strict=True)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no networks"):
        read_inrs(tmp_path)


# --- the Small CNN Zoo ------------------------------------------------------------------------------------------------

SHAPES = {
    "sequential/conv2d/bias:0": (3,),
    "sequential/conv2d/kernel:0": (3, 3, 1, 3),
    "sequential/conv2d_1/bias:0": (2,),
    "sequential/conv2d_1/kernel:0": (3, 3, 3, 2),
    "sequential/dense/bias:0": (10,),
    "sequential/dense/kernel:0": (2, 10),
}


@pytest.fixture
def small_cnns(tmp_path):
    """Twenty networks, each at two steps."""
    folder = tmp_path / "smallcnnzoo" / "mnist"
    folder.mkdir(parents=True)
    start, lines = 0, []
    for name, shape in SHAPES.items():
        size = int(np.prod(shape))
        lines.append({"varname": name, "start_idx": start, "end_idx": start + size, "size": size, "shape": str(shape)})
        start += size
    write(folder / "layout.csv", lines)
    np.save(folder / "weights.npy", np.random.default_rng(0).normal(size=(40, start)).astype(np.float32))
    rows = [
        {
            "step": 86 if row % 2 else 0,
            "test_accuracy": row / 100,
            "train_accuracy": row / 50,
            "config.activation": "relu" if row < 20 else "tanh",
        }
        for row in range(40)
    ]
    write(folder / "metrics.csv.gz", rows, gzip.open)
    return folder


def write(path, rows, opener=open):
    with opener(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_the_last_step_of_each_network_with_kernels_turned(small_cnns):
    zoo = load_zoo("small-cnn-zoo-mnist", small_cnns.parent.parent, strict=True)
    assert len(zoo) == 20
    assert {own.activation[0] for own in zoo.architectures} == {"relu", "tanh"}
    network = zoo[0]
    row = int(network.facts["row"])
    assert network.facts["test_accuracy"] == pytest.approx(row / 100)
    raw = np.load(small_cnns / "weights.npy")[row]
    kernel = raw[3:30].reshape(3, 3, 1, 3)  # height, width, in, out
    assert torch.equal(network.tensors["layers.0.weight"], torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
    dense = raw[-20:].reshape(2, 10)
    assert torch.equal(network.tensors["fc.weight"], torch.from_numpy(dense.T.copy()))


def test_half_of_the_shuffled_networks_is_for_testing_and_a_fifth_of_the_rest_for_validation(small_cnns):
    zoo = read_small_cnn_zoo(small_cnns)
    assert [len(zoo.split(part)) for part in ("train", "val", "test")] == [8, 2, 10]
    given = read_small_cnn_zoo(small_cnns, order=list(range(20)))
    assert sorted(given.split("test").fact("row").tolist()) == list(range(21, 40, 2))
    with pytest.raises(DatasetError, match="order of the 20 networks"):
        read_small_cnn_zoo(small_cnns, order=[0, 0])


def test_a_truncated_matrix_leaves_what_is_whole(small_cnns):
    weights = np.load(small_cnns / "weights.npy")
    np.save(small_cnns / "weights.npy", weights[:30])
    zoo = read_small_cnn_zoo(small_cnns)
    assert (len(zoo), zoo.skipped[0].members) == (15, 5)
    (small_cnns / "weights.npy").write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_small_cnn_zoo(small_cnns)
    np.save(small_cnns / "weights.npy", np.array([{}], dtype=object))
    with pytest.raises(DatasetError, match="cannot be read"):
        read_small_cnn_zoo(small_cnns)


def test_tables_without_the_columns_are_refused(small_cnns):
    write(small_cnns / "layout.csv", [{"varname": "a", "start_idx": 0, "end_idx": 4, "shape": "(3,)"}])
    with pytest.raises(DatasetError, match="4 numbers from 0 are not of the shape"):
        read_small_cnn_zoo(small_cnns)
    write(small_cnns / "layout.csv", [{"name": "a"}])
    with pytest.raises(DatasetError, match="varname, start_idx"):
        read_small_cnn_zoo(small_cnns)
    (small_cnns / "layout.csv").unlink()
    with pytest.raises(DatasetError, match=r"layout\.csv missing"):
        read_small_cnn_zoo(small_cnns)


# --- folders of runs --------------------------------------------------------------------------------------------------


def trial(folder, module, params, steps=(10, 20), cut=False):
    folder.mkdir(parents=True)
    (folder / "params.json").write_text(json.dumps(params))
    lines = [json.dumps({"training_iteration": step, "test_acc": step / 100}) for step in steps]
    (folder / "result.json").write_text("\n".join(lines) + ('\n{"training_it' if cut else "\n"))
    for step in steps:
        (folder / f"checkpoint_{step:06d}").mkdir()
        torch.save(module.state_dict(), folder / f"checkpoint_{step:06d}" / "checkpoints")


@pytest.fixture
def park(tmp_path):
    folder = tmp_path / "cnn-wild-park"
    for number in range(8):
        config = {"channels": [4, 3], "kernel_size": [3, 5], "residual": [-1, -1], "activation": ["relu", "tanh"]}
        trial(folder / f"run_{number}", WildParkCNN((3, 4, 3), (3, 5), 10), config, cut=number == 0)
    return folder


def test_runs_of_the_wild_park(park):
    zoo = load_zoo("cnn-wild-park", park.parent, strict=True)
    assert len(zoo) == 16
    architecture = CNNArchitecture((3, 4, 3), (3, 5), 10, (-1, -1), ("relu", "tanh"))
    assert zoo.architectures == (architecture,)
    assert sorted(set(zoo.fact("test_accuracy").mul(100).round().tolist())) == [10, 20]
    sides = [set(zoo.split(part).fact("network").tolist()) for part in ("train", "val", "test")]
    assert [len(side) for side in sides] == [6, 1, 1]
    assert len(sides[0] | sides[1] | sides[2]) == 8


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        conv = torch.nn.Conv2d
        layers = [conv(1, 3, 5), torch.nn.ReLU(), conv(3, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 5)]
        self.module_list = torch.nn.ModuleList(layers)


def test_runs_of_any_sequence_of_layers(tmp_path):
    for number in range(7):
        trial(tmp_path / "zoo" / f"NN_tune_{number}", Net(), {"model::nlin": "tanh"})
    zoo = load_zoo(str(tmp_path / "zoo"))
    (architecture,) = zoo.architectures
    assert isinstance(architecture, ChainArchitecture)
    assert architecture.names == ("module_list.0", "module_list.2", "module_list.4")
    assert architecture.activations == ("tanh", "tanh")
    batch = zoo.batch([0, 1, 2])
    assert batch.num_nodes == 3 * (1 + 3 + 2 * 4 + 5)
    restored = batch.state_dicts()[1]
    assert all(torch.equal(restored[name], own) for name, own in zoo[1].tensors.items())
    with pytest.raises(ValueError, match="code of these networks is not known"):
        zoo[0].graph()


def test_runs_that_cannot_be_used_are_listed(park):
    folder = park / "run_1"
    (folder / "checkpoint_000010" / "checkpoints").write_bytes(b"PK\x03\x04 nothing")
    torch.save(
        {"model": WildParkCNN((3, 4, 3), (3, 5), 10).state_dict(), "config": Hostile()},
        folder / "checkpoint_000020" / "checkpoints",
    )
    (park / "run_2" / "result.json").unlink()
    (park / "run_3" / "params.json").write_text("{")
    (park / "run_4" / "params.json").write_text(
        json.dumps({"channels": [4, 3], "kernel_size": [3, 5], "residual": [0, 9], "activation": ["relu", "no"]})
    )
    torch.save({"bn.running_mean": torch.zeros(3)}, park / "run_5" / "checkpoint_000010" / "checkpoints")
    trial(park / "run_9", torch.nn.Linear(1, 1), {}, steps=())
    zoo = read_trials(park)
    assert len(zoo) == 16 - 2 - 2 - 2 - 2 - 1
    reasons = {own.name: own.reason for own in zoo.skipped}
    assert "not plain tensors" in reasons["run_1/checkpoint_000020/checkpoints"]
    assert "no such file" in reasons["run_2"]
    assert "JSON" in reasons["run_3"]
    assert "unknown activations" in reasons["run_4/checkpoint_000010/checkpoints"]
    assert reasons["run_9"] == "no checkpoint in it"
    with pytest.raises(DatasetError, match="strict"):
        read_trials(park, strict=True)


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"neither index\.json nor runs"):
        load_zoo(str(tmp_path))
