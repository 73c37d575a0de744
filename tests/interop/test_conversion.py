"""Folders that transformers writes come back whole, whatever names it writes them under."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphlab import checkpoint
from graphlab.checkpoint import Checkpoint
from graphlab.interop import example_inputs, load_module, module_from_config, present_names
from graphlab.weightgraph import WeightGraph, equal_bytes
from tests.architectures import ARCHITECTURES


@pytest.mark.parametrize("name", ["bert", "vit", "swin", "gpt_neox", "mixtral", "t5"])
def test_a_saved_model_gives_every_byte_back(name: str, tmp_path: Path) -> None:
    original = ARCHITECTURES[name]().module
    original.save_pretrained(tmp_path)
    opened = checkpoint.open(tmp_path)
    module = module_from_config(tmp_path)
    named = present_names(opened, module)
    assert isinstance(named, Checkpoint) == (name in ("bert", "t5"))
    graph = WeightGraph.from_checkpoint(named, module, (), example_inputs(module))
    state = original.state_dict()
    assert equal_bytes(graph.state_dict(), state)
    assert equal_bytes(load_module(opened).state_dict(), state)
    if name != "mixtral":
        places = [tensor.data_ptr() for tensor in graph.tensors.values()]
        size = (tmp_path / "model.safetensors").stat().st_size
        assert max(places) - min(places) < size, "renamed tensors are still views of the one mapped file"
