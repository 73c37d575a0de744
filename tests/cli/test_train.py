"""``graphlab train``, ``graphlab list`` and ``graphlab results``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tests.engine.toy  # noqa: F401 (registers the small protocol and its model)
from graphlab.presets import presets
from tests.cli.test_commands import fail, run

ROOT = Path(__file__).parents[2]
TOY = "tests.engine.toy:toy-mlp"


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    """Commands write into the current folder unless told otherwise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT)


def toy(*arguments, code=0):
    return run("train", TOY, "--device", "cpu", "--set", "epochs=2", *arguments, code=code)


@pytest.mark.parametrize("command", ["train", "list", "results"])
def test_the_help_of_every_command_has_an_example(command):
    assert f"Example: graphlab {command}" in " ".join(run(command, "--help").output.split())


# --- train ------------------------------------------------------------------------------------------------------------


def test_a_model_of_a_module_is_trained_into_the_default_folder():
    output = " ".join(toy("--seeds", 2).stdout.split())
    for said in ("toy-mlp-line", "±", "test_accuracy (%)", "runs/toy-mlp-line: curves.png"):
        assert said in output
    assert Path("runs/toy-mlp-line/seed-1/model.safetensors").exists()


def test_settings_reach_the_model_and_the_protocol():
    document = json.loads(toy("--set", "hidden=3", "--set", "lr=5e-3", "--out", "here", "--json").stdout)
    assert document["folder"] == "here"
    assert document["runs"][0]["epochs"] == 2
    assert document["runs"][0]["parameters"] == 3 * 3 + 3 + 3 + 1
    config = json.loads(Path("here/config.json").read_text())
    assert (config["options"]["hidden"], config["config"]["lr"]) == (3, 0.005)


def test_the_same_command_with_more_seeds_adds_runs_and_with_other_settings_is_refused():
    toy("--out", "here")
    assert len(json.loads(toy("--out", "here", "--seeds", 3, "--json").stdout)["runs"]) == 3
    message = fail("train", TOY, "--device", "cpu", "--set", "epochs=3", "--out", "here")
    assert message.startswith("error: here holds another experiment")
    assert "config.epochs: 2, now 3" in message


def test_a_preset_of_ones_own():
    settings = "{epochs: {value: 1, source: me}, hidden: {value: 4, source: me}}"
    Path("mine.yaml").write_text(
        f"{{model: toy-mlp, dataset: line, sources: {{me: my notes}}, settings: {settings}}}",
    )
    document = json.loads(run("train", "mine.yaml", "--device", "cpu", "--set", "epochs=2", "--json").stdout)
    assert document["runs"][0]["epochs"] == 2
    assert document["folder"] == "runs/mine"
    assert "is for line, not cora" in fail("train", "mine.yaml", "--dataset", "cora")


@pytest.fixture
def tiny(tmp_path):
    """A folder of data sets with a made-up one in the place of minesweeper: two groups of nodes, told apart by x."""
    numbers = np.random.default_rng(0)
    labels = np.arange(60) % 2
    ends = numbers.integers(0, 30, (2, 100)) * 2 + numbers.integers(0, 2, 100)  # edges inside each group
    masks = np.arange(60)[None] // 20 == np.arange(3)[:, None]
    (folder := tmp_path / "data" / "heterophilous" / "minesweeper" / "raw").mkdir(parents=True)
    np.savez(
        folder / "minesweeper.npz",
        node_features=np.float32(np.eye(2, 4)[labels] + numbers.normal(0, 0.1, (60, 4))),
        node_labels=labels,
        edges=ends.T,
        **{f"{name}_masks": np.tile(mask, (10, 1)) for name, mask in zip(("train", "val", "test"), masks, strict=True)},
    )
    return tmp_path / "data"


def test_the_example_of_a_model_of_ones_own_runs(tiny):
    settings = ["--set", "epochs=60", "--set", "hops=1", "--set", "normalize_features=false", "--set", "lr=0.1"]
    where = ["--dataset", "minesweeper", "--data-dir", tiny, "--device", "cpu", "--seeds", 2, "--json"]
    document = json.loads(run("train", "examples.own_model:linear-hops", *where, *settings).stdout)
    assert document["metrics"]["test_acc"]["mean"] > 0.9
    assert len((ROOT / "examples" / "own_model.py").read_text().splitlines()) < 40


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "no model 'nothing'; there are"),
        (["no.such.module:net"], "cannot import no.such.module"),
        (["missing.yaml"], "missing.yaml: cannot be read"),
        (["dagnn"], "--dataset is needed; there are presets of dagnn for"),
        (["dagnn-cora", "--dataset", "citeseer"], "dagnn-cora"),
        (["dagnn", "--dataset", "cora", "--set", "KK=3"], "preset dagnn-cora: no setting KK"),
        (["dagnn", "--dataset", "cora", "--set", "K=many"], "K must be a whole number; it is 'many'"),
        (["dagnn", "--dataset", "cora", "--set", "K"], "--set K: expected NAME=VALUE"),
        (["dagnn", "--dataset", "cora", "--set", "K=1", "--set", "K=2"], "each name once"),
        ([TOY, "--device", "abacus"], "no device 'abacus'; expected auto, cpu"),
        ([TOY, "--set", "dropout=2"], "error: toy-mlp-line: dropout probability has to be between 0 and 1"),
    ],
)
def test_what_cannot_be_trained_is_explained(arguments, said):
    assert said in fail("train", *arguments)


# --- results ----------------------------------------------------------------------------------------------------------


def test_many_run_folders_make_one_table_and_one_picture():
    toy("--out", "all/first", "--seeds", 2)
    toy("--out", "all/second", "--set", "lr=0.1")
    output = run("results", "all", "-o", "picture.png").stdout
    assert all(said in output for said in ("first", "second", "val_loss", "picture.png"))
    assert Path("picture.png").read_bytes().startswith(b"\x89PNG")
    first, second = json.loads(run("results", "all/first", "all/second", "--json").stdout)
    assert [len(first["runs"]), len(second["runs"])] == [2, 1]
    assert first["metrics"]["val_loss"]["population_std"] < first["metrics"]["val_loss"]["std"]
    assert second["config"]["config"]["lr"] == 0.1


def test_what_is_no_run_folder_is_named():
    Path("empty").mkdir()
    assert "empty: neither a run folder" in fail("results", "empty")
    assert "missing is no run folder" in fail("results", "missing")


# --- list -------------------------------------------------------------------------------------------------------------


def test_all_models_are_listed_with_their_presets():
    output = run("list").stdout
    assert all(said in output for said in ("dagnn", "node-classification", "citeseer", "K=10"))
    document = json.loads(run("list", "--json").stdout)
    listed = {name for entry in document.values() for name in entry["presets"]}
    assert listed >= set(presets())


def test_a_model_is_listed_with_the_source_of_every_number():
    output = run("list", "dagnn").stdout
    assert all(said in output for said in ("dagnn-cora", "weight_decay", "github.com/divelab/DeeperGNN"))
    assert "no model dagn; there are" in fail("list", "dagn")
