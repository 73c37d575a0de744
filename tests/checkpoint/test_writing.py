"""`save`: whole files or none, one tensor at a time, tied tensors once."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys

import pytest
import safetensors.torch
import torch

import graphlab.checkpoint as checkpoints
from graphlab.checkpoint import writing


def test_tied_tensors_are_written_once_and_come_back(tmp_path):
    weight = torch.randn(100, 10)
    path = tmp_path / "m.safetensors"
    checkpoints.save({"embed": weight, "head": weight, "turned": weight.t(), "part": weight[:2]}, path)
    checkpoint = checkpoints.open(path)
    assert checkpoint.tied == (("embed", "head"),)
    assert path.stat().st_size < 2.2 * weight.nbytes
    assert checkpoint.num_parameters == 2 * weight.numel() + 20
    assert torch.equal(checkpoint["head"], weight)
    assert torch.equal(checkpoint["turned"], weight.t())
    assert checkpoint["head"].data_ptr() == checkpoint["embed"].data_ptr()
    assert checkpoint.metadata == {}
    assert set(safetensors.torch.load_file(path)) == {"embed", "turned", "part"}


def test_strides_scalars_empties_and_lazy_values(tmp_path):
    values = torch.arange(24).reshape(2, 3, 4)
    conjugate = torch.randn(3, dtype=torch.complex64).conj()
    tensors = {
        "permuted": values.permute(2, 0, 1),
        "stepped": values[:, ::2],
        "expanded": torch.ones(1, 3).expand(4, 3),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(3, 0),
        "conjugate": conjugate,
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    checkpoints.save(tensors, tmp_path / "m.safetensors")
    checkpoint = checkpoints.open(tmp_path / "m.safetensors")
    for name, tensor in tensors.items():
        assert torch.equal(checkpoint[name], tensor), name
        assert checkpoint[name].shape == tensor.shape
    assert checkpoint.nonfinite() == {}


def test_a_checkpoint_can_be_saved_over_its_own_file(tmp_path, state):
    path = tmp_path / "m.safetensors"
    checkpoints.save(state, path)
    checkpoint = checkpoints.open(path)
    checkpoint["0.bias"].zero_()
    checkpoints.save(checkpoint, path)
    again = checkpoints.open(path)
    assert list(again) == list(state)
    assert not again["0.bias"].any()
    assert torch.equal(again["0.weight"], state["0.weight"])


def test_names_of_a_saved_file_are_exact(tmp_path, state):
    names = {f"model.{name}": tensor for name, tensor in state.items()}
    checkpoints.save(names, tmp_path / "m.safetensors")
    checkpoint = checkpoints.open(tmp_path / "m.safetensors")
    assert checkpoint.prefix == ""
    assert list(checkpoint) == list(names)


@pytest.mark.parametrize(
    ("tensors", "metadata", "expected"),
    [
        (
            {"x": torch.zeros(2, dtype=torch.complex128)},
            None,
            "tensor 'x': safetensors has no type for torch.complex128",
        ),
        ({"x": torch.zeros(2, device="meta")}, None, "expected dense values in memory"),
        ({"x": torch.zeros(2, 2).to_sparse()}, None, "expected dense values in memory"),
        ({"x": [1.0]}, None, "expected a tensor, got [1.0]"),
        ({"__metadata__": torch.zeros(1)}, None, "as a name"),
        ({3: torch.zeros(1)}, None, "as a name"),
        ({"\ud800": torch.zeros(1)}, None, "not valid Unicode"),
        ({}, {"a": 1}, "metadata must map strings to strings"),
        ({}, {"graphlab.aliases": "{}"}, "metadata must map strings to strings"),
    ],
)
def test_refuses_what_safetensors_cannot_hold(tmp_path, tensors, metadata, expected):
    with pytest.raises(checkpoints.CheckpointError) as caught:
        checkpoints.save(tensors, tmp_path / "m.safetensors", metadata)
    assert expected in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(checkpoints.CheckpointError, match="cannot be written"):
        checkpoints.save({}, tmp_path / "absent" / "m.safetensors")


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path, state, monkeypatch):
    path = tmp_path / "m.safetensors"
    checkpoints.save(state, path)
    before = path.read_bytes()

    def interrupted(_: torch.Tensor) -> memoryview:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(state, path)
    assert os.listdir(tmp_path) == ["m.safetensors"]
    assert path.read_bytes() == before


def test_a_killed_write_leaves_no_half_file(tmp_path):
    script = """
import os, signal, sys, torch
import graphlab.checkpoint as checkpoints
from graphlab.checkpoint import writing
whole = writing._bytes
def killed(tensor):
    if tensor.shape == (3,):
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(tensor)
writing._bytes = killed
checkpoints.save({"large": torch.zeros(10**6), "last": torch.zeros(3)}, sys.argv[1])
"""
    path = tmp_path / "m.safetensors"
    checkpoints.save({"old": torch.ones(2)}, path)
    for target in (path, tmp_path / "new.safetensors"):
        process = subprocess.run([sys.executable, "-c", script, target], check=False)
        assert process.returncode == -signal.SIGKILL
    assert list(checkpoints.open(path)) == ["old"]
    assert not (tmp_path / "new.safetensors").exists()


def test_only_the_tensor_in_flight_is_copied(tmp_path):
    tensors = {str(index): torch.ones(2**10, 2**10).t() for index in range(64)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    checkpoints.save(tensors, tmp_path / "m.safetensors")
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert growth < 32 * tensors["0"].nbytes  # of 64; allocators keep some blocks
