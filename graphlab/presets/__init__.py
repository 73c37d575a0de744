"""Published hyperparameters: a YAML file a model and data set, in which every number says where it comes from.

::

    model: dagnn
    dataset: cora
    sources:
      scripts: the authors' run scripts, github.com/divelab/DeeperGNN
    settings:
      K: {value: 10, source: scripts}
      lr: {value: 0.01, source: scripts}
    published:                                       # optional, for tables
      test_acc: {mean: 0.844, std: 0.005, runs: 100, source: paper}

A setting is an option of the model or a setting of its protocol; those left out keep their defaults. A model that is
trained for several tasks also has the key ``task``, and the file is called ``MODEL-TASK-DATASET.yaml``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from graphlab.engine import EngineError, Experiment
from graphlab.engine.settings import number
from graphlab.engine.settings import settings as settings_of

__all__ = ["Preset", "Published", "find_preset", "presets", "read_preset"]


@dataclass(frozen=True)
class Published:
    """A published figure: mean and unbiased deviation over ``runs`` runs; None where the source does not say."""

    mean: float
    source: str
    std: float | None = None
    runs: int | None = None


@dataclass(frozen=True)
class Preset:
    """Settings of a model on a data set.

    Attributes:
        name: of the file, without its ending.
        model: the model's registered name.
        dataset: the data set's name; also the setting ``dataset``.
        settings: value by name, ``dataset`` excepted.
        sources: for each setting, where its value comes from.
        published: figures that others reported with these settings, by metric.
        task: the protocol, by name; None: the model's usual one.
    """

    name: str
    model: str
    dataset: str
    settings: Mapping[str, Any]
    sources: Mapping[str, str]
    published: Mapping[str, Published]
    task: str | None = None

    def experiment(self, overrides: Mapping[str, Any] | None = None) -> Experiment:
        """The preset with some settings replaced.

        Raises:
            EngineError: a setting that neither the model nor its protocol has, or a value of the wrong type.
        """
        values = {**self.settings, "dataset": self.dataset, **(overrides or {})}
        return Experiment.from_values(self.model, values, f"preset {self.name}", self.task)


@functools.cache
def presets() -> Mapping[str, Preset]:
    """All presets that come with graphlab, by name."""
    folder = resources.files(__name__)
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    found = [_parsed(file.name.removesuffix(".yaml"), file.read_text("utf-8"), file.name) for file in files]
    return {preset.name: preset for preset in found}


def find_preset(model: str, dataset: str, task: str | None = None) -> Preset | None:
    """The preset ``MODEL-DATASET``, or ``MODEL-TASK-DATASET``, if there is one.

    It may name a variant of the model, made for that data set.
    """
    return presets().get("-".join(part for part in (model, task, dataset) if part is not None))


def read_preset(path: Path) -> Preset:
    """A preset of your own.

    Raises:
        EngineError: the file cannot be read, is not YAML, or has other keys than those of a preset.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"{path}: cannot be read: {error}") from error
    return _parsed(path.stem, text, str(path))


class _Loader(yaml.SafeLoader):
    """YAML in which a key that comes twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key comes twice in this mapping", node.start_mark)
        return mapping


def _parsed(name: str, text: str, where: str) -> Preset:
    try:
        document = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise EngineError(f"{where}: not valid YAML: {error}") from error
    top = _keys(document, {"model", "dataset", "settings", "sources"}, {"published", "task"}, where)
    known = _strings(top["sources"], f"{where}: sources")
    values, sources = {}, {}
    for setting, entry in _mapping(top["settings"], f"{where}: settings").items():
        _keys(entry, {"value", "source"}, set(), f"{where}: {setting}")
        values[setting], sources[setting] = number(entry["value"]), _source(entry, known, f"{where}: {setting}")
    published = {}
    for metric, entry in _mapping(top.get("published", {}), f"{where}: published").items():
        _keys(entry, {"mean", "source"}, {"std", "runs"}, f"{where}: {metric}")
        source = _source(entry, known, f"{where}: {metric}")
        published[metric] = settings_of(Published, {**entry, "source": source}, f"{where}: {metric}")
    model, dataset = _strings({key: top[key] for key in ("model", "dataset")}, where).values()
    task = _strings({"task": top["task"]}, where)["task"] if "task" in top else None
    return Preset(name, model, dataset, values, sources, published, task)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise EngineError(f"{where}: expected a mapping of names, got {value!r}")
    return value


def _strings(value: Any, where: str) -> dict[str, str]:
    for key, text in _mapping(value, where).items():
        if not isinstance(text, str):
            raise EngineError(f"{where}: {key} must be text; it is {text!r}")
    return value  # type: ignore[no-any-return]


def _keys(value: Any, needed: set[str], allowed: set[str], where: str) -> dict[str, Any]:
    keys = set(_mapping(value, where))
    if missing := needed - keys:
        raise EngineError(f"{where}: no {', '.join(sorted(missing))}")
    if extra := keys - needed - allowed:
        expected = ", ".join(sorted(needed | allowed))
        raise EngineError(f"{where}: unknown {', '.join(sorted(extra))}; expected {expected}")
    return value  # type: ignore[no-any-return]


def _source(entry: Mapping[str, Any], known: Mapping[str, str], where: str) -> str:
    if entry["source"] not in known:
        raise EngineError(f"{where}: no source {entry['source']!r}; there are {', '.join(known) or 'none'}")
    return known[entry["source"]]
