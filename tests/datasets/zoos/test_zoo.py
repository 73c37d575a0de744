"""Zoos as data sets, and zoos of which something is missing or damaged."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from graphlab import checkpoint
from graphlab.datasets import DatasetError
from graphlab.datasets.zoos import Zoo, load_zoo, read_zoo
from graphlab.datasets.zoos.architectures import wiring
from graphlab.datasets.zoos.zoo import Stacks

FIRST = "shard-00000.safetensors"


@pytest.fixture
def damaged(inr_zoo, tmp_path):
    """A copy of a zoo of three shards (8, 8 and 4 networks)."""
    return shutil.copytree(inr_zoo, tmp_path / "inr")


# --- data set ---------------------------------------------------------------------------------------------------------


def test_members_by_number_by_list_by_mask_and_by_slice(inr_zoo):
    zoo = read_zoo(inr_zoo)
    mask = torch.zeros(20, dtype=torch.bool)
    mask[[3, 5]] = True
    for chosen in (zoo[[3, 5]], zoo[torch.tensor([3, 5])], zoo[3:6:2], zoo[mask]):
        assert chosen.fact("image").tolist() == [3, 5]
        assert torch.equal(chosen[0].tensors["1.weight"], zoo[3].tensors["1.weight"])
    assert zoo[-1].facts["image"] == 19
    assert [network.facts["image"] for network in zoo[[2, 1]]] == [2, 1]


def test_a_batch_holds_the_members_in_the_order_asked_for(cnn_zoo):
    zoo = read_zoo(cnn_zoo)
    places = [30, 2, 17, 3]
    batch = zoo.batch(places, "neural_graph", max_kernel=(5, 5))
    assert len(batch) == 4
    for place, member in enumerate(places):
        own, tensors = batch[place]
        assert own is zoo[member].wiring(max_kernel=(5, 5))
        assert torch.equal(tensors["fc.weight"], zoo[member].tensors["fc.weight"])
    states = batch.state_dicts()
    assert all(torch.equal(states[0][name], tensor) for name, tensor in zoo[30].tensors.items())


@pytest.mark.parametrize("layout", ["neural_graph", "parameter_graph", "exact", "nino"])
def test_members_are_drawn_by_any_layout(inr_zoo, cnn_zoo, layout):
    for zoo in (read_zoo(inr_zoo), read_zoo(cnn_zoo)):
        data = zoo[1].to_data(layout)
        parameters = sum(tensor.numel() for tensor in zoo[1].tensors.values())
        carried = data.edge_attr.count_nonzero() + (data.x.count_nonzero() if data.x is not None else 0)
        assert 0 < carried <= parameters + 64
        assert data.split.tolist() == [zoo[1].facts["split"]]


def test_networks_of_one_architecture_are_stacked(inr_zoo, cnn_zoo):
    stacked = read_zoo(inr_zoo)[[4, 1]].stacked()
    assert torch.equal(stacked["0.bias"][1], read_zoo(inr_zoo)[1].tensors["0.bias"])
    with pytest.raises(DatasetError, match="one architecture, got"):
        read_zoo(cnn_zoo).stacked()


def test_a_zoo_says_what_it_holds(inr_zoo):
    zoo = read_zoo(inr_zoo)
    assert repr(zoo).startswith("inr: 20 networks of 1 architectures, 44 to 44 parameters\n  image: 0 to 19")
    assert zoo.to(torch.device("cpu")).fact("image").tolist() == list(range(20))
    assert wiring(zoo[0].architecture) is zoo.wirings()[7]


def test_what_a_zoo_does_not_know_is_refused(inr_zoo):
    zoo = read_zoo(inr_zoo)
    with pytest.raises(DatasetError, match="inr has no accuracy; it has image, view"):
        zoo.fact("accuracy")
    with pytest.raises(DatasetError, match="train, val, test, got 'dev'"):
        zoo.split("dev")
    with pytest.raises(DatasetError, match="none of the 2 networks"):
        Zoo([Stacks(zoo[0].architecture, zoo[:2].stacked())], {"split": torch.tensor([1, 1])}).split("train")
    with pytest.raises(DatasetError, match="expected facts of 2 networks"):
        Zoo([Stacks(zoo[0].architecture, zoo[:2].stacked())], {"label": torch.zeros(3)})
    with pytest.raises(ValueError, match="expected the parameters"):
        Stacks(zoo[0].architecture, {"0.weight": torch.zeros(2, 5, 2)})


# --- damage -----------------------------------------------------------------------------------------------------------


def rewritten(folder, name, change):
    """A shard with other tensors."""
    tensors = {key: own.clone() for key, own in checkpoint.open(folder / name).items()}
    change(tensors)
    checkpoint.save(tensors, folder / name)


def test_a_missing_shard_is_skipped_counted_and_listed(damaged):
    (damaged / "shard-00001.safetensors").unlink()
    zoo = read_zoo(damaged)
    assert len(zoo) == 12
    assert zoo.skipped == (("shard-00001.safetensors", 8, "no such file"),)
    assert "skipped 8 networks:\n  shard-00001.safetensors (8 networks): no such file" in repr(zoo)
    assert zoo.fact("image").tolist() == [*range(8), *range(16, 20)]
    with pytest.raises(DatasetError, match="strict, and not all networks can be had\nskipped 8 networks"):
        read_zoo(damaged, strict=True)


def test_a_truncated_shard_is_skipped(damaged):
    file = damaged / "shard-00000.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    zoo = read_zoo(damaged)
    assert (len(zoo), zoo.skipped[0].members) == (12, 8)


def test_a_network_with_nan_is_named_with_its_layer(damaged):
    rewritten(damaged, "shard-00002.safetensors", lambda own: own["0/1.weight"][2].fill_(float("nan")))
    zoo = read_zoo(damaged)
    assert len(zoo) == 19
    assert zoo.skipped == ((("shard-00002.safetensors, architecture 0, row 2"), 1, "1.weight holds NaN or infinity"),)
    assert 18 not in zoo.fact("image").tolist()
    with pytest.raises(DatasetError, match="row 2"):
        read_zoo(damaged, strict=True)


def test_missing_parameters_and_other_shapes_are_skipped(damaged):
    rewritten(damaged, "shard-00000.safetensors", lambda own: own.pop("0/2.bias"))
    rewritten(damaged, "shard-00001.safetensors", lambda own: own.update({"0/0.bias": own["0/0.bias"][:3].clone()}))
    zoo = read_zoo(damaged)
    assert len(zoo) == 4
    assert [own.reason for own in zoo.skipped] == ["0/2.bias is missing", "0/0.bias: expected [8, 5], got [3, 5]"]


def test_nothing_left_is_an_error(damaged):
    for file in damaged.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(DatasetError, match="inr holds no networks\nskipped 20 networks"):
        read_zoo(damaged)


def edited(folder, change):
    index = json.loads((folder / "index.json").read_text())
    change(index)
    (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda own: own.update(format="zoo-9"), "expected the index of a zoo"),
        (lambda own: own.update(shards=[]), "expected the index of a zoo"),
        (lambda own: own.update(architectures=[{"kind": "siren", "layout": [0, 1]}]), "damaged: not a siren"),
        (
            lambda own: own["shards"]["shard-00000.safetensors"]["facts"]["label"].pop(),
            "damaged: .*expected facts of 8",
        ),
        (lambda own: own["shards"]["shard-00000.safetensors"].update(members={"7": 8}), "damaged: .*below 1"),
        (lambda own: own["shards"]["shard-00000.safetensors"].update(members={"0": -8}), "damaged"),
        (lambda own: own["shards"]["shard-00000.safetensors"].pop("facts"), "damaged"),
        (lambda own: own["shards"].update(x=3), "damaged"),
    ],
)
def test_a_damaged_index_is_refused(damaged, change, message):
    edited(damaged, change)
    with pytest.raises(DatasetError, match=message):
        read_zoo(damaged)


def test_an_index_does_not_lead_out_of_the_zoo(damaged, tmp_path):
    shutil.copy(damaged / "shard-00000.safetensors", tmp_path / "other.safetensors")
    edited(damaged, lambda own: own["shards"].update({"../other.safetensors": own["shards"].pop(FIRST)}))
    zoo = read_zoo(damaged)
    assert zoo.skipped[0].reason == "the index names a file outside of the zoo"


# --- by name ----------------------------------------------------------------------------------------------------------


def test_zoos_are_found_by_name_and_by_folder(inr_zoo, tmp_path):
    assert len(load_zoo(str(inr_zoo))) == 20
    shutil.copytree(inr_zoo, tmp_path / "sine-inr")
    assert len(load_zoo("sine-inr", tmp_path)) == 20


def test_zoos_that_are_not_there_say_where_they_were_looked_for(tmp_path):
    with pytest.raises(DatasetError, match=r"no local copy: there is no folder .*mnist-inrs .*not downloaded"):
        load_zoo("mnist-inr", tmp_path)
    with pytest.raises(DatasetError, match="graphlab zoo make sine"):
        load_zoo("sine-inr", tmp_path)
    with pytest.raises(DatasetError, match=r"no zoo 'nowhere'.*digits-inr.*cnn-wild-park"):
        load_zoo("nowhere", tmp_path)


@pytest.mark.parametrize(("name", "networks"), [("digits-inr", 7188), ("digits-cnn", 960)])
def test_the_zoos_of_the_source_code_are_whole(name, networks):
    zoo = load_zoo(name, strict=True)
    assert len(zoo) == networks
    assert all(len(zoo.split(part)) > 0 for part in ("train", "val", "test"))
