"""Small state dicts and hand-made files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import graphlab.checkpoint as checkpoints

Header = dict[str, Any]


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))


@pytest.fixture
def state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return dict(network.state_dict())


@pytest.fixture
def write_header(tmp_path: Path) -> Callable[..., Path]:
    """Writes a safetensors file with any header, given as an object or as text, and any number of zero bytes."""

    def write(header: Header | bytes, data: int = 0, length: int | None = None) -> Path:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        path = tmp_path / "hand.safetensors"
        path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + bytes(data))
        return path

    return write


@pytest.fixture
def refusal() -> Callable[[Path], str]:
    """Opens a path that must be refused, and returns the message, which must name the file."""

    def message(path: Path) -> str:
        with pytest.raises(checkpoints.CheckpointError) as caught:
            checkpoints.open(path)
        assert str(path.name) in str(caught.value)
        return str(caught.value)

    return message


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Saves an object under a name and returns the path."""

    def save(value: Any, name: str = "m.pt", **options: Any) -> Path:
        torch.save(value, tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.fixture
def rewrite() -> Callable[..., Path]:
    """Writes a torch archive anew, after a function has edited the dict of its records, named within the archive."""

    def write(path: Path, change: Callable[[dict[str, bytes]], Any], compression: int = zipfile.ZIP_STORED) -> Path:
        with zipfile.ZipFile(path) as archive:
            records = {info.filename.partition("/")[2]: archive.read(info) for info in archive.infolist()}
        change(records)
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, data in records.items():
                archive.writestr(f"m/{name}", data)
        return path

    return write
