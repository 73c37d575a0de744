"""``graphlab align``: from files to a file, and what it says of the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

from graphlab import checkpoint
from graphlab.cli import app
from graphlab.weightgraph import WeightGraph, equal_bytes, random_permutations
from tests.cli import networks

FACTORY = "tests.cli.networks:mlp"


def run(*arguments: Any, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["align", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def pair(tmp_path: Path) -> tuple[WeightGraph, Path, Path]:
    """A network, and the files of it and of it shuffled."""
    module, args, _ = networks.mlp()
    a = WeightGraph.from_module(module, args)
    b = a.permute(random_permutations(a.structure, generator=torch.Generator().manual_seed(0)))
    a.save(tmp_path / "a.safetensors")
    b.save(tmp_path / "b.safetensors")
    torch.save(dict(b.state_dict()), tmp_path / "b.pt")
    return a, tmp_path / "a.safetensors", tmp_path / "b.safetensors"


def test_a_shuffled_network_is_put_back(pair: tuple[WeightGraph, Path, Path], tmp_path: Path) -> None:
    graph, a, b = pair
    output = run(a, b, "-o", tmp_path / "out.safetensors").stdout
    for said in ("objective", "distance", "1 of 1 free groups moved", "out.safetensors"):
        assert said in output
    assert equal_bytes(WeightGraph.load(tmp_path / "out.safetensors").state_dict(), graph.state_dict())


def test_weight_files_with_the_code_of_the_network(pair: tuple[WeightGraph, Path, Path], tmp_path: Path) -> None:
    graph, a, b = pair
    result = run(a, b.with_suffix(".pt"), "-o", tmp_path / "out.safetensors", "--module", FACTORY, "--json")
    report = json.loads(result.stdout)
    assert report["distance_before"] > report["distance_after"] == 0
    assert report["objectives"][-1] > report["objectives"][0]
    assert sum(report["moved"].values()) > 0
    assert equal_bytes(WeightGraph.load(tmp_path / "out.safetensors").state_dict(), graph.state_dict())


def test_networks_of_different_structure(pair: tuple[WeightGraph, Path, Path], tmp_path: Path) -> None:
    WeightGraph.from_module(nn.Linear(4, 3), (torch.randn(2, 4),)).save(tmp_path / "c.safetensors")
    result = run(pair[1], tmp_path / "c.safetensors", "-o", tmp_path / "out.safetensors", code=1)
    assert result.stderr.startswith("error:")
    assert "the structures differ" in result.stderr
    assert not (tmp_path / "out.safetensors").exists()


def test_weights_without_code_say_what_to_do(pair: tuple[WeightGraph, Path, Path], tmp_path: Path) -> None:
    result = run(pair[1], pair[2].with_suffix(".pt"), "-o", tmp_path / "out.safetensors", code=1)
    assert "--module package.module:function" in result.stderr


def test_a_saved_guess_needs_the_code(pair: tuple[WeightGraph, Path, Path], tmp_path: Path) -> None:
    graph, _, b = pair
    guessed = tmp_path / "guessed.safetensors"
    assert CliRunner().invoke(app, ["convert", str(b.with_suffix(".pt")), "-o", str(guessed)]).exit_code == 0
    out = tmp_path / "out.safetensors"
    assert "guessed from names and shapes" in run(pair[1], guessed, "-o", out, code=1).stderr
    run(pair[1], guessed, "-o", out, "--module", FACTORY)
    assert equal_bytes(WeightGraph.load(out).state_dict(), graph.state_dict())


def test_activations_on_given_inputs(pair: tuple[WeightGraph, Path, Path], tmp_path: Path) -> None:
    graph, a, b = pair
    out, inputs = tmp_path / "out.safetensors", tmp_path / "inputs.safetensors"
    checkpoint.save({"0": torch.randn(50, 4, generator=torch.Generator().manual_seed(0))}, inputs)
    output = run(a, b, "-o", out, "--module", FACTORY, "--by", "activations", "--inputs", inputs).stdout
    assert "sum of correlations" in output
    assert equal_bytes(WeightGraph.load(out).state_dict(), graph.state_dict())
    report = json.loads(run(a, b, "-o", out, "--module", FACTORY, "--by", "activations", "--json").stdout)
    assert (report["by"], report["matched_by_weights"]) == ("activations", [])


def test_activations_need_the_network_and_its_inputs(pair: tuple[WeightGraph, Path, Path], tmp_path: Path) -> None:
    _, a, b = pair
    common = (a, b, "-o", tmp_path / "out.safetensors")
    inputs = tmp_path / "inputs.safetensors"
    checkpoint.save({"x": torch.randn(50, 4)}, inputs)
    assert "--module package.module:function" in run(*common, "--by", "activations", code=1).stderr
    assert "for --by activations and --curve" in run(*common, "--inputs", inputs, code=1).stderr
    wrong = run(*common, "--module", FACTORY, "--by", "activations", "--inputs", inputs, code=1)
    assert "expected tensors named 0, got x" in wrong.stderr
    assert not (tmp_path / "out.safetensors").exists()


def test_the_curves_between_two_networks_as_a_picture(pair: tuple[WeightGraph, Path, Path], tmp_path: Path) -> None:
    _, a, b = pair
    common = (a, b, "-o", tmp_path / "out.safetensors", "--module", FACTORY, "--curve", tmp_path / "curve.png")
    assert "barrier" in run(*common, "--points", 5).stdout.lower()
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads(run(*common, "--points", 5, "--json").stdout)["curves"]
    assert len(report["before"]["losses"]) == 5
    assert report["after"]["barrier"] < 1e-12 < report["before"]["barrier"]  # the same network, put back


def test_the_curve_of_a_loss_of_your_own(pair: tuple[WeightGraph, Path, Path], tmp_path: Path) -> None:
    graph, a, b = pair
    common = (a, b, "-o", tmp_path / "out.safetensors", "--module", FACTORY, "--json")
    curve = ("--curve", tmp_path / "curve.png", "--loss", "tests.cli.networks:size")
    before = json.loads(run(*common, *curve).stdout)["curves"]["before"]["losses"]
    assert before[0] == pytest.approx(sum(float(tensor.square().sum()) for tensor in graph.tensors.values()))
    assert "--loss is for --curve" in run(*common, *curve[2:], code=1).stderr
    failing = run(*common, *curve[:3], "tests.cli.networks:fails_on", code=1)
    assert "fails_on: it failed: RuntimeError: no such batch" in failing.stderr


def test_the_help_has_an_example() -> None:
    assert "Example: graphlab align" in " ".join(run("--help").output.split())
