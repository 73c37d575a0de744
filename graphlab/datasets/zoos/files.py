"""Zoos as folders: shards of stacked parameters (safetensors) and an index (JSON).

::

    digits-inr/
        index.json                  format, recipe, architectures; for each shard its members and their facts
        shard-00000.safetensors     "ARCHITECTURE/PARAMETER": [members, *shape]

The members of a shard are in the index in the order of the architectures' numbers, then of rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphlab import checkpoint
from graphlab.checkpoint import Checkpoint, CheckpointError
from graphlab.checkpoint.atomic import atomic_file
from graphlab.checkpoint.strict_json import read_object
from graphlab.datasets.errors import DatasetError
from graphlab.datasets.zoos.architectures import Architecture, from_json, shapes, to_json
from graphlab.datasets.zoos.collecting import Collector
from graphlab.datasets.zoos.zoo import Stacks, Zoo

INDEX = "index.json"
FORMAT = "graphlab-zoo-1"


def empty_index(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The index of a zoo without members."""
    return {"format": FORMAT, "recipe": dict(recipe), "architectures": [], "shards": {}}


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a zoo.

    Raises:
        DatasetError: there is none, or it is not one.
    """
    try:
        index = read_object(folder / INDEX, "index of a zoo")
    except CheckpointError as error:
        raise DatasetError(f"{folder} is no zoo: {error}") from error
    sound = isinstance(index.get("architectures"), list) and isinstance(index.get("shards"), dict)
    if index.get("format") != FORMAT or not sound:
        raise DatasetError(f"{folder / INDEX}: expected the index of a zoo in the format {FORMAT!r}")
    return index


def write_index(folder: Path, index: Mapping[str, Any]) -> None:
    """Write the index, atomically; a line a shard."""
    shards = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(own)}" for name, own in sorted(index["shards"].items()))
    kinds = ",\n  ".join(json.dumps(own) for own in index["architectures"])
    text = (
        f'{{\n "format": {json.dumps(index["format"])},\n "recipe": {json.dumps(index["recipe"])},\n'
        f' "architectures": [\n  {kinds}\n ],\n "shards": {{\n  {shards}\n }}\n}}\n'
    )
    with atomic_file(folder / INDEX) as file:
        file.write(text.encode())


def write_shard(
    folder: Path, index: dict[str, Any], name: str, stacks: Sequence[Stacks], facts: Mapping[str, Tensor], dtype: str
) -> None:
    """Add a shard to a zoo, or put it in the place of the one of that name; the index is written too.

    Args:
        folder: Of the zoo.
        index: As read or last written; changed to what is written.
        name: Of the file.
        stacks: The members.
        facts: ``[members]`` each, in the order of the stacks.
        dtype: Of the parameters in the file, such as ``float16``.
    """
    numbers = [_number(index["architectures"], own.architecture) for own in stacks]
    tensors = {
        f"{number}/{parameter}": tensor.to(getattr(torch, dtype)).contiguous()
        for number, own in zip(numbers, stacks, strict=True)
        for parameter, tensor in own.tensors.items()
    }
    checkpoint.save(tensors, folder / name)
    index["shards"][name] = {
        "members": {str(number): len(own) for number, own in zip(numbers, stacks, strict=True)},
        "facts": {fact: [_rounded(value) for value in column.tolist()] for fact, column in facts.items()},
    }
    write_index(folder, index)


def read_zoo(folder: Path, strict: bool = False, dtype: torch.dtype = torch.float32) -> Zoo:
    """The zoo in a folder.

    Members whose shard is missing or damaged, whose parameters have other shapes than their architecture, or hold NaN
    or infinity, are skipped, counted and listed (``zoo.skipped``).

    Args:
        folder: With ``index.json``.
        strict: Refuse a zoo of which anything would be skipped.
        dtype: Of the parameters in memory.

    Raises:
        DatasetError: the folder is no zoo, the index is damaged, no member is left, or with ``strict`` one is missing.
    """
    index = read_index(folder)
    collector = Collector(folder.name, strict)
    try:
        architectures = [from_json(own) for own in index["architectures"]]
        for name, shard in index["shards"].items():
            members = _members(shard, len(architectures), name)
            opened = _opened(folder, name)
            if isinstance(opened, str):
                collector.skip(name, opened, sum(rows for _, rows, _ in members))
                continue
            for number, rows, columns in members:
                part = _part(opened, architectures[number], number, rows, dtype)
                if isinstance(part, str):
                    collector.skip(name, part, rows)
                else:
                    collector.add(part, columns, [f"{name}, architecture {number}, row {row}" for row in range(rows)])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DatasetError(f"{folder / INDEX}: damaged: {error}") from error
    return collector.zoo()


def _members(shard: Any, kinds: int, name: str) -> list[tuple[int, int, dict[str, Tensor]]]:
    """The architecture's number, the rows and the facts of each stack of a shard."""
    counts = {int(number): rows for number, rows in shard["members"].items()}
    if not all(0 <= number < kinds and isinstance(rows, int) and rows > 0 for number, rows in counts.items()):
        raise ValueError(f"{name}: expected rows by number of architecture below {kinds}, got {shard['members']}")
    columns = {fact: torch.tensor(values) for fact, values in shard["facts"].items()}
    total = sum(counts.values())
    if wrong := {fact: list(own.shape) for fact, own in columns.items() if own.shape != (total,)}:
        raise ValueError(f"{name}: expected facts of {total} networks, got {wrong}")
    parts = {fact: torch.split(own, list(counts.values())) for fact, own in columns.items()}
    return [
        (number, rows, {fact: own[place] for fact, own in parts.items()})
        for place, (number, rows) in enumerate(counts.items())
    ]


def _opened(folder: Path, name: str) -> Checkpoint | str:
    """A shard, or why it cannot be had."""
    if Path(name).name != name:
        return "the index names a file outside of the zoo"
    try:
        return checkpoint.open(folder / name)
    except CheckpointError as error:
        return error.problem


def _part(opened: Checkpoint, architecture: Architecture, number: int, rows: int, dtype: torch.dtype) -> Stacks | str:
    """The members of one architecture in a shard, or why they cannot be had."""
    expected = {f"{number}/{parameter}": (rows, *shape) for parameter, shape in shapes(architecture).items()}
    for key, shape in expected.items():
        if key not in opened.specs:
            return f"{key} is missing"
        if opened.specs[key].shape != shape:
            return f"{key}: expected {list(shape)}, got {list(opened.specs[key].shape)}"
    return Stacks(architecture, {key.partition("/")[2]: opened[key].to(dtype, copy=True) for key in expected})


def _number(known: list[Any], architecture: Architecture) -> int:
    document = json.loads(json.dumps(to_json(architecture)))
    if document not in known:
        known.append(document)
    return known.index(document)


def _rounded(value: float) -> float:
    """Six digits: float32 has no more."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
