"""The Small CNN Zoo (Unterthiner et al., "Predicting Neural Network Accuracy from Weights", 2020; CC-BY 4.0).

A folder for each data set: ``weights.npy`` ``[checkpoints, 4970]``, ``metrics.csv.gz`` with a line a checkpoint, and
``layout.csv``, which says where in a row each variable lies (``varname``, ``start_idx``, ``end_idx``, ``shape``).
"""

from __future__ import annotations

import csv
import gzip
import random
import re
from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphlab.datasets.errors import DatasetError
from graphlab.datasets.zoos.architectures import CNNArchitecture
from graphlab.datasets.zoos.collecting import Collector
from graphlab.datasets.zoos.zoo import Stacks, Zoo

LAST_STEP = 86
_FILES = ("weights.npy", "metrics.csv.gz", "layout.csv")


def read_small_cnn_zoo(folder: Path, order: Sequence[int] | None = None, strict: bool = False) -> Zoo:
    """The networks at the end of their training. Facts: ``test_accuracy``, ``train_accuracy``, ``row``, ``split``.

    Networks are :class:`~graphlab.nn.models.wild_park.WildParkCNN` with kernels turned from TensorFlow's
    ``[height, width, in, out]`` to ``[out, in, height, width]``. The strides of the published networks are not part of
    such an architecture: its parameters and drawing are right, its ``module()`` is not what was trained.

    Split as in the papers that compare on it: the last half of the networks for testing; of the first half, shuffled
    by ``random.Random(0)``, a fifth for validation.

    Args:
        folder: With the three files.
        order: The published shuffle: rows among those of step 86, in the order that is halved. It is not among the
            files; without it the rows are shuffled by ``random.Random(0)``, which is not the published division.
        strict: Refuse a zoo of which anything would be skipped.

    Raises:
        DatasetError: a file is missing or not as described, or the order names rows that there are not.
    """
    if absent := [name for name in _FILES if not (folder / name).is_file()]:
        raise DatasetError(f"{folder}: no Small CNN Zoo: {', '.join(absent)} missing")
    layout = _layout(folder / "layout.csv")
    rows = _metrics(folder / "metrics.csv.gz")
    try:
        weights = np.load(folder / "weights.npy", mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DatasetError(f"{folder / 'weights.npy'}: cannot be read: {error}") from error
    width = max(end for _, end, _ in layout.values())
    if weights.ndim != 2 or weights.shape[1] < width:
        raise DatasetError(f"{folder / 'weights.npy'}: expected [checkpoints, {width}], got {list(weights.shape)}")
    last = [row for row, facts in enumerate(rows) if facts["step"] == LAST_STEP]
    parts = _split(len(last), order)
    collector = Collector(folder.name, strict)
    if missing := [row for row in last if row >= len(weights)]:
        collector.skip("weights.npy", f"it ends after {len(weights)} of {len(rows)} rows", len(missing))
    by_activation: dict[str, list[int]] = {}
    for place, row in enumerate(last):
        if row < len(weights):
            by_activation.setdefault(str(rows[row]["activation"]), []).append(place)
    for activation, places in by_activation.items():
        own = [last[place] for place in places]
        values = torch.from_numpy(np.array(weights[own], dtype=np.float32))
        facts = {
            "test_accuracy": torch.tensor([rows[row]["test_accuracy"] for row in own]),
            "train_accuracy": torch.tensor([rows[row]["train_accuracy"] for row in own]),
            "row": torch.tensor(own),
            "split": torch.tensor([parts[place] for place in places]),
        }
        collector.add(_stacks(values, layout, activation, folder), facts, [f"row {row}" for row in own])
    return collector.zoo()


def _layout(path: Path) -> dict[str, tuple[int, int, tuple[int, ...]]]:
    """First and last place and shape of each variable."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        found = {
            line["varname"]: (
                int(line["start_idx"]),
                int(line["end_idx"]),
                tuple(map(int, re.findall(r"\d+", line["shape"]))),
            )
            for line in lines
        }
    except (KeyError, ValueError, TypeError, OSError, csv.Error) as error:
        raise DatasetError(f"{path}: expected the columns varname, start_idx, end_idx, shape: {error!r}") from error
    for name, (start, end, shape) in found.items():
        if not 0 <= start < end or end - start != prod(shape):
            raise DatasetError(f"{path}: {name}: {end - start} numbers from {start} are not of the shape {list(shape)}")
    if not found:
        raise DatasetError(f"{path}: no variables")
    return found


def _metrics(path: Path) -> list[dict[str, float | str]]:
    try:
        with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
            return [
                {
                    "step": float(line["step"]),
                    "test_accuracy": float(line["test_accuracy"]),
                    "train_accuracy": float(line["train_accuracy"]),
                    "activation": line["config.activation"],
                }
                for line in csv.DictReader(file)
            ]
    except (KeyError, ValueError, TypeError, OSError, EOFError, csv.Error) as error:
        columns = "step, test_accuracy, train_accuracy, config.activation"
        raise DatasetError(f"{path}: expected the columns {columns}: {error!r}") from error


def _split(count: int, order: Sequence[int] | None) -> list[int]:
    """The part of each network at the last step."""
    if order is None:
        order = list(range(count))
        random.Random(0).shuffle(order)
    if sorted(order) != list(range(count)):
        raise DatasetError(f"expected an order of the {count} networks of step {LAST_STEP}, each once")
    first = list(order[: count // 2])
    random.Random(0).shuffle(first)
    training = set(first[: round(0.8 * len(first))])
    parts = [2] * count
    for place in first:
        parts[place] = 0 if place in training else 1
    return parts


def _stacks(
    values: Tensor, layout: dict[str, tuple[int, int, tuple[int, ...]]], activation: str, folder: Path
) -> Stacks:
    """Rows as networks: kernels in the order of their places, each with the bias of its shape beside it."""
    ordered = sorted(layout.items(), key=lambda own: own[1][0])
    kernels = [(name, own) for name, own in ordered if len(own[2]) > 1]
    biases = [(name, own) for name, own in ordered if len(own[2]) == 1]
    sound = len(kernels) == len(biases) > 1 and all(len(own[2]) == 4 for _, own in kernels[:-1])
    if not sound or len(kernels[-1][1][2]) != 2:
        raise DatasetError(f"{folder}: expected convolutions and one dense layer, each with a bias, got {list(layout)}")
    tensors: dict[str, Tensor] = {}
    for number, ((_, (start, end, shape)), (_, (first, last, _))) in enumerate(zip(kernels, biases, strict=True)):
        layer = "fc" if number == len(kernels) - 1 else f"layers.{number}"
        kernel = values[:, start:end].view(-1, *shape)
        tensors[f"{layer}.weight"] = kernel.transpose(1, 2) if layer == "fc" else kernel.permute(0, 4, 3, 1, 2)
        tensors[f"{layer}.bias"] = values[:, first:last]
    convolutions = [own[2] for _, own in kernels[:-1]]
    depth = len(convolutions)
    try:
        architecture = CNNArchitecture(
            channels=(convolutions[0][2], *(shape[3] for shape in convolutions)),
            kernel_size=tuple(shape[0] for shape in convolutions),
            num_classes=kernels[-1][1][2][1],
            residual=(-1,) * depth,
            activation=(activation,) * depth,
        )
        return Stacks(architecture, {name: own.contiguous() for name, own in tensors.items()})
    except ValueError as error:
        raise DatasetError(f"{folder / 'layout.csv'}: not the networks of the zoo: {error}") from error
