"""The parameters that a drawing is declared for, by name, each to be drawn once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from graphlab.weightgraph.wiring import View, WiringError


@dataclass(frozen=True)
class Entry:
    """A parameter, or the query, key or value part of a fused one.

    Attributes:
        name: Of the parameter.
        shape: Of the part.
        part: Which of the parts: 0, 1, 2.
        narrow: What cuts it out of the parameter.
    """

    name: str
    shape: tuple[int, ...]
    part: int = 0
    narrow: tuple[tuple[int, int, int], ...] = ()

    @property
    def label(self) -> str:
        return f"{self.name}[{'qkv'[self.part]}]" if self.narrow else self.name

    @property
    def module(self) -> str:
        return self.name.rpartition(".")[0] or self.name

    def view(self, order: Sequence[int]) -> View:
        return View(self.name, tuple(order), self.narrow)

    def thirds(self, axis: int) -> list[Entry]:
        """The parts of a fused parameter: query, key, value."""
        size, rest = divmod(self.shape[axis], 3)
        if rest:
            raise WiringError(
                f"{self.name}: axis {axis} holds query, key and value, so its size must be a multiple of 3; "
                f"the shape is {list(self.shape)}"
            )
        shape = (*self.shape[:axis], size, *self.shape[axis + 1 :])
        return [replace(self, shape=shape, part=part, narrow=((axis, part * size, size),)) for part in range(3)]


class Parameters:
    """Shapes by name, in the order of the flat parameter vector."""

    def __init__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        self._shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self._place: dict[str, int] = {}
        for entry in self.entries():
            self._place.setdefault(entry.module, len(self._place))

    def entries(self) -> list[Entry]:
        return [Entry(name, shape) for name, shape in self._shapes.items()]

    def find(self, name: str) -> Entry | None:
        """The parameter, or ``None``: biases are optional."""
        return Entry(name, self._shapes[name]) if name in self._shapes else None

    def get(self, name: str, dim: int = 2) -> Entry:
        """The parameter, which must be there and have ``dim`` axes.

        Raises:
            WiringError: if it is missing or of another dimension.
        """
        entry = self.find(name)
        if entry is None:
            raise WiringError(f"parameter {name} is missing")
        if len(entry.shape) != dim:
            raise WiringError(f"{name}: expected {dim} axes, got the shape {list(entry.shape)}")
        return entry

    def bias(self, module: str) -> list[Entry]:
        """The bias of a module, or none."""
        bias = self.find(f"{module}.bias")
        return [bias] if bias else []

    def norms(self, modules: Iterable[str]) -> list[Entry]:
        """The scale and, if there is one, the shift of each norm."""
        return [vector for module in modules for vector in (self.get(f"{module}.weight", dim=1), *self.bias(module))]

    def blocks(self, path: str) -> tuple[str, list[str]]:
        """What stands before ``path`` in the parameters' names, and the prefix of each numbered block, by number.

        Raises:
            WiringError: if there are none, or in several places.
        """
        pattern = re.compile(rf"((?:.*?\.)?){re.escape(path)}(\d+)\.")
        found = {match.groups() for name in self._shapes if (match := pattern.match(name))}
        roots = sorted({root for root, _ in found})
        if len(roots) != 1:
            raise WiringError(f"expected one list of blocks called {path}0., {path}1., ...; found them under {roots}")
        numbers = sorted({int(number) for _, number in found})
        return roots[0], [f"{roots[0]}{path}{number}." for number in numbers]

    def place(self, module: str) -> int:
        """Rank of a module by its first parameter."""
        return self._place[module]
