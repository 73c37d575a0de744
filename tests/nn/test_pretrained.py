"""Models as folders: what is kept, what is refused, what goes to the hub."""

from __future__ import annotations

import copy
import json
import sys
from types import SimpleNamespace

import pytest
from torch import nn

from graphlab.checkpoint import CheckpointError
from graphlab.nn.pretrained import Pretrained
from graphlab.weightgraph import equal_bytes


class Net(Pretrained):
    def __init__(self, channels: int, *, depth: int = 2, act: object = "relu") -> None:
        super().__init__()
        self.act = act
        if channels < 1:
            raise ValueError("expected channels >= 1")
        self.layers = nn.ModuleList(nn.Linear(channels, channels) for _ in range(depth))
        self.norm = nn.BatchNorm1d(channels)


class Other(Net):
    pass


@pytest.fixture
def folder(tmp_path):
    Net(3, depth=1).save_pretrained(tmp_path / "deep" / "net")
    return tmp_path / "deep" / "net"


def test_a_model_comes_back_as_it_was(folder, tmp_path):
    first = Net.from_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["arguments"] == {"channels": 3, "depth": 1, "act": "relu"}
    first.save_pretrained(tmp_path / "again")
    assert equal_bytes(first.state_dict(), Net.from_pretrained(str(tmp_path / "again")).state_dict())
    assert not first.training
    first.norm.weight.data.fill_(2)  # its tensors are its own, not views of the file
    assert Net.from_pretrained(folder).norm.weight.tolist() == [1, 1, 1]


def test_copies_know_how_they_were_made(tmp_path):
    copy.deepcopy(Net(4)).save_pretrained(tmp_path)
    assert len(Net.from_pretrained(tmp_path).layers) == 2


def test_a_folder_of_another_model_is_refused(folder):
    with pytest.raises(CheckpointError, match="expected the configuration of Other"):
        Other.from_pretrained(folder)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"channels": 4}, "weight"), ({"channels": 0}, "channels >= 1"), ({"width": 3}, "width"), ([3], "expected")],
)
def test_a_configuration_that_does_not_fit_is_refused(folder, arguments, said):
    (folder / "config.json").write_text(json.dumps({"model": "Net", "arguments": arguments}))
    with pytest.raises(CheckpointError, match=said):
        Net.from_pretrained(folder)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json"):
        Net.from_pretrained(tmp_path)


def test_an_argument_that_json_cannot_hold_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"argument of Net: .*ReLU"):
        Net(3, act=nn.ReLU()).save_pretrained(tmp_path)


def test_the_hub_is_given_a_folder_and_gives_one(folder, monkeypatch):
    sent = {}

    def upload_folder(repo_id, folder_path):
        sent[repo_id] = {**Net.from_pretrained(folder_path).state_dict()}
        return SimpleNamespace(commit_url="https://hub/commit")

    def create_repo(name, private, exist_ok):
        sent[name] = None

    def snapshot_download(name, revision, allow_patterns):
        return str(folder)

    hub = SimpleNamespace(create_repo=create_repo, upload_folder=upload_folder, snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    net = Net(3)
    assert net.push_to_hub("me/net") == "https://hub/commit"
    assert equal_bytes(sent["me/net"], net.state_dict())
    assert isinstance(Net.from_pretrained("me/net"), Net)


def test_without_the_hub_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"graphlab-torch\[hf\]"):
        Net.from_pretrained("me/net")
    with pytest.raises(ImportError, match=r"graphlab-torch\[hf\]"):
        Net(3).push_to_hub("me/net")
