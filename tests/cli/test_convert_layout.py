"""``graphlab convert --layout``: explicit graphs in files, and back."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from graphlab import checkpoint
from graphlab.checkpoint import CheckpointError
from graphlab.cli import app
from graphlab.weightgraph import WeightGraph, equal_bytes
from graphlab.weightgraph.graph_file import GRAPH_KEY, load_graph
from tests.architectures import ARCHITECTURES
from tests.cli import networks


def run(*arguments, code=0):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def mlp(tmp_path):
    torch.save(networks.mlp()[0].state_dict(), tmp_path / "mlp.pt")
    return tmp_path / "mlp.pt"


def test_an_explicit_graph_holds_the_weights(mlp, tmp_path):
    arguments = ("convert", mlp, "--module", "tests.cli.networks:mlp", "-o", tmp_path / "graph.safetensors")
    report = json.loads(run(*arguments, "--layout", "nino", "--positions", 2, "--set", "max_slots=9", "--json").stdout)
    data, layout, options = load_graph(tmp_path / "graph.safetensors")
    assert (report["layout"], report["edges"], report["equal_bytes"]) == ("nino", data.num_edges, True)
    assert (layout, options, data.lpe.shape[1], data.edge_attr.shape[1]) == ("nino", {"max_slots": 9}, 2, 9)
    module, args, kwargs = networks.mlp()
    graph = WeightGraph.from_module(module, args, kwargs)
    blank = WeightGraph(graph.structure, {n: torch.zeros_like(t) for n, t in graph.tensors.items()}, module)
    assert equal_bytes(blank.with_data(data, layout, **options).state_dict(), torch.load(mlp))
    printed = run(*arguments, "--layout", "exact").stdout
    assert "Layout exact:" in printed
    assert "bit for bit" in printed


def test_a_folder_in_its_published_drawing(tmp_path):
    ARCHITECTURES["gpt2"]().module.save_pretrained(tmp_path / "gpt2")
    arguments = ("convert", tmp_path / "gpt2", "-o", tmp_path / "graph.safetensors", "--layout", "nino", "--json")
    published = json.loads(run(*arguments, "--set", "wiring=published").stdout)
    exact = json.loads(run(*arguments).stdout)
    assert published["edges"] != exact["edges"]
    assert published["options"] == {"wiring": "published"}


def test_weights_without_code_are_drawn_by_a_guess_that_is_called_one(mlp, tmp_path):
    result = run("convert", mlp, "-o", tmp_path / "graph.safetensors", "--layout", "exact")
    assert "guessed from names and shapes" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layout", "exakt"], "no layout 'exakt'; there are"),
        (["--layout", "nino", "--set", "colour=1"], "layout nino has no option colour; it has wiring"),
        (["--layout", "nino", "--set", "colour"], "--set colour: expected NAME=VALUE"),
        (["--layout", "parameter_graph"], "parameter_graph reads modules"),
        (["--positions", "3"], "give --layout too"),
    ],
)
def test_what_cannot_be_drawn_is_said(mlp, tmp_path, options, message):
    result = run("convert", mlp, "-o", tmp_path / "graph.safetensors", *options, code=1)
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "graph.safetensors").exists()


def test_files_that_are_no_graphs(mlp, tmp_path):
    with pytest.raises(CheckpointError, match="no explicit graph"):
        load_graph(mlp)
    for text in ("[]", "{", '{"layout": "exact", "options": {}, "num_nodes": "many"}', "[" * 100_000):
        checkpoint.save({"edge_index": torch.zeros(2, 1)}, tmp_path / "bad.safetensors", {GRAPH_KEY: text})
        with pytest.raises(CheckpointError, match="its graph cannot be read"):
            load_graph(tmp_path / "bad.safetensors")
    about = json.dumps({"layout": "exact", "options": {}, "num_nodes": 3})
    checkpoint.save({"edge_index": torch.full((2, 1), 7)}, tmp_path / "bad.safetensors", {GRAPH_KEY: about})
    with pytest.raises(CheckpointError, match="its graph cannot be read"):
        load_graph(tmp_path / "bad.safetensors")
