"""``graphlab zoo`` and ``graphlab embed``."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from tests.cli.test_commands import fail, run

SMALL = ("--set", "layout=[2,4,4,1]", "--set", "steps=2")


@pytest.mark.parametrize("command", [("zoo", "make"), ("zoo", "show"), ("embed",)])
def test_the_help_of_every_command_has_an_example(command):
    assert f"Example: graphlab {' '.join(command)}" in " ".join(run(*command, "--help").output.split())


def test_a_zoo_is_made_gone_on_with_and_shown(tmp_path):
    folder = tmp_path / "zoo"
    made = json.loads(run("zoo", "make", "inr", folder, "--count", 5, "--seed", 3, *SMALL, "--json").stdout)
    assert (made["networks"], made["made"], made["skipped"]) == (5, 5, [])
    assert made["facts"]["label"]["max"] <= 9
    output = " ".join(run("zoo", "make", "inr", folder, "--count", 7, "--seed", 3, *SMALL).stdout.split())
    assert "7 networks of 1 architectures, 7 made now; 0 skipped." in output
    shown = json.loads(run("zoo", "show", folder, "--strict", "--json").stdout)
    assert (shown["networks"], shown["parameters"]) == (7, {"min": 37, "max": 37})
    (folder / "shard-00000.safetensors").write_bytes(b"")
    assert "holds no networks" in fail("zoo", "show", folder)


def test_other_kinds(tmp_path):
    cnn = ("--set", "depth=[2]", "--set", "channels=[2]", "--set", "checkpoints=[0,1]", "--set", "networks=1")
    document = json.loads(run("zoo", "make", "cnn", tmp_path / "cnn", "--count", 4, *cnn, "--json").stdout)
    assert document["networks"] == 4
    sine = ("--set", "layout=[1,4,1]", "--set", "points=4", "--set", "steps=1")
    assert "mse" in run("zoo", "make", "sine", tmp_path / "sine", "--count", 3, *sine).stdout


def test_what_makes_no_sense_is_refused(tmp_path):
    folder = tmp_path / "zoo"
    assert "no setting wings" in fail("zoo", "make", "inr", folder, "--set", "wings=2")
    assert "layout such as" in fail("zoo", "make", "inr", folder, "--set", "layout=[3,1]")
    run("zoo", "make", "inr", folder, "--count", 2, *SMALL)
    assert "another recipe" in fail("zoo", "make", "inr", folder, "--count", 2, "--seed", 1, *SMALL)
    assert "no zoo 'nowhere'" in fail("zoo", "show", "nowhere")


def test_checkpoints_are_embedded_mapped_and_compared(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    for seed in range(3):
        torch.manual_seed(seed)
        torch.save(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).state_dict(), folder / f"{seed}.pt")
    (folder / "broken.pt").write_bytes(b"PK\x03\x04")
    document = json.loads(run("embed", folder, "-o", tmp_path / "map.png", "--neighbours", 2, "--json").stdout)
    assert [own["name"] for own in document["checkpoints"]] == ["0.pt", "1.pt", "2.pt"]
    assert all(len(own["neighbours"]) == 2 and len(own["map"]) == 2 for own in document["checkpoints"])
    assert len({len(own["embedding"]) for own in document["checkpoints"]}) == 1
    assert list(document["skipped"]) == ["broken.pt"]
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    output = " ".join(run("embed", folder, "--method", "tsne").stdout.split())
    assert "skipped broken.pt" in output
    assert "3 checkpoints, 1 skipped." in output


def test_folders_without_checkpoints_are_refused(tmp_path):
    assert "no checkpoints in it" in fail("embed", tmp_path)
    (tmp_path / "one.pt").write_bytes(b"PK\x03\x04")
    assert "none can be described" in fail("embed", tmp_path)
    assert "cannot be listed" in fail("embed", tmp_path / "nowhere")
