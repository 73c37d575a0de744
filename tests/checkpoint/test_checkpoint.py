"""The mapping itself, prefixes, and how it meets a module."""

from __future__ import annotations

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphlab.checkpoint as checkpoints
from graphlab.checkpoint import nonfinite
from graphlab.checkpoint.prefix import common_prefix, unwrapped


@pytest.fixture
def opened(tmp_path):
    """Saves tensors with torch, under `names` made from theirs, and opens the file."""

    def save(tensors, rename=str):
        torch.save({rename(name): tensor for name, tensor in tensors.items()}, tmp_path / "m.pt")
        return checkpoints.open(tmp_path / "m.pt")

    return save


@given(st.lists(st.sampled_from(["module.", "_orig_mod."]), max_size=4).map("".join), st.booleans())
def test_nested_wrappers_are_found(wrappers, with_model):
    names = [f"{wrappers}a.weight", f"{wrappers}b.weight"]
    assert common_prefix(names, with_model) == wrappers
    assert [unwrapped(name) for name in names] == ["a.weight", "b.weight"]


def test_a_prefix_is_removed_only_where_all_names_carry_it():
    assert common_prefix(["module.a", "b"], True) == ""
    assert common_prefix(["module.model.a", "module.lm_head"], True) == "module."
    assert common_prefix(["model._orig_mod.a"], True) == "model._orig_mod."
    assert common_prefix(["model.model.a"], True) == "model."
    assert common_prefix(["model.a"], False) == ""
    assert common_prefix(["module."], True) == ""
    assert common_prefix([], True) == ""


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "model._orig_mod.module."])
def test_names_are_found_with_and_without_the_prefix(opened, state, prefix):
    checkpoint = opened(state, lambda name: prefix + name)
    assert checkpoint.prefix == prefix
    assert list(checkpoint) == list(state)
    assert checkpoint.specs["0.weight"].name == "0.weight"
    for name, tensor in state.items():
        assert torch.equal(checkpoint[name], tensor)
        assert torch.equal(checkpoint[prefix + name], tensor)
        assert prefix + name in checkpoint
    assert "other" not in checkpoint
    with pytest.raises(KeyError):
        checkpoint["other"]


def test_the_description_is_readable(opened, state):
    text = repr(opened(state, lambda name: f"module.{name}"))
    assert text.splitlines()[0] == f"Checkpoint m.pt: {len(state)} tensors, 43 parameters, 176 B"
    assert "  prefix   module. (removed)" in text
    assert "  0.weight               float32  [4, 3]" in text


def test_a_long_description_is_cut_and_names_are_cleaned(opened):
    text = repr(opened({f"layer{index}\x1b[2J": torch.ones(1) for index in range(100)}))
    assert "... 76 more ..." in text
    assert "\x1b" not in text
    assert len(text.splitlines()) < 35


def test_a_checkpoint_is_compared_by_identity(opened, state):
    checkpoint = opened(state)
    assert checkpoint == checkpoint
    assert checkpoint != opened(state)
    assert len({checkpoint}) == 1


def test_nonfinite_counts_in_chunks(opened, monkeypatch):
    monkeypatch.setattr(nonfinite, "CHUNK", 10)
    values = torch.ones(7, 5, 3)
    values[3, 2, 1] = torch.nan
    values[6] = -torch.inf
    tensors = {
        "plain": values,
        "tied": values,
        "turned": values.permute(2, 0, 1),
        "part": values[::2, 1:3],
        "float8": torch.tensor([1.0, torch.nan]).to(torch.float8_e5m2),
        "complex": torch.tensor([complex(0, torch.inf)], dtype=torch.complex64),
        "integers": torch.arange(25),
        "flags": torch.ones(3, dtype=torch.bool),
        "empty": torch.empty(0),
        "scalar": torch.tensor(torch.nan, dtype=torch.float64),
    }
    checkpoint = opened(tensors)
    calls = []
    counts = checkpoint.nonfinite(lambda done, total: calls.append((done, total)))
    assert counts == {"plain": 16, "tied": 16, "turned": 16, "part": 6, "float8": 1, "complex": 1, "scalar": 1}
    assert calls[-1] == (checkpoint.nbytes, checkpoint.nbytes)
    assert len(calls) > 20


def test_a_module_is_loaded_without_a_copy(opened, network, state):
    checkpoint = opened(state, lambda name: f"module._orig_mod.{name}")
    with torch.device("meta"):
        target = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    names = checkpoints.check_module(checkpoint, target).names
    target.load_state_dict({ours: checkpoint[theirs] for ours, theirs in names.items()}, assign=True)
    assert torch.equal(target[0].weight, network[0].weight)
    assert target[0].weight.data_ptr() == checkpoint["0.weight"].data_ptr()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        *((theirs, "") for theirs in ("", "base.", "model.", "module.", "module.base.", "_orig_mod.model.")),
        *((theirs, "base.") for theirs in ("", "base.", "model.", "module.", "module.base.", "module.model.")),
        *((theirs, "model.") for theirs in ("", "model.", "module.", "module.model.")),
    ],
)
def test_names_meet_with_the_prefixes_of_wrappers_and_base_models(opened, network, state, theirs, ours):
    module = network if not ours else torch.nn.ModuleDict({ours[:-1]: network})
    names = checkpoints.check_module(opened(state, lambda name: theirs + name), module).names
    assert set(names) == {ours + name for name in state}
    assert [name.removeprefix("base.") for name in names.values()] == list(state)


def test_everything_that_does_not_fit_is_listed_at_once(network, state):
    state["0.weight"] = torch.ones(4, 5)
    state["module.0.bias"] = state["0.bias"]
    state["unknown"] = torch.ones(1)
    del state["2.bias"]
    with pytest.raises(checkpoints.CheckpointError) as caught:
        checkpoints.check_module(state, network)
    assert str(caught.value).splitlines() == [
        "state dict: does not fit Sequential:",
        "  missing: '2.bias'",
        "  not in the module: 'unknown'",
        "  shape of '0.weight': expected [4, 3], got [4, 5]",
        "  several tensors for '0.bias': '0.bias', 'module.0.bias'",
    ]
    match = checkpoints.match_module(state, network)
    assert match.missing == ["2.bias"]
    assert match.names["2.weight"] == "2.weight"


def test_dtypes_may_differ(network, state):
    assert checkpoints.check_module({name: tensor.half() for name, tensor in state.items()}, network).names


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_tied_parameter_needs_one_of_its_names(device):
    with torch.device(device):
        embed, head = torch.nn.Embedding(5, 3), torch.nn.Linear(3, 5, bias=False)
    head.weight = embed.weight
    module = torch.nn.ModuleDict({"embed": embed, "head": head})
    for name in ("embed.weight", "head.weight"):
        names = checkpoints.check_module({name: torch.ones(5, 3)}, module).names
        assert names == {"embed.weight": name, "head.weight": name}


def test_a_buffer_that_the_module_no_longer_saves_is_no_stranger(network, state):
    network.register_buffer("places", torch.arange(4), persistent=False)
    match = checkpoints.check_module({**state, "places": torch.arange(4)}, network)
    assert match.unsaved == {"places": "places"}
    assert match.names.keys() == state.keys()
    with pytest.raises(checkpoints.CheckpointError, match="not in the module: 'places'"):
        checkpoints.check_module({**state, "places": torch.arange(5)}, network)


def test_an_empty_state_meets_an_empty_module():
    assert checkpoints.check_module({}, torch.nn.ReLU()).names == {}
    with pytest.raises(checkpoints.CheckpointError, match="missing: 'weight'"):
        checkpoints.check_module({}, torch.nn.Linear(1, 1, bias=False))


def test_the_error_survives_pickling():
    error = checkpoints.CheckpointError("m.pt", "is wrong", "w")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "m.pt: tensor 'w': is wrong"
    assert (again.file, again.tensor) == ("m.pt", "w")
