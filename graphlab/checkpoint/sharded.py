"""Checkpoints in several files, held together by an index."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphlab.checkpoint.contents import Contents
from graphlab.checkpoint.errors import CheckpointError, listing, show
from graphlab.checkpoint.mapped import MappedFile
from graphlab.checkpoint.spec import TensorSpec
from graphlab.checkpoint.strict_json import read_object

INDEX = ".index.json"


def read_sharded(index: Path, read_file: Callable[[Path], Contents]) -> Contents:
    """Reads the headers of all shards that an index lists.

    Args:
        index: a ``*.safetensors.index.json`` or ``*.bin.index.json``; the shards lie beside it.
        read_file: reads one shard.

    Raises:
        CheckpointError: the index is malformed, leads out of its folder, names missing shards or tensors that their
            shard lacks, or two shards hold the same tensor.
    """
    weight_map = _weight_map(index)
    names = list(dict.fromkeys(weight_map.values()))
    missing = [name for name in names if not os.path.exists(index.parent / name)]
    if missing:
        raise CheckpointError(index, f"{len(missing)} of {len(names)} shards are missing: {listing(missing)}")
    shards = {name: read_file(index.parent / name) for name in names}
    files: dict[Path, MappedFile] = {}
    found: dict[str, TensorSpec] = {}
    for shard in shards.values():
        for name, spec in shard.specs.items():
            if name in found:
                raise CheckpointError(index, f"both {found[name].file.name} and {spec.file.name} hold it", name)
            found[name] = spec
        files |= shard.files
    for name, shard_name in weight_map.items():
        if name not in shards[shard_name].specs:
            raise CheckpointError(index, f"the index places it in {shard_name}, which lacks it", name)
    kinds = " and ".join(sorted({shard.format for shard in shards.values()}))
    extra = tuple(dict.fromkeys(name for shard in shards.values() for name in shard.extra))
    metadata = {key: value for shard in shards.values() for key, value in shard.metadata.items()}
    in_order = {name: found[name] for name in [*weight_map, *(name for name in found if name not in weight_map)]}
    return Contents(f"sharded {kinds}", files, in_order, metadata, extra)


def _weight_map(index: Path) -> dict[str, str]:
    weight_map: Any = read_object(index, "index").get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(index, f"the index's weight_map must name each tensor's file; it is {show(weight_map)}")
    for name, shard in weight_map.items():
        if not isinstance(shard, str):
            raise CheckpointError(index, f"its file must be a name; it is {show(shard)}", name)
        if shard in ("", ".", "..") or any(character in shard for character in "/\\:\0"):
            raise CheckpointError(index, f"its file must lie beside the index; {show(shard)} leads elsewhere", name)
        if shard.endswith(INDEX):
            raise CheckpointError(index, f"its file must hold weights; {show(shard)} is an index", name)
    return weight_map
