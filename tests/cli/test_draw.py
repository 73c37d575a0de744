"""``graphlab draw``: a picture, or one line that says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from graphlab.cli.app import app
from graphlab.weightgraph import WeightGraph


def test_a_weight_graph_is_drawn(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    WeightGraph.from_module(module, (torch.randn(2, 3),)).save(tmp_path / "net.safetensors")
    result = CliRunner().invoke(app, ["draw", str(tmp_path / "net.safetensors"), "-o", str(tmp_path / "net.png")])
    assert result.exit_code == 0, result.output
    assert "3 groups of neurons, of which 1 may be permuted" in result.output
    assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")


def test_the_weights_of_a_weight_graph_are_drawn(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    WeightGraph.from_module(module, (torch.randn(2, 3),)).save(tmp_path / "net.safetensors")
    picture = str(tmp_path / "net.png")
    result = CliRunner().invoke(app, ["draw", str(tmp_path / "net.safetensors"), "-o", picture, "--adjacency"])
    assert result.exit_code == 0, result.output
    assert "26 edges between 11 nodes." in result.output
    assert "guessed" not in result.output
    assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")


def test_large_networks_are_pooled(tmp_path: Path) -> None:
    module = torch.nn.Linear(2_500, 3)
    WeightGraph.from_module(module, (torch.randn(2, 2_500),)).save(tmp_path / "net.safetensors")
    picture = str(tmp_path / "net.png")
    result = CliRunner().invoke(app, ["draw", str(tmp_path / "net.safetensors"), "-o", picture, "--adjacency"])
    assert result.exit_code == 0, result.output
    assert "7,503 edges between 2,504 nodes, pooled to" in result.output


@pytest.mark.parametrize("options", [[], ["--adjacency"]])
def test_tensors_alone_are_drawn_as_what_they_seem_to_be(tmp_path: Path, options: list[str]) -> None:
    torch.save({"one.weight": torch.ones(4, 3), "two.weight": torch.ones(2, 4)}, tmp_path / "w.pt")
    result = CliRunner().invoke(app, ["draw", str(tmp_path / "w.pt"), "-o", str(tmp_path / "w.png"), *options])
    assert result.exit_code == 0, result.output
    assert "guessed from names and shapes" in result.output
    assert (tmp_path / "w.png").exists()


@pytest.mark.parametrize("options", [[], ["--adjacency"]])
def test_what_is_no_checkpoint_is_not_drawn(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "w.pt").write_bytes(b"nothing")
    result = CliRunner().invoke(app, ["draw", str(tmp_path / "w.pt"), "-o", str(tmp_path / "w.png"), *options])
    assert result.exit_code == 1
    assert "w.pt" in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "w.png").exists()
