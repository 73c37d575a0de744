"""A run's state as a file, bit for bit."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch

from graphlab.checkpoint import CheckpointError, save
from graphlab.engine import EngineError
from graphlab.engine.seeding import generator_states, seed_all, set_generator_states
from graphlab.engine.state import read_state, write_state


def test_a_tree_comes_back_with_its_types_and_bits(tmp_path):
    shared = torch.randn(3)
    tree = {
        "number": 0.1 + 0.2,
        "special": [math.inf, -math.inf],
        "by step": {0: {"step": torch.tensor(3.0)}, 7: None},
        "tuple": (1, "two", True, (None,)),
        "tensors": [torch.arange(3, dtype=torch.uint8), torch.zeros(0, 4), torch.ones((), dtype=torch.bfloat16)],
        "array": np.arange(4, dtype=np.uint32),
        "twice": [shared, shared],
        "": {},
    }
    write_state(tree, tmp_path / "state.safetensors")
    again = read_state(tmp_path / "state.safetensors")
    for name in ("number", "special", "tuple", ""):
        assert again[name] == tree[name]
        assert type(again[name]) is type(tree[name])
    assert again["by step"][0]["step"].item() == 3
    assert list(again["by step"]) == [0, 7]
    for a, b in zip(again["tensors"], tree["tensors"], strict=True):
        assert torch.equal(a, b)
        assert a.dtype == b.dtype
    assert again["array"].dtype == np.uint32
    assert again["array"].tolist() == [0, 1, 2, 3]
    again["twice"][0].zero_()
    assert torch.equal(again["twice"][1], shared)


def test_nan_comes_back(tmp_path):
    write_state(math.nan, tmp_path / "state.safetensors")
    assert math.isnan(read_state(tmp_path / "state.safetensors"))


def test_what_cannot_be_kept_is_named(tmp_path):
    with pytest.raises(EngineError, match=r"state\['model'\]\[1\] is a function"):
        write_state({"model": [1, print.__class__ and (lambda: 0)]}, tmp_path / "state.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["{", '{"unknown": 1}', '{"tensor": "0"}', '{"dict": 3}', '{"a": 1, "b": 2}'])
def test_a_damaged_description_is_a_checkpoint_error(tmp_path, text):
    save({}, tmp_path / "state.safetensors", {"graphlab.run": text})
    with pytest.raises(CheckpointError, match="damaged"):
        read_state(tmp_path / "state.safetensors")


def test_every_generator_goes_on_where_it_was(tmp_path):
    def draw():
        return torch.randn(3).tolist(), np.random.randn(3).tolist(), random.gauss(0, 1), random.random()

    seed_all(5)
    draw()
    write_state(generator_states(), tmp_path / "state.safetensors")
    expected = draw()
    seed_all(6)
    set_generator_states(read_state(tmp_path / "state.safetensors"))
    assert draw() == expected


def test_seeds_are_torchs_own_on_the_first_process_and_others_elsewhere():
    seed_all(3)
    first = torch.randn(4)
    assert torch.equal(first, torch.manual_seed(3) and torch.randn(4))
    seed_all(3, process=1)
    assert not torch.equal(first, torch.randn(4))
