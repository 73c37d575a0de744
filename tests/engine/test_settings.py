"""Settings by name, registered names, and the presets that use both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from graphlab.engine import EngineError, Experiment, find_model, find_protocol, model, models, protocol
from graphlab.engine.settings import parse_value, settings
from graphlab.presets import find_preset, presets, read_preset
from tests.engine import toy


@dataclass(frozen=True)
class Fields:
    count: int
    rate: float = 0.5
    name: str = "a"
    flag: bool = False
    kind: Literal["x", "y"] = "x"
    limit: int | None = 3
    widths: tuple[int, ...] = (8, 8)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"expected count >= 0, got {self.count}")


def test_values_of_the_right_type_are_taken():
    made = settings(Fields, {"count": 2, "rate": 1, "kind": "y", "limit": None, "widths": [1, 2, 3]}, "here")
    assert made == Fields(2, 1.0, kind="y", limit=None, widths=(1, 2, 3))
    assert isinstance(made.rate, float)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "here: count must be given"),
        ({"count": 1, "raet": 2}, "here: no setting raet; there are count, rate"),
        ({"count": 1.5}, r"here: count must be a whole number; it is 1\.5"),
        ({"count": True}, "count must be a whole number"),
        ({"count": "3"}, "count must be a whole number; it is '3'"),
        ({"count": 1, "rate": "fast"}, "rate must be a number"),
        ({"count": 1, "flag": "False"}, "flag must be true or false"),
        ({"count": 1, "name": 3}, "name must be text"),
        ({"count": 1, "kind": "z"}, "kind must be one of x, y; it is 'z'"),
        ({"count": 1, "limit": 0.5}, "limit must be a whole number"),
        ({"count": 1, "widths": [1, "2"]}, "widths must be a whole number"),
        ({"count": -1}, "here: expected count >= 0, got -1"),
    ],
)
def test_other_values_are_refused(values, said):
    with pytest.raises(EngineError, match=said):
        settings(Fields, values, "here")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("5e-5", 5e-5),
        ("-1e-3", -1e-3),
        ("0.1", 0.1),
        ("true", True),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ("public", "public"),
        ("3-layers", "3-layers"),
        ("inf", "inf"),
    ],
)
def test_texts_are_read_as_yaml_with_every_number(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_a_text_that_is_not_yaml():
    with pytest.raises(EngineError, match="neither a number"):
        parse_value("[1, ")


def test_settings_find_their_owner():
    made = Experiment.from_values("toy-mlp", {"hidden": 3, "protocol.lr": 0.5, "model.dropout": 0.25})
    assert (made.options, made.config) == (toy.Options(3, 0.25), toy.Config(lr=0.5))
    assert made.title == "toy-mlp-line"


def test_settings_without_an_owner_are_refused():
    with pytest.raises(EngineError, match="no setting width; the model has dropout, hidden; the protocol has clip"):
        Experiment.from_values("toy-mlp", {"width": 3})
    with pytest.raises(EngineError, match=r"no setting model\.lr; the model has dropout, hidden"):
        Experiment.from_values("toy-mlp", {"model.lr": 3})


def test_a_name_of_both_must_say_whose():
    @dataclass(frozen=True)
    class Options:
        lr: float = 0.0

    if "toy-both" not in models():
        model("toy-both", protocol="toy-regression", options=Options)(toy.mlp)
    with pytest.raises(EngineError, match=r"lr is a setting of both; write model\.lr or protocol\.lr"):
        Experiment.from_values("toy-both", {"lr": 3.0})


def test_names_are_given_once_and_known():
    with pytest.raises(ValueError, match="there is a model 'toy-mlp' already"):
        model("toy-mlp", protocol="toy-regression", options=toy.Options)(toy.mlp)
    with pytest.raises(ValueError, match="there is a protocol 'toy-regression' already"):
        protocol("toy-regression", toy.Config)(toy.Regression)
    with pytest.raises(TypeError, match="expected a dataclass"):
        model("toy-other", protocol="toy-regression", options=dict)(toy.mlp)
    with pytest.raises(EngineError, match=r"no model 'toy'; there are .*toy-mlp"):
        find_model("toy")
    with pytest.raises(EngineError, match=r"no protocol 'toy'; there are .*toy-regression"):
        find_protocol("toy")


def test_every_preset_makes_an_experiment_and_says_where_its_numbers_come_from():
    assert {"dagnn-cora", "dagnn-citeseer", "dagnn-pubmed", "dagnn-ogbn-arxiv"} <= set(presets())
    for name, preset in presets().items():
        made = preset.experiment()
        assert made.config.dataset == preset.dataset
        assert name.endswith(preset.dataset)
        assert all(len(preset.sources[setting]) > 10 for setting in preset.settings)


@pytest.mark.parametrize(
    ("dataset", "weight_decay", "K", "dropout", "epochs", "stop_after"),
    [
        ("cora", 0.005, 10, 0.8, 1000, 100),
        ("citeseer", 0.02, 10, 0.5, 1000, 100),
        ("pubmed", 0.005, 20, 0.8, 1000, 100),
        ("coauthor-cs", 0, 5, 0.8, 1000, 100),
        ("coauthor-physics", 0, 5, 0.8, 1000, 100),
        ("amazon-computers", 5e-5, 5, 0.5, 3000, 300),
        ("amazon-photo", 5e-4, 5, 0.5, 1000, 100),
    ],
)
def test_dagnns_presets_are_the_published_ones(dataset, weight_decay, K, dropout, epochs, stop_after):
    made = find_preset("dagnn", dataset).experiment()
    assert (made.options.hidden, made.options.K, made.options.dropout) == (64, K, dropout)
    assert (made.config.lr, made.config.weight_decay) == (0.01, weight_decay)
    assert (made.config.epochs, made.config.stopping, made.config.stop_after) == (epochs, "window", stop_after)
    assert made.config.normalize_features


def test_a_preset_of_ones_own_can_be_overridden(tmp_path):
    (tmp_path / "mine.yaml").write_text(PRESET)
    preset = read_preset(tmp_path / "mine.yaml")
    assert preset.sources == {"hidden": "my notes", "lr": "my notes"}
    assert preset.published["val_loss"].mean == 0.5
    made = preset.experiment({"lr": 0.5})
    assert (made.options.hidden, made.config.lr) == (5, 0.5)


PRESET = """
model: toy-mlp
dataset: line
sources: {me: my notes}
settings:
  hidden: {value: 5, source: me}
  lr: {value: 1e-3, source: me}
published:
  val_loss: {mean: 0.5, source: me}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("model: toy-mlp", "", "no model"),
        ("dataset: line", "dataset: 3", "dataset must be text"),
        ("dataset: line", "dataset: line\ndatset: line", "unknown datset; expected dataset, model"),
        ("dataset: line", "dataset: line\ndataset: line", "a key comes twice"),
        ("source: me}\n  lr", "source: you}\n  lr", "hidden: no source 'you'; there are me"),
        ("value: 5, source: me", "value: 5", "hidden: no source"),
        ("value: 5, source", "value: 5, note: 7, source", "hidden: unknown note"),
        ("{value: 5, source: me}", "5", "hidden: expected a mapping of names, got 5"),
        ("mean: 0.5", "average: 0.5", "val_loss: no mean"),
        ("mean: 0.5", "mean: half", "val_loss: mean must be a number; it is 'half'"),
        ("me: my notes", "me: 3", "me must be text"),
        ("settings:", "settings: [", "not valid YAML"),
        ("hidden:", "hiden:", "preset mine: no setting hiden"),
        ("value: 5", "value: five", "hidden must be a whole number; it is 'five'"),
    ],
)
def test_a_preset_with_a_mistake_is_refused(tmp_path, old, new, said):
    assert old in PRESET
    (tmp_path / "mine.yaml").write_text(PRESET.replace(old, new, 1))
    with pytest.raises(EngineError, match=said):
        read_preset(tmp_path / "mine.yaml").experiment()


def test_a_preset_that_is_not_there(tmp_path):
    with pytest.raises(EngineError, match=r"mine\.yaml: cannot be read"):
        read_preset(tmp_path / "mine.yaml")
