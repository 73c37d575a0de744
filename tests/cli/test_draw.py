"""``graphlab draw``: a picture, or one line that says why not."""

from __future__ import annotations

from pathlib import Path

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


def test_tensors_alone_cannot_be_drawn(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(2)}, tmp_path / "w.pt")
    result = CliRunner().invoke(app, ["draw", str(tmp_path / "w.pt"), "-o", str(tmp_path / "w.png")])
    assert result.exit_code == 1
    assert "not what computes with them" in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "w.png").exists()
