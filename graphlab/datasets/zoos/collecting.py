"""Reading a zoo that may be incomplete: what can be had is gathered, what cannot is counted and listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from graphlab.datasets.errors import DatasetError
from graphlab.datasets.zoos.architectures import Architecture, shapes
from graphlab.datasets.zoos.zoo import Skipped, Stacks, Zoo, described


class Collector:
    """Gathers networks, as stacks or one by one, into a :class:`~graphlab.datasets.zoos.zoo.Zoo`.

    Args:
        name: Of the zoo.
        strict: Whether anything skipped is an error.
    """

    def __init__(self, name: str, strict: bool = False) -> None:
        self.name, self.strict = name, strict
        self._stacks: dict[Architecture, list[tuple[Mapping[str, Tensor], Mapping[str, Tensor]]]] = {}
        self._skipped: list[Skipped] = []

    def skip(self, name: str, reason: str, members: int = 1) -> None:
        """Note what cannot be had."""
        self._skipped.append(Skipped(name, members, reason))

    def add(self, stacks: Stacks, facts: Mapping[str, Tensor], names: Sequence[str]) -> None:
        """Take the networks whose parameters are all numbers; the others are skipped by their names."""
        sound = torch.ones(len(stacks), dtype=torch.bool)
        for parameter, tensor in stacks.tensors.items():
            finite = tensor.isfinite().flatten(1).all(1)
            for row in (~finite & sound).nonzero().squeeze(1).tolist():
                self.skip(names[row], f"{parameter} holds NaN or infinity")
            sound &= finite
        tensors = {name: own[sound] for name, own in stacks.tensors.items()}
        kept = {name: column[sound] for name, column in facts.items()}
        self._stacks.setdefault(stacks.architecture, []).append((tensors, kept))

    def add_network(
        self, architecture: Architecture, tensors: Mapping[str, Tensor], facts: Mapping[str, float], name: str
    ) -> None:
        """Take one network, in float32, if it has the parameters of its architecture."""
        for parameter, shape in shapes(architecture).items():
            if parameter not in tensors:
                return self.skip(name, f"{parameter} is missing")
            if tensors[parameter].shape != shape:
                found = list(tensors[parameter].shape)
                return self.skip(name, f"{parameter}: expected the shape {list(shape)}, got {found}")
        stacked = {parameter: tensors[parameter].float().unsqueeze(0) for parameter in shapes(architecture)}
        self.add(Stacks(architecture, stacked), {fact: torch.tensor([value]) for fact, value in facts.items()}, [name])
        return None

    def zoo(self) -> Zoo:
        """What was gathered, with the facts that all networks have.

        Raises:
            DatasetError: there is nothing, or something was skipped and the reading is strict.
        """
        if self.strict and self._skipped:
            raise DatasetError(f"{self.name}: strict, and not all networks can be had{described(self._skipped)}")
        parts = [part for group in self._stacks.values() for part in group]
        common = [name for name in (parts[0][1] if parts else ()) if all(name in facts for _, facts in parts)]
        stacks = [
            Stacks(architecture, {name: torch.cat([own[name] for own, _ in group]) for name in group[0][0]})
            for architecture, group in self._stacks.items()
        ]
        columns = {name: torch.cat([facts[name] for _, facts in parts]) for name in common}
        return Zoo(stacks, columns, self._skipped, self.name)
