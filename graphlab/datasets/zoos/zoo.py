"""``Zoo``: trained networks with what is known of each, as a data set.

>>> zoo = load_zoo("digits-inr")
>>> train, test = zoo.split("train"), zoo.split("test")
>>> zoo[0].tensors["0.weight"], zoo[0].facts["label"]
>>> batch = zoo.batch(range(64), "neural_graph")  # a WeightGraphBatch
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import torch
from torch import Tensor
from torch.utils.data import Dataset

from graphlab.datasets.errors import DatasetError
from graphlab.datasets.zoos import architectures as arch
from graphlab.datasets.zoos.architectures import Architecture
from graphlab.weightgraph import WeightGraph, WeightGraphBatch
from graphlab.weightgraph.wiring import Wiring

if TYPE_CHECKING:
    from torch_geometric.data import Data

SPLITS = ("train", "val", "test")
"""What the numbers of the fact ``split`` stand for."""

_LISTED = 10


class Skipped(NamedTuple):
    """Members that could not be had: which, how many, and why."""

    name: str
    members: int
    reason: str


@dataclass(frozen=True, eq=False)
class Network:
    """A member of a zoo.

    Attributes:
        architecture: What it is.
        tensors: Its parameters by name, views of the zoo's.
        facts: What is known of it: ``label``, ``test_accuracy``, ``split``, ...
    """

    architecture: Architecture
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, int | float]

    def wiring(self, layout: str = "neural_graph", **options: Any) -> Wiring:
        """How a layout draws it; see :func:`~graphlab.datasets.zoos.architectures.wiring`."""
        return arch.wiring(self.architecture, layout, **options)

    def graph(self) -> WeightGraph:
        """The network with its structure."""
        return arch.graph(self.architecture, self.tensors)

    def to_data(self, layout: str = "neural_graph", **options: Any) -> Data:
        """The network as an explicit PyG graph, each fact a tensor ``[1]``."""
        from graphlab.weightgraph.data import to_data

        data = to_data(self.wiring(layout, **options), self.tensors)
        data.update({name: torch.tensor([value]) for name, value in self.facts.items()})
        return data


@dataclass(frozen=True, eq=False)
class Stacks:
    """Networks of one architecture: each parameter with all of them on the first axis."""

    architecture: Architecture
    tensors: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        count = len(next(iter(self.tensors.values()))) if self.tensors else 0
        expected = {name: (count, *shape) for name, shape in arch.shapes(self.architecture).items()}
        found = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
        if found != expected:
            raise ValueError(f"expected the parameters {expected} of {self.architecture}, got {found}")

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))


class Zoo(Dataset[Network]):
    """Networks with facts, in memory.

    An integer gives a :class:`Network`; a slice, a list of places, a tensor of places or a boolean tensor gives the zoo
    of these, which shares the memory.

    Args:
        stacks: The networks, architecture by architecture.
        facts: For each fact a tensor ``[num_networks]``, in the order of the stacks.
        skipped: What the zoo should have held besides.
        name: For messages.

    Raises:
        DatasetError: if there is no network, or facts are not of as many.
    """

    def __init__(
        self, stacks: Sequence[Stacks], facts: Mapping[str, Tensor], skipped: Sequence[Skipped] = (), name: str = "zoo"
    ) -> None:
        count = sum(map(len, stacks))
        if not count:
            raise DatasetError(f"{name} holds no networks{described(skipped)}")
        wrong = {fact: list(column.shape) for fact, column in facts.items() if column.shape != (count,)}
        if wrong:
            raise DatasetError(f"{name}: expected facts of {count} networks, [{count}], got {wrong}")
        self.stacks, self.skipped, self.name = tuple(stacks), tuple(skipped), name
        self.facts: Mapping[str, Tensor] = dict(facts)
        self.place = torch.cat(
            [torch.stack([torch.full((len(own),), n), torch.arange(len(own))], 1) for n, own in enumerate(stacks)]
        )

    def __len__(self) -> int:
        return len(self.place)

    @overload
    def __getitem__(self, index: int) -> Network: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> Zoo: ...
    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Network | Zoo:
        if isinstance(index, int):
            number, row = self.place[index].tolist()
            own = self.stacks[number]
            facts = {name: column[index].item() for name, column in self.facts.items()}
            return Network(own.architecture, {name: tensor[row] for name, tensor in own.tensors.items()}, facts)
        chosen = index if isinstance(index, slice | Tensor) else torch.tensor(list(index), dtype=torch.int64)
        subset = object.__new__(Zoo)
        subset.stacks, subset.skipped, subset.name = self.stacks, self.skipped, self.name
        subset.facts = {name: column[chosen] for name, column in self.facts.items()}
        subset.place = self.place[chosen]
        return subset

    def __iter__(self) -> Iterator[Network]:
        return (self[index] for index in range(len(self)))

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """Those that there are members of, each once."""
        return tuple(self.stacks[number].architecture for number in torch.unique(self.place[:, 0]).tolist())

    def each_architecture(self) -> list[Architecture]:
        """That of each member."""
        return [self.stacks[number].architecture for number in self.place[:, 0].tolist()]

    def fact(self, name: str) -> Tensor:
        """``[num_networks]``: a fact of every member.

        Raises:
            DatasetError: if the zoo does not know it.
        """
        if name not in self.facts:
            raise DatasetError(f"{self.name} has no {name}; it has {', '.join(self.facts) or 'no facts'}")
        return self.facts[name]

    def split(self, name: str) -> Zoo:
        """The members of ``train``, ``val`` or ``test``.

        Raises:
            DatasetError: if the zoo is not split or none of its members is in that part.
        """
        if name not in SPLITS:
            raise DatasetError(f"expected {', '.join(SPLITS)}, got {name!r}")
        chosen = self.fact("split") == SPLITS.index(name)
        if not chosen.any():
            raise DatasetError(f"{self.name}: none of the {len(self)} networks is in the part {name!r}")
        return self[chosen]

    def stacked(self) -> dict[str, Tensor]:
        """Each parameter of all members, ``[num_networks, *shape]``.

        Raises:
            DatasetError: if they are of several architectures.
        """
        numbers = torch.unique(self.place[:, 0])
        if len(numbers) != 1:
            raise DatasetError(f"{self.name}: expected networks of one architecture, got {len(numbers)} architectures")
        return {name: tensor[self.place[:, 1]] for name, tensor in self.stacks[int(numbers)].tensors.items()}

    def wirings(self, layout: str = "neural_graph", **options: Any) -> list[Wiring]:
        """How a layout draws each member; one object an architecture."""
        return [arch.wiring(own, layout, **options) for own in self.each_architecture()]

    def batch(self, index: Iterable[int] | Tensor, layout: str = "neural_graph", **options: Any) -> WeightGraphBatch:
        """Members as one graph."""
        chosen = self[torch.as_tensor(list(index) if not isinstance(index, Tensor) else index)]
        members: list[Mapping[str, Tensor]] = [{}] * len(chosen)
        for number in torch.unique(chosen.place[:, 0]).tolist():
            of = (chosen.place[:, 0] == number).nonzero().squeeze(1)
            rows = chosen.place[of, 1]
            columns = {name: tensor[rows].unbind() for name, tensor in self.stacks[number].tensors.items()}
            for place, member in enumerate(of.tolist()):
                members[member] = {name: column[place] for name, column in columns.items()}
        return WeightGraphBatch(zip(chosen.wirings(layout, **options), members, strict=True))

    def to(self, device: torch.device) -> Zoo:
        """The zoo with its parameters and facts on a device."""
        moved = self[:]
        moved.stacks = tuple(
            Stacks(own.architecture, {name: tensor.to(device) for name, tensor in own.tensors.items()})
            for own in self.stacks
        )
        moved.facts = {name: column.to(device) for name, column in self.facts.items()}
        return moved

    def __repr__(self) -> str:
        sizes = torch.tensor([sum(t[0].numel() for t in own.tensors.values()) for own in self.stacks])
        own = sizes[self.place[:, 0].cpu()]
        lines = [
            f"{self.name}: {len(self):,} networks of {len(self.architectures):,} architectures, "
            f"{int(own.min()):,} to {int(own.max()):,} parameters"
        ]
        for name, column in self.facts.items():
            lines.append(f"  {name}: {column.min().item():.4g} to {column.max().item():.4g}")
        return "\n".join(lines) + described(self.skipped)


def described(skipped: Sequence[Skipped]) -> str:
    """What was skipped as the end of a message: counted, and the first of them listed; nothing if nothing was."""
    if not skipped:
        return ""
    lines = [f"  {own.name} ({own.members} network{'s' * (own.members != 1)}): {own.reason}" for own in skipped]
    more = [f"  and {len(lines) - _LISTED} more places"] if len(lines) > _LISTED else []
    total = sum(own.members for own in skipped)
    return "\n".join([f"\nskipped {total:,} network{'s' * (total != 1)}:", *lines[:_LISTED], *more])
