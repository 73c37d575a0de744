"""``graphlab train --task``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphlab.engine import EngineError
from graphlab.presets import find_preset, read_preset
from tests.cli.test_commands import fail, run

ROOT = Path(__file__).parents[3]
SHORT = ("--device", "cpu", "--set", "epochs=1", "--set", "warmup=0", "--set", "batch_size=8")


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT)


def test_the_example_of_a_model_that_reads_networks_is_trained(cnn_zoo):
    name = "examples.own_network_model:weight-set"
    run("train", name, "--task", "cnn-generalisation", "--dataset", cnn_zoo, *SHORT)
    folder = Path("runs/weight-set-cnn-generalisation-cnn")
    assert json.loads((folder / "config.json").read_text())["protocol"] == "cnn-generalisation"
    assert (folder / "seed-0" / "accuracies.png").exists()


def test_a_task_that_a_model_is_not_for_is_refused(cnn_zoo):
    assert "'inr-editing', but for inr-classification" in fail("train", "statnn", "--task", "inr-editing")
    assert "'links', but for node-classification" in fail("train", "dagnn", "--task", "links", "--dataset", "cora")


def test_a_task_has_a_usual_data_set_and_presets_for_it(tmp_path):
    preset = find_preset("neural-graph", "digits-inr", "inr-classification")
    assert preset is not None
    assert preset.experiment({"epochs": 3}).title == "neural-graph-inr-classification-digits-inr"
    assert find_preset("neural-graph", "digits-inr") is None
    message = fail("train", "dws", "--task", "sine-ssl", "--data-dir", tmp_path)
    assert "graphlab zoo make sine" in message


def test_a_preset_says_its_task(tmp_path, cnn_zoo):
    text = "model: statnn\ntask: {task}\ndataset: {zoo}\nsources: {{}}\nsettings: {{}}\n"
    (tmp_path / "mine.yaml").write_text(text.format(task="cnn-generalisation", zoo=cnn_zoo))
    run("train", "mine.yaml", *SHORT, "--set", "hidden=4")
    assert "leave --task out" in fail("train", "mine.yaml", "--task", "cnn-generalisation")
    (tmp_path / "wrong.yaml").write_text(text.format(task="inr-editing", zoo=cnn_zoo))
    with pytest.raises(EngineError, match="is not trained for 'inr-editing'"):
        read_preset(tmp_path / "wrong.yaml").experiment()
    (tmp_path / "number.yaml").write_text(text.format(task=3, zoo=cnn_zoo))
    with pytest.raises(EngineError, match="task must be text"):
        read_preset(tmp_path / "number.yaml")
