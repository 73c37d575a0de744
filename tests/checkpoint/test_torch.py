"""Files of `torch.save`: what is read without running anything, and what is refused by name."""

from __future__ import annotations

import argparse
import os
import pathlib
import pickle
from collections import Counter, OrderedDict, defaultdict

import pytest
import torch

import graphlab.checkpoint as checkpoints
from graphlab.checkpoint.dtypes import SUPPORTED


@pytest.mark.parametrize("key", [None, "state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_state_dicts_plain_and_nested(saved, network, state, key, protocol):
    value = network.state_dict() if key is None else {"epoch": 3, key: network.state_dict(), "best": 0.5}
    checkpoint = checkpoints.open(saved(value, pickle_protocol=protocol))
    assert list(checkpoint) == list(state)
    assert all(torch.equal(checkpoint[name], tensor) for name, tensor in state.items())
    assert checkpoint.extra == (() if key is None else ("epoch", "best"))
    assert checkpoint.format == "torch zip"


def test_reads_every_dtype(saved):
    tensors = {
        str(dtype): torch.arange(16, dtype=torch.uint8).view(dtype) for dtype in SUPPORTED if dtype != torch.bool
    }
    tensors["bool"] = torch.tensor([True, False])
    checkpoint = checkpoints.open(saved(tensors))
    for name, tensor in tensors.items():
        assert checkpoint[name].dtype == tensor.dtype
        assert torch.equal(checkpoint[name].view(torch.uint8), tensor.view(torch.uint8))


def test_reads_parameters_attributes_views_and_shared_memory(saved):
    base = torch.arange(24.0).reshape(4, 6)
    marked = torch.ones(2)
    marked.note = "kept by pickle"
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.note = "kept by pickle"
    tensors = {
        "base": base,
        "same": base.view(4, 6),
        "turned": base.t(),
        "part": base[1:3, ::2],
        "expanded": torch.ones(1, 2).expand(3, 2),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 4),
        "parameter": parameter,
        "plain": torch.nn.Parameter(torch.ones(1)),
        "marked": marked,
    }
    checkpoint = checkpoints.open(saved(tensors))
    assert all(torch.equal(checkpoint[name], tensor) for name, tensor in tensors.items())
    assert checkpoint.tied == (("base", "same"),)
    checkpoint["base"][1, 0] = -1
    assert checkpoint["part"][0, 0] == -1
    assert checkpoints.open(checkpoint.path)["base"][1, 0] == 6


def test_tied_parameters_are_reported(saved):
    layer, head = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    head.weight = layer.weight
    checkpoint = checkpoints.open(saved(torch.nn.ModuleDict({"layer": layer, "head": head}).state_dict()))
    assert checkpoint.tied == (("layer.weight", "head.weight"),)
    assert checkpoint.num_parameters == 9 + 3 + 3
    assert "layer.weight = head.weight" in repr(checkpoint)


def test_reads_a_lightning_checkpoint(saved, network, state):
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    value = {
        "epoch": 1,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": OrderedDict((f"model.{name}", tensor) for name, tensor in network.state_dict().items()),
        "loops": {"fit_loop": {"state_dict": {}}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [{"milestones": Counter([1, 2]), "last": defaultdict(list, a=[1])}],
        "hyper_parameters": {
            "shape": torch.Size([1, 2]),
            "device": torch.device("cpu"),
            "dtype": torch.float16,
            "s": {1},
        },
        "bytes": b"bytes",
        7: "names that are no strings are passed over",
    }
    checkpoint = checkpoints.open(saved(value, "last.ckpt"))
    assert checkpoint.prefix == "model."
    assert set(checkpoint) == set(state)
    assert checkpoint.extra[:2] == ("epoch", "pytorch-lightning_version")
    assert "state_dict" not in checkpoint.extra
    assert checkpoint.extra[-1] == "bytes"


def test_a_blocking_object_beside_the_weights_is_named(saved, network, refusal):
    value = {
        "state_dict": network.state_dict(),
        "hyper_parameters": argparse.Namespace(lr=0.1),
        "path": pathlib.PurePosixPath("a"),
    }
    message = refusal(saved(value, "last.ckpt"))
    assert "'argparse.Namespace', 'pathlib.PurePosixPath'" in message
    assert "nothing was run" in message
    assert "graphlab.checkpoint.save" in message


class Attack:
    """Creates a file when it is unpickled."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return os.mkdir, (self.canary,)


@pytest.mark.parametrize("protocol", [2, 4])
def test_code_in_a_pickle_is_never_run(saved, tmp_path, refusal, state, protocol):
    path = saved({**state, "x": Attack(tmp_path / "canary")}, pickle_protocol=protocol)
    assert f"'{os.mkdir.__module__}.mkdir'" in refusal(path)
    assert not (tmp_path / "canary").exists()


def test_code_in_a_bare_pickle_is_never_run(tmp_path, refusal):
    (tmp_path / "m.bin").write_bytes(pickle.dumps(Attack(tmp_path / "canary")))
    assert "a bare Python pickle" in refusal(tmp_path / "m.bin")
    assert not (tmp_path / "canary").exists()


def test_a_pickled_module_is_refused_by_class(saved, refusal):
    assert "'torch.nn.modules.linear.Linear'" in refusal(saved(torch.nn.Linear(2, 2)))


def test_sparse_tensors_are_refused(saved, refusal, state):
    assert "_rebuild_sparse_tensor" in refusal(saved({**state, "x": torch.eye(2).to_sparse()}))


def test_legacy_files_are_refused(saved, refusal, state):
    message = refusal(saved(state, _use_new_zipfile_serialization=False))
    assert "before version 1.6" in message


def test_torchscript_is_refused(tmp_path, refusal, recwarn):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "m.pt")
    recwarn.clear()
    assert "TorchScript" in refusal(tmp_path / "m.pt")


@pytest.mark.parametrize(
    "value", [[torch.ones(2)], torch.ones(2), {"net": {"w": torch.ones(2)}}, {}, 3, {1: torch.ones(2)}]
)
def test_a_file_without_a_state_dict_says_what_it_has(saved, refusal, value):
    message = refusal(saved(value))
    assert "no state dict" in message
    if isinstance(value, dict) and "net" in value:
        assert "found 'net'" in message


def test_leaves_that_are_no_tensors_are_extra(saved):
    checkpoint = checkpoints.open(saved({"w": torch.ones(2), "version": 3, "_extra_state": None}))
    assert list(checkpoint) == ["w"]
    assert checkpoint.extra == ("version", "_extra_state")


def test_distributed_tensors_are_refused(saved, refusal, rewrite):
    def distribute(records):
        records["data.pkl"] = b"\x80\x02}X\1\0\0\0wctorch.distributed.tensor\nDTensor\n)\x81s."

    message = refusal(rewrite(saved({"w": torch.ones(2)}), distribute))
    assert "distributed tensors ('torch.distributed.tensor.DTensor')" in message
    assert "full_state_dict=True" in message
