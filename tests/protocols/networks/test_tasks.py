"""Tasks on zoos, with toy models: what they measure, what they refuse, that they resume."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from graphlab.datasets import DatasetError
from graphlab.datasets.zoos import DigitsRecipe, make_zoo, read_zoo
from graphlab.datasets.zoos.digits import digits
from graphlab.engine import EngineError, Experiment, Means, model, train
from graphlab.nn.models.siren import pixel_grid, sirens
from graphlab.protocols.networks.base import AUGMENTATIONS
from graphlab.protocols.networks.inr_editing import contrast, dilate
from graphlab.protocols.networks.standardised import Edited, Standardised, siren_statistics
from graphlab.weightgraph import WeightGraphBatch
from graphlab.weightgraph.mlp_batch import read_mlps

TASKS = ("inr-classification", "inr-editing", "cnn-generalisation", "sine-ssl")
NOW = Means(save_every=0)


@dataclass(frozen=True)
class Options:
    hidden: int = 8
    activations: bool = False


class Moments(nn.Module):
    """Numbers of each network from the mean and the mean square of what its nodes carry and its edges send."""

    reads_activations = False

    def __init__(self, options: Options, out_channels: int) -> None:
        super().__init__()
        self.reads_activations = options.activations
        self.net = nn.Sequential(nn.Linear(2, options.hidden), nn.Tanh(), nn.Linear(options.hidden, out_channels))

    def forward(self, batch, activations=None):
        assert (activations is not None) == self.reads_activations
        if activations is not None:
            assert [len(own) for own in activations] == [len(batch[n][0].nodes) - 2 for n in range(len(batch))]
        rows = batch.x.new_zeros(len(batch), 2)
        pairs = [(batch.batch, batch.x)]
        for part in batch.parts:
            owner = batch.batch[part.target].expand(part.values.shape[:-1]).flatten()
            pairs.append((owner, part.values.sum(-1).flatten().unsqueeze(1)))
        for owner, values in pairs:
            rows = rows.index_add(0, owner, torch.cat([values, values.square()], 1))
        return self.net(rows)


class Times(nn.Module):
    """Every parameter times one learned number."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0))

    def forward(self, batch):
        return batch.with_values([part.values * self.factor for part in batch.parts], batch.x * self.factor)


@model("toy-moments", protocol=TASKS, options=Options)
def moments(options, networks, out_channels):
    net = Times() if out_channels is None else Moments(options, out_channels)
    net.layout_options = {"max_kernel": (5, 5)} if networks.architectures[0].kind == "cnn" else {}
    return net


@pytest.fixture(scope="session")
def digit_zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoos") / "digits"
    make_zoo(DigitsRecipe(layout=(2, 6, 6, 1), steps=40, lr=5e-3, shard_units=30), folder, 60)
    return folder


def experiment(task, dataset, **values):
    values = {"dataset": str(dataset), "epochs": 2, "batch_size": 16, "warmup": 2, **values}
    return Experiment.from_values("toy-moments", values, task=task)


def run(task, dataset, folder, **values):
    return train(experiment(task, dataset, **values), [0], folder, device="cpu", means=NOW).runs[0]


# --- what is measured -------------------------------------------------------------------------------------------------


def test_classification_learns_what_the_weights_show_and_nothing_of_shuffled_labels(digit_zoo, tmp_path):
    result = run("inr-classification", digit_zoo, tmp_path / "run", epochs=3)
    assert set(result.selected) == {"val_loss", "val_acc", "test_loss", "test_acc"}
    assert result.report == ("test_acc", "val_acc")
    assert 0 <= result.selected["test_acc"] <= 1


def test_shuffled_labels_are_those_of_other_training_networks(digit_zoo):
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu")
    protocols = [
        experiment("inr-classification", digit_zoo, shuffle_labels=shuffled).protocol(fabric)
        for shuffled in (False, True)
    ]
    for protocol in protocols:
        protocol.setup(0)
    plain, shuffled = (protocol.targets for protocol in protocols)
    assert sorted(plain["train"].tolist()) == sorted(shuffled["train"].tolist())
    assert plain["train"].tolist() != shuffled["train"].tolist()
    for part in ("val", "test"):
        assert torch.equal(plain[part], shuffled[part])


def test_generalisation_reports_tau_and_draws_predicted_against_true(cnn_zoo, tmp_path):
    for activations in (False, True):
        folder = tmp_path / f"run-{activations}"
        result = run("cnn-generalisation", cnn_zoo, folder, activations=activations)
        assert result.report == ("test_tau", "test_r2", "val_tau")
        assert -1 <= result.selected["test_tau"] <= 1
        assert is_picture(folder / "seed-0" / "accuracies.png")
    assert run("cnn-generalisation", cnn_zoo, tmp_path / "mse", loss="mse").selected["test_loss"] < 1


def test_editing_compares_what_the_edited_network_shows(digit_zoo, tmp_path):
    result = run("inr-editing", digit_zoo, tmp_path / "run", lr=0.001, epochs=1, edit="contrast")
    assert is_picture(tmp_path / "run" / "seed-0" / "edited.png")
    zoo = read_zoo(digit_zoo).split("test")
    shown = sirens(zoo.stacked(), pixel_grid(8, 8)).view(-1, 8, 8)
    unedited = (shown - contrast(shown.clamp(0, 1))).square().mean().item()
    assert result.selected["test_unedited"] == pytest.approx(unedited, rel=1e-5)
    images = digits().images[zoo.fact("image")]
    assert (shown - images).square().mean() < 0.1  # the networks show the digits, the first number being the column


def test_dilation_is_the_largest_of_nine_pixels():
    from scipy.ndimage import grey_dilation

    images = torch.rand(3, 8, 8)
    for image, dilated in zip(images, dilate(images), strict=True):
        assert torch.equal(dilated, torch.from_numpy(grey_dilation(image.numpy(), size=(3, 3), mode="nearest")))
    assert contrast(torch.tensor([[[0.0, 0.25, 0.5, 0.6, 1.0]]])).flatten().tolist() == pytest.approx(
        [0, 0, 0.5, 0.7, 1]
    )


def test_sines_are_represented_without_labels(sine_zoo, tmp_path):
    result = run("sine-ssl", sine_zoo, tmp_path / "run", features=4)
    assert result.report == ("test_mse", "val_loss")
    assert result.parameters == (2 * 8 + 8 + 8 * 4 + 4) + 2 * (4 * 4 + 4)


def is_picture(file: Path) -> bool:
    return file.read_bytes().startswith(b"\x89PNG")


# --- augmentation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_augmented_batches_are_networks_of_the_same_drawing(digit_zoo, name):
    protocol = prepared("inr-classification", digit_zoo)
    networks, index = protocol.parts["train"], torch.tensor([4, 1, 2])
    plain, augmented = (protocol.batch(networks, index, own) for own in ((), (name,)))
    assert augmented[0][0] is plain[0][0]
    states = [augmented[place][1] for place in range(3)]
    stacked = {key: torch.stack([own[key] for own in states]) for key in states[0]}
    assert not all(torch.equal(own, networks[index].stacked()[key]) for key, own in stacked.items())
    x = torch.rand(5, 2) * 2 - 1
    before, after = sirens(networks[index].stacked(), x), sirens(stacked, x)
    assert torch.allclose(before, after, atol=1e-5) == (name in ("permute", "negation"))


def prepared(task, dataset, **values):
    from lightning_fabric import Fabric

    protocol = experiment(task, dataset, **values).protocol(Fabric(accelerator="cpu"))
    protocol.setup(0)
    return protocol


def test_augmentation_is_drawn_from_the_seed(digit_zoo, tmp_path):
    results = [
        run("inr-classification", digit_zoo, tmp_path / name, augmentation=["permute", "noise"]) for name in ("a", "b")
    ]
    assert results[0].selected == results[1].selected


def test_views_are_those_of_the_first_networks_of_each_image(digit_zoo, tmp_path):
    shutil.copytree(digit_zoo, tmp_path / "zoo")
    index = json.loads((tmp_path / "zoo" / "index.json").read_text())
    for number, shard in enumerate(index["shards"].values()):
        shard["facts"]["view"] = [number] * 30
    (tmp_path / "zoo" / "index.json").write_text(json.dumps(index))
    one, all_ = (prepared("inr-classification", tmp_path / "zoo", views=views) for views in (1, 0))
    assert 0 < len(one.parts["train"]) < len(all_.parts["train"])
    assert len(one.parts["test"]) == len(all_.parts["test"])


# --- standardised, edited ---------------------------------------------------------------------------------------------


class Kept(nn.Module):
    def forward(self, batch):
        return batch


def test_standardised_batches_have_mean_0_and_deviation_1(digit_zoo):
    zoo = read_zoo(digit_zoo)
    standard = read_mlps(Standardised(Kept(), zoo)(zoo.batch(range(len(zoo)))))
    for own in standard.tensors():
        assert own.mean().item() == pytest.approx(0, abs=1e-4)
        assert own.std(correction=0).item() == pytest.approx(1, abs=1e-4)
    statistics = siren_statistics(zoo)
    assert statistics["weights_std"][1] == pytest.approx(zoo.stacked()["1.weight"].std(correction=0).item())


def test_edited_networks_are_changed_by_gamma_times_what_the_model_says(digit_zoo):
    zoo = read_zoo(digit_zoo)[:3]
    edited = Edited(Kept(), gamma=0.5)(zoo.batch(range(3)))
    assert isinstance(edited, WeightGraphBatch)
    for before, after in zip(zoo, edited.state_dicts(), strict=True):
        for name, own in before.tensors.items():
            torch.testing.assert_close(after[name], 1.5 * own)


def test_networks_that_are_all_alike_cannot_be_standardised(digit_zoo, cnn_zoo):
    zoo = read_zoo(digit_zoo)
    zoo.stacks[0].tensors["1.bias"].fill_(2.0)
    with pytest.raises(ValueError, match="all biases of layer 1 are equal"):
        siren_statistics(zoo)
    with pytest.raises(ValueError, match="expected SIRENs of one layout"):
        siren_statistics(read_zoo(cnn_zoo))


# --- resuming, budgets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_an_interrupted_run_ends_as_one_that_was_not(task, digit_zoo, cnn_zoo, sine_zoo, tmp_path, monkeypatch):
    zoo = {"cnn-generalisation": cnn_zoo, "sine-ssl": sine_zoo}.get(task, digit_zoo)
    whole = run(task, zoo, tmp_path / "whole", epochs=3)
    with monkeypatch.context() as patch:
        import time

        clock = iter(range(1000))
        patch.setattr(time, "monotonic", lambda: float(next(clock)))
        means = Means(save_every=0, deadline=4.0)
        train(experiment(task, zoo, epochs=3), [0], tmp_path / "cut", device="cpu", means=means)
    assert (tmp_path / "cut" / "seed-0" / "state.safetensors").exists()
    resumed = run(task, zoo, tmp_path / "cut", epochs=3)
    assert resumed.selected == whole.selected


def test_a_budget_of_time_ends_a_run(digit_zoo, tmp_path):
    result = run("inr-classification", digit_zoo, tmp_path / "run", epochs=10_000, cpu_minutes=1e-5)
    assert (result.stopped_by, result.epochs) == ("MaxCPUTime", 1)


# --- refused ----------------------------------------------------------------------------------------------------------


def test_skipped_networks_are_warned_of_and_strict_refuses(digit_zoo, tmp_path):
    shutil.copytree(digit_zoo, tmp_path / "zoo")
    (tmp_path / "zoo" / "shard-00001.safetensors").unlink()
    with pytest.warns(UserWarning, match="skipped 30 networks"):
        run("inr-classification", tmp_path / "zoo", tmp_path / "run")
    with pytest.raises(DatasetError, match="strict"):
        run("inr-classification", tmp_path / "zoo", tmp_path / "run2", strict=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"augmentation": ["shake"]}, "no augmentation shake; there are translate"),
        ({"lr": 0.0}, "lr > 0"),
        ({"batch_size": 0}, "batch_size"),
        ({"cpu_minutes": -1.0}, "cpu_minutes"),
        ({"dilation": 3}, "no setting dilation"),
    ],
)
def test_settings_that_make_no_sense_are_refused(digit_zoo, values, message):
    with pytest.raises(EngineError, match=message):
        experiment("inr-classification", digit_zoo, **values)


def test_tasks_refuse_zoos_of_another_kind(digit_zoo, cnn_zoo, sine_zoo, tmp_path):
    with pytest.raises(DatasetError, match="digits has no test_accuracy"):
        run("cnn-generalisation", digit_zoo, tmp_path / "a")
    with pytest.raises(DatasetError, match="cnn has no label"):
        run("inr-classification", cnn_zoo, tmp_path / "b")
    with pytest.raises(EngineError, match="expected images, SIRENs from 2 to 1"):
        run("inr-editing", sine_zoo, tmp_path / "c")
    with pytest.raises(EngineError, match="expected SIRENs of one layout"):
        run("cnn-generalisation", cnn_zoo, tmp_path / "d", augmentation=["permute"])
    with pytest.raises(EngineError, match="nothing to shuffle"):
        experiment("sine-ssl", sine_zoo, shuffle_labels=True)


def test_a_model_is_trained_for_its_own_tasks_only(digit_zoo):
    with pytest.raises(EngineError, match="'forecasting', but for inr-classification, inr-editing"):
        experiment("forecasting", digit_zoo)
    assert experiment(None, digit_zoo).document()["protocol"] == "inr-classification"
    assert experiment("inr-editing", digit_zoo).title == "toy-moments-inr-editing-digits"


def test_dws_is_registered_for_the_tasks_on_sirens(digit_zoo, sine_zoo, tmp_path):
    small = {"hidden": 4, "n_hidden": 1, "num_heads": 1, "epochs": 1, "warmup": 0}
    for task, zoo in (("inr-classification", digit_zoo), ("inr-editing", digit_zoo), ("sine-ssl", sine_zoo)):
        own = Experiment.from_values("dws", {"dataset": str(zoo), **small}, task=task)
        train(own, [0], tmp_path / task, device="cpu", means=NOW)
