"""Writing cases and dumps."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from graphlab import checkpoint
from graphlab.checkpoint.atomic import atomic_file


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file in which every name has a tensor of its own, also where they share memory here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save({name: tensor.clone() for name, tensor in tensors.items()}, path)


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write((json.dumps(document, indent=1) + "\n").encode())
