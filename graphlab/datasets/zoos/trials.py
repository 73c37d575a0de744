"""Folders of training runs: the CNN Wild Park, and zoos in the style of ModelZoos (Schürholt et al., NeurIPS 2022).

::

    zoo/
        TRIAL/
            params.json             settings; also config.json
            result.json             a JSON object a line, with training_iteration and test_acc (or test_accuracy)
            checkpoint_000050/checkpoints      or model.pt, *.safetensors, ...

Nothing is unpickled. The Wild Park's own files hold a configuration object: they are skipped, and listed with what to
do. Where they are trusted, convert them once: ``torch.load(path, weights_only=False)``, then
``graphlab.checkpoint.save(loaded["model"], "checkpoint_000010/model.safetensors")`` and the configuration's channels,
kernel_size, residual and activation as ``params.json``.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from graphlab import checkpoint
from graphlab.checkpoint import CheckpointError
from graphlab.checkpoint.strict_json import read_object
from graphlab.datasets.errors import DatasetError
from graphlab.datasets.zoos.architectures import Architecture, ChainArchitecture, CNNArchitecture, shapes
from graphlab.datasets.zoos.collecting import Collector
from graphlab.datasets.zoos.zoo import Zoo

_PARAMS = ("params.json", "config.json")
_RESULTS = "result.json"
_CHECKPOINT = re.compile(r"checkpoint_(\d+)")
_ACCURACY = ("test_accuracy", "test_acc", "acc_test")
_NOT_WEIGHTS = (".json", ".csv", ".txt", ".pkl", ".log", ".is_checkpoint", ".tune_metadata")
_PARTS = (0.7, 0.15)


def read_trials(folder: Path, strict: bool = False) -> Zoo:
    """Every checkpoint of every run below a folder. Facts: ``network``, ``step``, ``split`` and ``test_accuracy``.

    A run whose settings have ``channels``, ``kernel_size``, ``residual`` and ``activation`` is a network of the CNN
    Wild Park; any other is drawn from the names and shapes of its linear and convolutional layers. Runs are divided
    70, 15 and 15 per cent, shuffled with seed 0, all checkpoints of one on one side.

    Args:
        folder: With a folder for each run.
        strict: Refuse a zoo of which anything would be skipped.

    Raises:
        DatasetError: there is no run, or none that can be had, or with ``strict`` something cannot be read.
    """
    trials = sorted({path.parent for name in _PARAMS for path in folder.glob(f"*/{name}")})
    if not trials:
        raise DatasetError(f"{folder}: no zoo: neither index.json nor runs (folders with {' or '.join(_PARAMS)}) in it")
    collector = Collector(folder.name, strict)
    parts = _split(len(trials))
    for number, trial in enumerate(trials):
        try:
            settings = read_object(next(trial / n for n in _PARAMS if (trial / n).is_file()), "settings of a run")
            accuracies = _accuracies(trial)
        except CheckpointError as error:
            collector.skip(trial.name, str(error))
            continue
        found = _checkpoints(trial)
        if not found:
            collector.skip(trial.name, "no checkpoint in it")
        for step, path in found:
            name = str(path.relative_to(folder))
            if step not in accuracies:
                collector.skip(name, f"{_RESULTS} has no test accuracy of step {step}")
                continue
            try:
                tensors = dict(checkpoint.open(path))
                architecture = _architecture(settings, tensors)
                shapes(architecture)  # refuses what makes no network
            except CheckpointError as error:
                collector.skip(name, error.problem)
            except ValueError as error:
                collector.skip(name, str(error))
            else:
                facts = {"network": number, "step": step, "split": parts[number], "test_accuracy": accuracies[step]}
                collector.add_network(architecture, tensors, facts, name)
    return collector.zoo()


def _split(count: int) -> list[int]:
    order = list(range(count))
    random.Random(0).shuffle(order)
    first, second = round(_PARTS[0] * count), round(sum(_PARTS) * count)
    place = {trial: at for at, trial in enumerate(order)}
    return [0 if place[trial] < first else 1 if place[trial] < second else 2 for trial in range(count)]


def _checkpoints(trial: Path) -> list[tuple[int, Path]]:
    """Step and file of each checkpoint."""
    found = []
    for path in sorted(trial.rglob("*")):
        match = _CHECKPOINT.search(str(path.relative_to(trial)))
        if match and path.is_file() and not path.name.startswith(".") and path.suffix not in _NOT_WEIGHTS:
            found.append((int(match[1]), path))
    return found


def _accuracies(trial: Path) -> dict[int, float]:
    """Test accuracy by step; lines that are cut off or have none are left out."""
    path = trial / _RESULTS
    if not path.is_file():
        raise CheckpointError(path, "no such file")
    found: dict[int, float] = {}
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            name = next(name for name in _ACCURACY if name in entry)
            found[int(entry["training_iteration"])] = float(entry[name])
        except (ValueError, KeyError, TypeError, StopIteration, RecursionError):
            continue
    return found


def _architecture(settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Architecture:
    if "fc.weight" in tensors and settings.keys() >= {"channels", "kernel_size", "residual", "activation"}:
        channels, depth = tuple(settings["channels"]), len(settings["kernel_size"])
        if len(channels) == depth:  # without those of the image
            channels = (tensors["layers.0.weight"].shape[1], *channels)
        return CNNArchitecture(
            channels,
            tuple(settings["kernel_size"]),
            len(tensors["fc.weight"]),
            tuple(settings["residual"]),
            tuple(settings["activation"]),
        )
    names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
    if extra := set(tensors) - {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}:
        raise ValueError(f"parameters of layers neither linear nor convolutional: {', '.join(sorted(extra)[:5])}")
    sizes = tuple(tuple(tensors[f"{name}.weight"].shape) for name in names)
    activation = settings.get("model::nlin", "none")
    return ChainArchitecture(tuple(names), sizes, activation if isinstance(activation, str) else "none")
