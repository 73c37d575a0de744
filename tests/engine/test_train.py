"""Runs of a small protocol: what the run folder holds, what is repeated, what is refused."""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from dataclasses import replace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from graphlab import checkpoint
from graphlab.engine import EngineError, Experiment, MaxEpochs, Means, read_summary, train
from graphlab.engine.folder import read_log
from graphlab.weightgraph import equal_bytes
from tests.engine import toy

NOW = Means(save_every=0)


def with_config(**changes):
    return Experiment("toy-mlp", toy.Options(), replace(toy.Config(), **changes))


def deadline_after(epochs, **settings):
    """Means whose deadline comes when that many epochs are over."""
    told = []

    class Deadline(float):
        def __le__(self, now):
            return len(told) >= epochs

    return Means(deadline=Deadline(0), tell=lambda *now: told.append(now), **settings)


def test_the_run_folder_says_everything(experiment, tmp_path):
    folder = tmp_path / "new" / "toy"
    summary = train(experiment, [0, 2], folder, means=NOW)
    assert json.loads((folder / "config.json").read_text()) == {
        "model": "toy-mlp",
        "options": {"hidden": 8, "dropout": 0.1},
        "protocol": "toy-regression",
        "config": {"dataset": "line", "lr": 0.01, "epochs": 6, "patience": 50, "clip": 1.0},
        "precision": "32-true",
        "processes": 1,
    }
    (start,) = json.loads((folder / "environment.json").read_text())["starts"]
    assert start["packages"]["torch"] == torch.__version__
    assert start["device"] == "cpu"
    assert len(start["git"]["graphlab"]["commit"]) == 40
    assert [run.seed for run in summary.runs] == [0, 2]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    log = read_log(folder / "seed-2" / "log.jsonl")
    assert [line["epoch"] for line in log] == [1, 2, 3, 4, 5, 6]
    assert set(log[0]) == {"epoch", "seconds", "train_loss", "val_loss", "test_accuracy", "lr"}
    assert [line["lr"] for line in log] == pytest.approx([0.01] * 3 + [0.001] * 3)
    best = min(log, key=lambda line: line["val_loss"])
    assert summary.runs[1].selected_epoch == best["epoch"]
    assert summary.runs[1].selected == {name: best[name] for name in ("val_loss", "test_accuracy")}
    assert summary.runs[1].stopped_by == "MaxEpochs"
    assert not (folder / "seed-0" / "state.safetensors").exists()


def test_mean_and_both_deviations_are_recorded(experiment, tmp_path):
    train(experiment, [0, 1, 2], tmp_path / "toy", means=NOW)
    results = json.loads((tmp_path / "toy" / "results.json").read_text())
    values = [run["selected"]["val_loss"] for run in results["runs"]]
    found = results["metrics"]["val_loss"]
    assert found["values"] == values
    assert found["mean"] == pytest.approx(statistics.fmean(values))
    assert found["std"] == pytest.approx(statistics.stdev(values))
    assert found["population_std"] == pytest.approx(statistics.pstdev(values))
    table = (tmp_path / "toy" / "results.md").read_text()
    assert "| toy | 3 | " in table
    assert "test_accuracy (%)" in table


def test_a_single_run_has_no_unbiased_deviation(experiment, tmp_path):
    summary = train(experiment, [0], tmp_path / "toy", means=NOW)
    assert summary.metrics()["val_loss"].std is None
    assert summary.metrics()["val_loss"].population_std == 0


def test_the_weights_kept_are_those_of_the_selected_epoch(experiment, tmp_path):
    class Best(toy.Regression):
        seen = []  # noqa: RUF012

        def evaluate(self):
            metrics = super().evaluate()
            self.seen.append((metrics["val_loss"], {k: v.clone() for k, v in self.model.state_dict().items()}))
            return metrics | {"val_loss": abs(len(self.seen) - 4.0)}

    with toy.registered(Best):
        summary = train(experiment, [0], tmp_path / "toy", means=NOW)
    assert summary.runs[0].selected_epoch == 4
    kept = checkpoint.open(tmp_path / "toy" / "seed-0" / "model.safetensors")
    for name, expected in Best.seen[3][1].items():
        torch.testing.assert_close(kept[name], expected, rtol=0, atol=0)


def test_what_has_ended_is_not_repeated_and_seeds_are_added(experiment, tmp_path):
    train(experiment, [1], tmp_path / "toy", means=NOW)
    told = []
    summary = train(experiment, [0, 1], tmp_path / "toy", means=Means(tell=lambda seed, *_: told.append(seed)))
    assert set(told) == {0}
    assert [run.seed for run in summary.runs] == [0, 1]
    assert len(json.loads((tmp_path / "toy" / "environment.json").read_text())["starts"]) == 2


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_run_cut_off_by_its_deadline_ends_bit_for_bit_as_one_that_was_not(experiment, tmp_path, epochs):
    whole = train(experiment, [0], tmp_path / "whole", means=NOW)
    partial = train(experiment, [0, 1], tmp_path / "cut", means=deadline_after(epochs))
    assert partial.runs == ()
    assert partial.unfinished == (0,)
    assert len(read_log(tmp_path / "cut" / "seed-0" / "log.jsonl")) == epochs
    torch.randn(7)  # whatever else the process draws makes no difference
    resumed = train(experiment, [0], tmp_path / "cut", means=NOW)
    toy.assert_same_runs(tmp_path / "whole", tmp_path / "cut", whole, resumed)


def test_a_deadline_in_the_past_starts_nothing(experiment, tmp_path):
    summary = train(experiment, [0], tmp_path / "toy", means=Means(deadline=time.monotonic() - 1))
    assert summary.runs == ()
    assert summary.unfinished == ()


def test_another_configuration_is_refused_with_the_difference(experiment, tmp_path):
    train(experiment, [0], tmp_path / "toy", means=NOW)
    before = (tmp_path / "toy" / "config.json").read_text()
    other = Experiment("toy-mlp", toy.Options(hidden=9), toy.Config(lr=0.5))
    with pytest.raises(EngineError) as refused:
        train(other, [1], tmp_path / "toy", precision="64-true")
    for difference in ("options.hidden: 8, now 9", "config.lr: 0.01, now 0.5", "precision: 32-true, now 64-true"):
        assert difference in str(refused.value)
    assert "dropout" not in str(refused.value)
    assert (tmp_path / "toy" / "config.json").read_text() == before


def test_a_folder_of_something_else_is_left_alone(experiment, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(EngineError, match="no run folder"):
        train(experiment, [0], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("seeds", [[], [0, 0], [-1]])
def test_seeds_that_make_no_sense_are_refused(experiment, tmp_path, seeds):
    with pytest.raises(EngineError, match="distinct seeds"):
        train(experiment, seeds, tmp_path / "toy")


@pytest.mark.parametrize(
    ("device", "precision", "said"),
    [
        ("tpu", "32-true", "no device 'tpu'"),
        ("cuda:x", "32-true", "no device 'cuda:x'"),
        ("cpu", "8-bit", "8-bit"),
    ],
)
def test_devices_and_precisions_that_are_not_there_are_refused(experiment, tmp_path, device, precision, said):
    with pytest.raises(EngineError, match=said):
        train(experiment, [0], tmp_path / "toy", device=device, precision=precision)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_cuda_where_there_is_none(experiment, tmp_path):
    with pytest.raises(EngineError, match="no CUDA device"):
        train(experiment, [0], tmp_path / "toy", device="cuda:3")


def test_float64_all_through(experiment, tmp_path):
    train(experiment, [0], tmp_path / "toy", precision="64-true", means=NOW)
    kept = checkpoint.open(tmp_path / "toy" / "seed-0" / "model.safetensors")
    assert {spec.dtype for spec in kept.specs.values()} == {torch.float64}


def test_a_run_that_diverges_says_so(tmp_path):
    with pytest.raises(EngineError, match="val_loss is NaN"):
        train(with_config(lr=1e30, clip=None), [0], tmp_path / "toy", means=NOW)


def test_a_metric_that_is_not_there_is_named(experiment, tmp_path):
    class Without(toy.Regression):
        def evaluate(self):
            return {"validation_loss": 0.0}

    with toy.registered(Without), pytest.raises(EngineError, match="no 'val_loss'; it returned validation_loss"):
        train(experiment, [0], tmp_path / "toy")


def test_nan_in_a_metric_that_nothing_goes_by_is_written_as_null(experiment, tmp_path):
    class Holes(toy.Regression):
        def evaluate(self):
            return super().evaluate() | {"test_accuracy": math.nan}

    with toy.registered(Holes):
        summary = train(experiment, [0, 1], tmp_path / "toy", means=NOW)
    assert math.isnan(summary.metrics()["test_accuracy"].mean)
    assert json.loads((tmp_path / "toy" / "seed-0" / "result.json").read_text())["selected"]["test_accuracy"] is None


def test_evaluation_every_few_epochs_and_at_the_end(experiment, tmp_path):
    class Rare(toy.Regression):
        evaluate_every = 4

    with toy.registered(Rare):
        train(experiment, [0], tmp_path / "toy", means=NOW)
    evaluated = [line["epoch"] for line in read_log(tmp_path / "toy" / "seed-0" / "log.jsonl") if "val_loss" in line]
    assert evaluated == [4, 6]


def test_a_schedule_that_waits_for_a_plateau(experiment, tmp_path):
    class Plateau(toy.Regression):
        def setup(self, seed):
            super().setup(seed)
            self.schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, patience=1, threshold=10.0)
            self.stopping = [MaxEpochs(5)]

    with toy.registered(Plateau):
        train(experiment, [0], tmp_path / "toy", means=NOW)
    rates = [line["lr"] for line in read_log(tmp_path / "toy" / "seed-0" / "log.jsonl")]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.0001])


def test_gradients_are_clipped_together(tmp_path):
    norms = []

    class Watched(toy.Regression):
        def step(self, loss):
            super().step(loss)
            norms.append(torch.cat([p.grad.flatten() for p in self.model.parameters()]).norm().item())

    with toy.registered(Watched):
        train(with_config(clip=0.01), [0], tmp_path / "toy", means=NOW)
    assert max(norms) == pytest.approx(0.01, rel=1e-3)


def test_tensorboard_shows_the_log(experiment, tmp_path):
    train(experiment, [0], tmp_path / "toy", means=Means(tensorboard=True))
    events = EventAccumulator(str(tmp_path / "toy" / "seed-0" / "tensorboard")).Reload()
    log = read_log(tmp_path / "toy" / "seed-0" / "log.jsonl")
    shown = events.Scalars("val_loss")
    assert [event.step for event in shown] == [1, 2, 3, 4, 5, 6]
    assert [event.value for event in shown] == pytest.approx([line["val_loss"] for line in log])


def test_without_tensorboard_the_message_says_what_to_install(experiment, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(EngineError, match=r"graphlab-torch\[tensorboard\]"):
        train(experiment, [0], tmp_path / "toy", means=Means(tensorboard=True))


def test_a_model_with_its_configuration_comes_back_from_the_run(tmp_path):
    train(Experiment("toy-pretrained", toy.Options(), toy.Config()), [0], tmp_path / "toy", means=NOW)
    again = toy.Net.from_pretrained(tmp_path / "toy" / "seed-0")
    assert equal_bytes(again.state_dict(), dict(checkpoint.open(tmp_path / "toy" / "seed-0" / "model.safetensors")))


def test_a_damaged_checkpoint_is_named(experiment, tmp_path):
    train(experiment, [0], tmp_path / "toy", means=deadline_after(2))
    path = tmp_path / "toy" / "seed-0" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(checkpoint.CheckpointError, match=r"state\.safetensors"):
        train(experiment, [0], tmp_path / "toy")


def test_weights_in_the_place_of_a_checkpoint_are_refused(experiment, tmp_path):
    train(experiment, [0], tmp_path / "toy", means=deadline_after(2))
    checkpoint.save({"a": torch.ones(2)}, tmp_path / "toy" / "seed-0" / "state.safetensors")
    with pytest.raises(checkpoint.CheckpointError, match="not the state of a run"):
        train(experiment, [0], tmp_path / "toy")


def test_a_result_that_is_damaged_is_named(experiment, tmp_path):
    train(experiment, [0], tmp_path / "toy", means=NOW)
    (tmp_path / "toy" / "seed-0" / "result.json").write_text('{"seed": 0}')
    with pytest.raises(checkpoint.CheckpointError, match=r"result\.json: not the result of a run"):
        read_summary(tmp_path / "toy")


def test_a_checkpoint_of_another_protocol_is_refused(experiment, tmp_path):
    class More(toy.Regression):
        def setup(self, seed):
            super().setup(seed)
            self.critic = torch.nn.Linear(1, 1)

    with toy.registered(More):
        train(experiment, [0], tmp_path / "toy", means=deadline_after(2))
    with pytest.raises(EngineError, match=r"the checkpoint holds critic, .*the protocol has model"):
        train(experiment, [0], tmp_path / "toy")


def test_no_run_folder(tmp_path):
    with pytest.raises(EngineError, match=r"no config\.json"):
        read_summary(tmp_path)


def test_a_folder_in_use_is_refused(experiment, tmp_path):
    refused = []

    class Twice(toy.Regression):
        def train_epoch(self):
            if not refused:
                with pytest.raises(EngineError, match="in use") as error:
                    train(experiment, [1], tmp_path / "toy")
                refused.append(error)
            return super().train_epoch()

    with toy.registered(Twice):
        train(experiment, [0], tmp_path / "toy", means=NOW)
    assert refused


def test_what_a_protocol_refuses_is_an_error_of_the_run(experiment, tmp_path):
    class Refuses(toy.Regression):
        def prepare(self):
            raise ValueError("3 nodes have NaN features")

    with toy.registered(Refuses), pytest.raises(EngineError, match="toy-mlp-line: 3 nodes have NaN features"):
        train(experiment, [0], tmp_path / "toy")
