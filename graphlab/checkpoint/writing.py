"""Writing safetensors files, a tensor at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from graphlab.checkpoint.atomic import atomic_file
from graphlab.checkpoint.dtypes import SAFETENSORS_NAMES
from graphlab.checkpoint.errors import CheckpointError, show
from graphlab.checkpoint.safetensors_format import ALIASES, MAX_HEADER, METADATA

_ALIGNMENT = 8


def save(
    tensors: Mapping[str, torch.Tensor], path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes `tensors` as one safetensors file, atomically: `path` holds the old file or the whole new one.

    Tensors of any strides and on any device are written one by one, each copied only if it is not contiguous in main
    memory. Names that share a tensor (same memory, shape, strides and dtype) are written once, and the others kept in
    the metadata under ``graphlab.aliases`` as JSON, ``{"alias": "name"}``; `open` gives all of them back. Other readers
    of safetensors see the first name only.

    Args:
        tensors: by name; a `Checkpoint` too, even the one at `path`.
        path: its folder must exist.
        metadata: strings to keep beside the tensors.

    Raises:
        CheckpointError: a name, dtype or layout that safetensors cannot hold, or the file cannot be written.
    """
    path = Path(path)
    held = dict(tensors)
    for name, tensor in held.items():
        _check_writable(name, tensor, path)
    aliases = _aliases(held)
    # the widest elements first: each tensor then starts at a multiple of its element size
    layout = sorted((name for name in held if name not in aliases), key=lambda name: -held[name].dtype.itemsize)
    header = _header({name: held[name] for name in held if name not in aliases}, layout, aliases, metadata or {}, path)
    try:
        with atomic_file(path) as file:
            file.write(len(header).to_bytes(8, "little"))
            file.write(header)
            for name in layout:
                file.write(_bytes(held[name]))
    except (OSError, ValueError) as error:
        raise CheckpointError(path, f"cannot be written: {error}") from error


def _check_writable(name: str, tensor: torch.Tensor, path: Path) -> None:
    if not isinstance(name, str) or name == METADATA:
        raise CheckpointError(path, f"expected a string other than {METADATA!r} as a name; got {show(name)}")
    if not isinstance(tensor, torch.Tensor):
        raise CheckpointError(path, f"expected a tensor, got {show(tensor)}", name)
    if tensor.layout != torch.strided or tensor.is_meta:
        raise CheckpointError(path, f"expected dense values in memory, got {tensor.layout} on {tensor.device}", name)
    if tensor.dtype not in SAFETENSORS_NAMES:
        raise CheckpointError(path, f"safetensors has no type for {tensor.dtype}", name)


def _aliases(tensors: dict[str, torch.Tensor]) -> dict[str, str]:
    """Returns the name to write for each name whose tensor is that of an earlier name."""
    first: dict[tuple[object, ...], str] = {}
    aliases: dict[str, str] = {}
    for name, tensor in tensors.items():
        if tensor.numel():
            key = (
                tensor.device,
                tensor.data_ptr(),
                tensor.dtype,
                tensor.shape,
                tensor.stride(),
                tensor.is_conj(),
                tensor.is_neg(),
            )
            if first.setdefault(key, name) != name:
                aliases[name] = first[key]
    return aliases


def _header(
    tensors: dict[str, torch.Tensor],
    layout: list[str],
    aliases: dict[str, str],
    metadata: Mapping[str, str],
    path: Path,
) -> bytes:
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str) or key == ALIASES:
            raise CheckpointError(path, f"metadata must map strings to strings, {ALIASES!r} excepted; got {show(key)}")
    ends: dict[str, int] = {}
    end = 0
    for name in layout:
        end += tensors[name].nbytes
        ends[name] = end
    entries: dict[str, object] = {METADATA: {**metadata, ALIASES: json.dumps(aliases)}}
    for name, tensor in tensors.items():
        entries[name] = {
            "dtype": SAFETENSORS_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [ends[name] - tensor.nbytes, ends[name]],
        }
    try:
        text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise CheckpointError(path, f"a name or metadata is not valid Unicode: {error}") from error
    text += b" " * (-len(text) % _ALIGNMENT)
    if len(text) > MAX_HEADER:
        raise CheckpointError(
            path, f"names and metadata need {len(text)} bytes; a safetensors header has at most {MAX_HEADER}"
        )
    return text


def _bytes(tensor: torch.Tensor) -> memoryview:
    values = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return values.view(torch.uint8).numpy().data
