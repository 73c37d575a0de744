"""The safetensors format: an 8-byte header length, a JSON header, and the tensors' bytes without a gap.

Read here rather than by the `safetensors` library so that every flaw is reported with the tensor's name, and so that
a tensor is a copy-on-write view of the file.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from graphlab.checkpoint.contents import Contents
from graphlab.checkpoint.dtypes import BY_SAFETENSORS_NAME
from graphlab.checkpoint.errors import CheckpointError, show
from graphlab.checkpoint.mapped import MappedFile
from graphlab.checkpoint.spec import TensorSpec, contiguous_stride, parse_shape
from graphlab.checkpoint.strict_json import parse_object

MAX_HEADER = 100_000_000
METADATA = "__metadata__"
ALIASES = "graphlab.aliases"
"""The metadata key under which `save` keeps ``{"alias": "name of the tensor it shares memory with"}`` as JSON."""


def looks_like_safetensors(file: MappedFile) -> bool:
    """Whether `file` starts as safetensors does: with a length, then a brace."""
    return file.read(8, 1) == b"{"


def read_safetensors(file: MappedFile) -> Contents:
    """Reads the header of a safetensors file; the tensors' bytes are not touched.

    Raises:
        CheckpointError: the header breaks a rule of the format, naming the tensor.
    """
    if file.size < 8:
        raise CheckpointError(file.path, f"too short for safetensors: {file.size} bytes, at least 8 are needed")
    length = int.from_bytes(file.read(0, 8), "little")
    if length > min(MAX_HEADER, file.size - 8):
        raise CheckpointError(
            file.path,
            f"the safetensors header declares {length} bytes; the file has {file.size - 8} after the length, "
            f"and at most {MAX_HEADER} are accepted",
        )
    header = parse_object(file.read(8, length), file.path, "safetensors header")
    metadata = _metadata(header.pop(METADATA, {}), file.path)
    start = 8 + length
    specs = {name: _tensor(name, entry, start, file) for name, entry in header.items()}
    _check_layout(list(specs.values()), start, file)
    aliases = metadata.pop(ALIASES, None)
    if aliases is not None:
        _add_aliases(specs, aliases, file.path)
    return Contents("safetensors", {file.path: file}, specs, metadata, exact_names=aliases is not None)


def _metadata(value: Any, path: Path) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise CheckpointError(path, f"{METADATA} must map strings to strings; it is {show(value)}")
    return value


def _tensor(name: str, entry: Any, start: int, file: MappedFile) -> TensorSpec:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        came = show(list(entry)) if isinstance(entry, dict) else show(entry)
        raise CheckpointError(file.path, f"expected the keys dtype, shape and data_offsets; got {came}", name)
    try:
        shape = parse_shape(entry["shape"])
    except ValueError as error:
        raise CheckpointError(file.path, f"{error}; got {show(entry['shape'])}", name) from error
    dtype = BY_SAFETENSORS_NAME.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise CheckpointError(
            file.path, f"expected a dtype of {', '.join(BY_SAFETENSORS_NAME)}; got {show(entry['dtype'])}", name
        )
    offsets = entry["data_offsets"]
    if not isinstance(offsets, list) or [type(offset) for offset in offsets] != [int, int]:
        raise CheckpointError(file.path, f"data_offsets must be two integers; got {show(offsets)}", name)
    begin, end = offsets
    if not 0 <= begin <= end <= file.size - start:
        raise CheckpointError(
            file.path, f"data_offsets {show(offsets)} lead out of the file's {file.size - start} bytes of data", name
        )
    needed = math.prod(shape) * dtype.itemsize
    if end - begin != needed:
        raise CheckpointError(
            file.path, f"{entry['dtype']} of shape {list(shape)} needs {show(needed)} bytes; it has {end - begin}", name
        )
    return TensorSpec(name, shape, dtype, file.path, start + begin, contiguous_stride(shape))


def _check_layout(specs: list[TensorSpec], start: int, file: MappedFile) -> None:
    """The format wants the tensors to cover the data exactly once."""
    reached = start
    for spec in sorted(specs, key=lambda spec: (spec.offset, spec.nbytes)):
        if spec.offset != reached:
            flaw = "overlaps the tensor before it" if spec.offset < reached else "leaves a hole before it"
            raise CheckpointError(
                file.path, f"{flaw}: expected to start at byte {reached}, starts at {spec.offset}", spec.name
            )
        reached += spec.nbytes
    if reached != file.size:
        raise CheckpointError(file.path, f"the tensors end at byte {reached}, the file at {file.size}")


def _add_aliases(specs: dict[str, TensorSpec], text: str, path: Path) -> None:
    for alias, name in parse_object(text.encode(), path, f"metadata {ALIASES!r}").items():
        if not isinstance(name, str) or name not in specs or alias in specs:
            raise CheckpointError(path, f"{ALIASES!r} ties it to {show(name)}; expected a new name for a tensor", alias)
        specs[alias] = replace(specs[name], name=alias)
