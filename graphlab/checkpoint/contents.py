"""What a reader of one format hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from graphlab.checkpoint.mapped import MappedFile
from graphlab.checkpoint.spec import TensorSpec


@dataclass(frozen=True)
class Contents:
    """The headers of one weight file, or of several shards as one.

    Attributes:
        format: the format in words.
        files: the mapped files by path.
        specs: the tensors by the names in the file.
        metadata: the strings stored beside them.
        extra: names of what lies beside the tensors and is not loaded: an epoch, an optimiser's state.
        exact_names: whether the writer vouches for the names, so that no wrapper prefix is looked for.
    """

    format: str
    files: dict[Path, MappedFile]
    specs: dict[str, TensorSpec]
    metadata: dict[str, str] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    exact_names: bool = False
