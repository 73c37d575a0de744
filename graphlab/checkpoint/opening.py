"""Finding out what a path is, and reading it as that."""

from __future__ import annotations

import os
from pathlib import Path

from graphlab.checkpoint.checkpoint import Checkpoint
from graphlab.checkpoint.contents import Contents
from graphlab.checkpoint.errors import CheckpointError, listing
from graphlab.checkpoint.mapped import MappedFile
from graphlab.checkpoint.refusals import (
    refuse_foreign,
    refuse_foreign_folder,
    refuse_quantised_config,
    refuse_quantised_names,
)
from graphlab.checkpoint.safetensors_format import looks_like_safetensors, read_safetensors
from graphlab.checkpoint.sharded import INDEX, read_sharded
from graphlab.checkpoint.strict_json import read_object
from graphlab.checkpoint.torch_format import read_torch

_ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_TORCH_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
_TRAINER_STATE = {"optimizer.bin", "optimizer.pt", "rng_state.pth", "scaler.pt", "scheduler.pt", "training_args.bin"}


def open(path: str | os.PathLike[str]) -> Checkpoint:
    """Opens weights lazily: reads headers, maps the files, loads no tensor and runs nothing from them.

    Args:
        path: a safetensors file; a torch zip file (``.pt``, ``.pth``, ``.bin``, ``.ckpt``; Lightning's too); an index
            of shards; a folder with any of these, a Hugging Face model or a PEFT adapter.

    Raises:
        CheckpointError: there is nothing at `path`, it is damaged, or it is in a format that is not read (the message
            says which, and what to do instead).
    """
    path = Path(path)
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:
        raise CheckpointError(path, f"cannot be read: {error}") from error
    checkpoint = _open_folder(path) if is_folder else Checkpoint(path, _read(path))
    refuse_quantised_names(path, checkpoint.specs)
    return checkpoint


def _read(path: Path) -> Contents:
    return read_sharded(path, _read_file) if path.name.endswith(INDEX) else _read_file(path)


def _read_file(path: Path) -> Contents:
    file = MappedFile(path)
    if file.read(0, 4) in (b"PK\x03\x04", b"PK\x05\x06"):
        return read_torch(file)
    if not looks_like_safetensors(file) and path.suffix != ".safetensors":
        refuse_foreign(file)
    return read_safetensors(file)


def _open_folder(folder: Path) -> Checkpoint:
    try:
        names = set(os.listdir(folder))
    except OSError as error:
        raise CheckpointError(folder, f"cannot be listed: {error}") from error
    if _ADAPTER_CONFIG in names:
        weights = next((name for name in _ADAPTER_WEIGHTS if name in names), None)
        if weights is None:
            raise CheckpointError(
                folder, f"an adapter folder without its weights: expected {listing(list(_ADAPTER_WEIGHTS))}"
            )
        adapter = read_object(folder / _ADAPTER_CONFIG, "adapter's configuration")
        return Checkpoint(folder, _read_file(folder / weights), adapter=adapter)
    config = None
    if "config.json" in names:
        config = read_object(folder / "config.json", "model's configuration")
        refuse_quantised_config(folder / "config.json", config)
    return Checkpoint(folder, _read(folder / _weights_in(folder, names)), config=config)


def _weights_in(folder: Path, names: set[str]) -> str:
    """Returns the file to read: safetensors before torch, and the usual name before any other."""
    torch_names = [name for name in names if name.endswith(_TORCH_SUFFIXES) and name not in _TRAINER_STATE]
    choices = [
        [name for name in names if name == "model.safetensors"],
        [name for name in names if name == f"model.safetensors{INDEX}"],
        [name for name in names if ".safetensors" in name and name.endswith(INDEX)],
        [name for name in names if name.endswith(".safetensors")],
        [name for name in torch_names if name == "pytorch_model.bin"],
        [name for name in names if name.endswith(INDEX)],
        torch_names,
    ]
    found = next((choice for choice in choices if choice), [])
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointError(folder, f"several files could be meant; give the path of one: {listing(sorted(found))}")
    refuse_foreign_folder(folder, names)
    raise CheckpointError(folder, "no weights in this folder: expected *.safetensors, *.bin, *.pt, *.pth or *.ckpt")
