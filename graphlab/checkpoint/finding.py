"""Finding the checkpoints below a folder."""

from __future__ import annotations

import os
from pathlib import Path

from graphlab.checkpoint.errors import CheckpointError
from graphlab.checkpoint.sharded import INDEX

_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_WHOLE = ("config.json", "adapter_config.json")


def find(folder: str | os.PathLike[str]) -> list[Path]:
    """What can be opened below a folder, in order: files of weights, and folders that are one checkpoint.

    A folder with weights and a ``config.json``, an ``adapter_config.json`` or an index of shards is one checkpoint;
    otherwise each file of weights is. Hidden files and folders are passed over. Nothing is opened.

    Raises:
        CheckpointError: the folder cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise CheckpointError(folder, f"cannot be listed: {error}")

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        weights = sorted(name for name in names if name.endswith(_SUFFIXES) and not name.startswith("."))
        if weights and any(name in _WHOLE or name.endswith(INDEX) for name in names):
            found.append(Path(place))
            folders.clear()
        else:
            found += [Path(place, name) for name in weights]
    return found
