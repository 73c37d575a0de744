"""Making a zoo: shard by shard, each from the recipe's seed and its own number, so that it goes on where it stopped."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from graphlab.datasets.errors import DatasetError
from graphlab.datasets.zoos.architectures import Architecture
from graphlab.datasets.zoos.files import INDEX, empty_index, read_index, write_shard
from graphlab.datasets.zoos.zoo import Stacks

Tell = Callable[[float], None]
"""Called with the part of the work that is done, from 0 to 1."""


class Made(NamedTuple):
    """Networks, and for each fact ``[num_networks]``."""

    stacks: Sequence[Stacks]
    facts: Mapping[str, Tensor]


class Recipe(Protocol):
    """How a zoo is made: a frozen dataclass of numbers with two methods.

    A unit is what is trained together and cannot be divided: its networks depend on the seed and the unit's number
    alone, not on how many there are.
    """

    kind: ClassVar[str]
    seed: int
    dtype: str
    shard_units: int

    @property
    def unit(self) -> int:
        """Networks of a unit."""
        ...

    def make(self, units: range, tell: Tell | None = None) -> Made:
        """The networks of these units; ``tell``, if given, is told how far it is."""
        ...


def make_zoo(recipe: Recipe, folder: Path, count: int, progress: Callable[[int, int], None] | None = None) -> int:
    """Make the zoo in a folder, or go on with it: shards that are there and whole are kept.

    Args:
        recipe: How.
        folder: Made if absent.
        count: Networks, rounded up to whole units of the recipe. More than there were: the zoo grows.
        progress: If given, called with how many networks are done, and of how many.

    Returns:
        How many networks were made by this call.

    Raises:
        DatasetError: the count is not positive, or the folder holds a zoo of another recipe or something else.
    """
    if count < 1:
        raise DatasetError(f"expected a count of 1 or more networks, got {count}")
    index = _index(recipe, folder)
    units, unit = -(-count // recipe.unit), recipe.unit
    made = 0

    def tell(first: int, size: int, part: float) -> None:
        if progress is not None:
            progress(int((first + part * size) * unit), units * unit)

    for shard, first in enumerate(range(0, units, recipe.shard_units)):
        wanted = range(first, min(first + recipe.shard_units, units))
        name = f"shard-{shard:05d}.safetensors"
        known = sum(index["shards"].get(name, {"members": {}})["members"].values())
        if known < len(wanted) * unit or not (folder / name).is_file():
            stacks, facts = recipe.make(wanted, functools.partial(tell, first, len(wanted)))
            write_shard(folder, index, name, stacks, facts, recipe.dtype)
            made += len(wanted) * unit
        tell(first, len(wanted), 1.0)
    return made


def initial(architecture: Architecture, seeds: Sequence[int]) -> dict[str, Tensor]:
    """``[len(seeds), *shape]`` by name: the parameters of a new network from each seed."""
    states = []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            states.append({name: own.detach() for name, own in architecture.module().named_parameters()})
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def seed_of(*numbers: int) -> int:
    """A seed that belongs to these numbers (the recipe's seed, a network's number) and to no others."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _index(recipe: Recipe, folder: Path) -> dict[str, Any]:
    document = json.loads(json.dumps({"kind": recipe.kind, **asdict(recipe)}))  # type: ignore[call-overload]
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        folder.mkdir(parents=True, exist_ok=True)
        return empty_index(document)
    if not (folder / INDEX).is_file():
        raise DatasetError(f"{folder} exists and is no zoo (it has no {INDEX}); give another folder")
    index = read_index(folder)
    known = index["recipe"]
    if known != document:
        keys = [key for key in {**known, **document} if known.get(key) != document.get(key)]
        lines = [f"  {key}: {known.get(key, 'absent')}, now {document.get(key, 'absent')}" for key in keys]
        raise DatasetError("\n".join([f"{folder} holds a zoo of another recipe; it differs in", *lines]))
    return index
