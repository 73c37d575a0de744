"""MNIST-INR and Fashion-MNIST-INR: a file for each image's SIREN (Navon et al., ICML 2023; Shamsian et al., ICML 2024).

The files are torch state dicts with ``seq.0.weight``, ``seq.0.bias``, ... in a folder for each image, whose name ends
in the label and the image's number, as in ``mnist_png_training_7_30772``. Nothing in them is unpickled.
"""

from __future__ import annotations

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
from graphlab.datasets.zoos.architectures import SirenArchitecture
from graphlab.datasets.zoos.collecting import Collector
from graphlab.datasets.zoos.zoo import SPLITS, Zoo

_SUFFIXES = (".pth", ".pt", ".safetensors")
_FOLDER = re.compile(r"(?:^|_)(train|training|test|testing)_(\d+)_(\d+)$")
_LAYER = re.compile(r"(?:seq\.)?(\d+)\.(weight|bias)")
_VALIDATION = 1 / 12  # 5,000 of 60,000


def read_inrs(folder: Path, splits: Path | None = None, strict: bool = False) -> Zoo:
    """The SIRENs below a folder. Facts: ``label``, ``image``, ``split``.

    Args:
        folder: With a folder for each image.
        splits: The JSON file of the published split (55,000, 5,000 and 10,000 networks), which for each of ``train``,
            ``val`` and ``test`` has a list of paths, or an object with the lists ``path`` and ``label``; default
            ``*splits.json`` in the folder or beside it. Without one, images of the published test set are for testing,
            and a twelfth of the others, drawn with seed 0, for validation: that is not the published division.
        strict: Refuse a folder of which anything would be skipped.

    Raises:
        DatasetError: there are no such files, or with ``strict`` one cannot be read.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES)
    if not files:
        raise DatasetError(f"{folder}: no networks: expected files {', '.join('*' + own for own in _SUFFIXES)}")
    beside = [*folder.glob("*splits.json"), *folder.parent.glob(f"{_stem(folder)}*splits.json")]
    found = splits or min(beside, default=None)
    published = None if found is None else _published(found)
    held_out = _validation(files) if published is None else set()
    collector = Collector(folder.name, strict)
    for path in files:
        facts = _facts(path, folder, published, held_out)
        if isinstance(facts, str):
            collector.skip(str(path.relative_to(folder)), facts)
            continue
        try:
            tensors = _renamed(checkpoint.open(path))
            layout = tuple(tensors[f"{layer}.weight"].shape[1] for layer in range(len(tensors) // 2))
            last = tensors[f"{len(tensors) // 2 - 1}.weight"].shape[0]
        except CheckpointError as error:
            collector.skip(str(path.relative_to(folder)), error.problem)
        except (KeyError, IndexError, ValueError):
            reason = "not the layers 0, 1, ... of a multilayer perceptron, each with weight and bias"
            collector.skip(str(path.relative_to(folder)), reason)
        else:
            collector.add_network(SirenArchitecture((*layout, last)), tensors, facts, str(path.relative_to(folder)))
    return collector.zoo()


def _stem(folder: Path) -> str:
    """``mnist`` of ``mnist-inrs``, which the published name of the split file begins with."""
    return re.split(r"[-_]", folder.name)[0]


def _renamed(opened: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights and biases under the names of :class:`~graphlab.nn.models.siren.Siren`; others are left out."""
    matches = {name: _LAYER.fullmatch(name) for name in opened}
    if not opened or not all(matches.values()):
        raise ValueError
    return {f"{match[1]}.{match[2]}": opened[name] for name, match in matches.items() if match}


def _image_folder(path: Path) -> re.Match[str] | None:
    return next((match for part in reversed(path.parts) if (match := _FOLDER.search(part))), None)


def _key(path: str) -> tuple[str, ...]:
    """What tells an image's file apart from the others, wherever the collection lies: the last three names."""
    return Path(path).parts[-3:]


def _published(file: Path) -> dict[tuple[str, ...], tuple[int, int | None]]:
    """Number of the part, and the label if it is given, for each file of a split."""
    try:
        document = read_object(file, "split")
    except CheckpointError as error:
        raise DatasetError(str(error)) from error
    found: dict[tuple[str, ...], tuple[int, int | None]] = {}
    for number, part in enumerate(SPLITS):
        own: Any = document.get(part, [])
        paths = own.get("path") if isinstance(own, dict) else own
        labels = own.get("label") if isinstance(own, dict) else None
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise DatasetError(f"{file}: {part}: expected a list of paths, or an object with the list 'path'")
        if labels is None:
            labels = [None] * len(paths)
        if not isinstance(labels, list) or len(labels) != len(paths):
            raise DatasetError(f"{file}: {part}: expected a label for each of {len(paths)} paths")
        found |= {
            _key(path): (number, None if label is None else int(label))
            for path, label in zip(paths, labels, strict=True)
        }
    return found


def _validation(files: list[Path]) -> set[Path]:
    """A twelfth of the files that are not of the test set."""
    training = [path for path in files if (match := _image_folder(path)) and match[1].startswith("train")]
    random.Random(0).shuffle(training)
    return set(training[: round(_VALIDATION * len(training))])


def _facts(
    path: Path, folder: Path, published: Mapping[tuple[str, ...], tuple[int, int | None]] | None, held_out: set[Path]
) -> dict[str, int] | str:
    """Label, image and part of a file, or why it has none."""
    match = _image_folder(path.relative_to(folder))
    if published is None:
        if match is None:
            return "no folder above it is named like mnist_png_training_7_30772, and there is no splits.json"
        part = 2 if match[1].startswith("test") else int(path in held_out)
        return {"label": int(match[2]), "image": int(match[3]), "split": part}
    key = _key(str(path))
    if key not in published:
        return "the split does not name it"
    part, label = published[key]
    if label is None and match is None:
        return "neither the split nor a folder above it says its label"
    image = {} if match is None else {"image": int(match[3])}
    return {"label": int(match[2]) if label is None and match else int(label or 0), **image, "split": part}
