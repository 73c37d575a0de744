"""A checkpoint: a lazy mapping from names to tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from graphlab.checkpoint.contents import Contents
from graphlab.checkpoint.description import describe
from graphlab.checkpoint.nonfinite import count_nonfinite
from graphlab.checkpoint.prefix import common_prefix
from graphlab.checkpoint.spec import TensorSpec


class Checkpoint(Mapping[str, torch.Tensor]):
    """The weights at a path, known from their headers; a tensor is a view of its file, mapped on first use.

    The mapping is private: writing to a tensor, in place or by an optimiser, never changes the file. All views from
    one checkpoint share the written values. A tensor that the file does not align to its element size is a new copy
    each time.

    Names are given without the wrappers' `prefix`; looking a tensor up by its full name in the file works as well.

    Attributes:
        path: what was opened.
        format: its format in words.
        specs: name, shape, dtype and place of each tensor; costs no access to the tensors.
        metadata: the strings that a safetensors file carries.
        config: a Hugging Face model's ``config.json``, or None.
        adapter: a PEFT adapter's ``adapter_config.json``, or None; the tensors are its factors as they are.
        prefix: what was removed from each name; ``prefix + name`` is the name in the file.
        extra: names of what a torch file holds beside tensors, and which is not loaded.
        tied: the names that share memory: same place, shape, stride and dtype.
    """

    def __init__(
        self,
        path: Path,
        contents: Contents,
        config: dict[str, Any] | None = None,
        adapter: dict[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.format = contents.format
        self.metadata = contents.metadata
        self.config = config
        self.adapter = adapter
        self.extra = contents.extra
        keeps_names = contents.exact_names or adapter is not None
        self.prefix = "" if keeps_names else common_prefix(contents.specs, with_model=config is None)
        self.specs: Mapping[str, TensorSpec] = MappingProxyType(_without_prefix(contents.specs, self.prefix))
        self.tied = _tied(self.specs)
        self._files = contents.files

    def __getitem__(self, name: str) -> torch.Tensor:
        spec = self.specs.get(name) or self.specs[name.removeprefix(self.prefix)]
        return self._files[spec.file].tensor(spec)

    def __contains__(self, name: object) -> bool:
        return name in self.specs or (isinstance(name, str) and name.removeprefix(self.prefix) in self.specs)

    def __iter__(self) -> Iterator[str]:
        return iter(self.specs)

    def __len__(self) -> int:
        return len(self.specs)

    # a mapping compares its values, which has no meaning for tensors
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return describe(self)

    @property
    def num_parameters(self) -> int:
        """The number of elements, those of tied tensors once."""
        return sum(spec.numel for spec in self._distinct())

    @property
    def nbytes(self) -> int:
        """The bytes of all elements, those of tied tensors once."""
        return sum(spec.nbytes for spec in self._distinct())

    def nonfinite(self, progress: Callable[[int, int], None] | None = None) -> dict[str, int]:
        """Counts NaN and infinite elements, reading every tensor in chunks of bounded memory.

        Args:
            progress: called after each chunk with the bytes read so far and in total.

        Returns:
            The count for each name that has any; all names of a tied tensor are given.
        """
        aliases = {names[0]: names for names in self.tied}
        counts: dict[str, int] = {}
        done, total = 0, self.nbytes
        for spec in self._distinct():
            for count, size in count_nonfinite(self[spec.name]):
                done += size
                if count:
                    for name in aliases.get(spec.name, (spec.name,)):
                        counts[name] = counts.get(name, 0) + count
                if progress is not None:
                    progress(done, total)
        return counts

    def _distinct(self) -> list[TensorSpec]:
        repeated = {name for names in self.tied for name in names[1:]}
        return [spec for name, spec in self.specs.items() if name not in repeated]


def _without_prefix(specs: dict[str, TensorSpec], prefix: str) -> dict[str, TensorSpec]:
    if not prefix:
        return specs
    return {name[len(prefix) :]: replace(spec, name=name[len(prefix) :]) for name, spec in specs.items()}


def _tied(specs: Mapping[str, TensorSpec]) -> tuple[tuple[str, ...], ...]:
    places: dict[tuple[object, ...], list[str]] = {}
    for name, spec in specs.items():
        if spec.numel:
            places.setdefault((spec.file, spec.offset, spec.dtype, spec.shape, spec.stride), []).append(name)
    return tuple(tuple(names) for names in places.values() if len(names) > 1)
