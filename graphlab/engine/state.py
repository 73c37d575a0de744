"""A run's state as one safetensors file: tensors as tensors, the rest as JSON in its metadata. Nothing is pickled."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphlab import checkpoint
from graphlab.engine.errors import EngineError

_KEY = "graphlab.run"
_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def write_state(state: Any, path: Path) -> None:
    """Write a tree of dicts, lists, tuples, tensors, numpy arrays, numbers, strings and None, atomically.

    Floats keep every bit, NaN and infinities included (not the payload of a NaN); dict keys may be numbers.

    Raises:
        EngineError: a value of another type, with its place in the tree.
        CheckpointError: the file cannot be written.
    """
    tensors: dict[str, torch.Tensor] = {}
    document = json.dumps(_encoded(state, "state", tensors), allow_nan=False)
    checkpoint.save(tensors, path, {_KEY: document})


def read_state(path: Path) -> Any:
    """The tree that :func:`write_state` wrote; tensors are copies in main memory.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind.
    """
    opened = checkpoint.open(path)
    if _KEY not in opened.metadata:
        raise checkpoint.CheckpointError(path, f"not the state of a run: no {_KEY!r} in its metadata")
    try:
        return _decoded(json.loads(opened.metadata[_KEY]), opened)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise checkpoint.CheckpointError(path, f"its description of the run is damaged: {error!r}") from error


def _encoded(value: Any, place: str, tensors: dict[str, torch.Tensor]) -> Any:
    match value:
        case torch.Tensor():
            tensors[str(len(tensors))] = value
            return {"tensor": str(len(tensors) - 1)}
        case np.ndarray():
            return {"array": _encoded(torch.from_numpy(value), place, tensors)}
        case bool() | int() | str() | None:
            return value
        case float():
            return value if math.isfinite(value) else {"float": str(value)}
        case list():
            return [_encoded(item, f"{place}[{index}]", tensors) for index, item in enumerate(value)]
        case tuple():
            return {"tuple": _encoded(list(value), place, tensors)}
        case dict():
            items = value.items()
            pairs = [[_encoded(key, place, tensors), _encoded(v, f"{place}[{key!r}]", tensors)] for key, v in items]
            return {"dict": pairs}
    raise EngineError(f"{place} is a {type(value).__name__}; a run's state holds tensors, numbers, strings and None")


def _decoded(value: Any, opened: checkpoint.Checkpoint) -> Any:
    if isinstance(value, list):
        return [_decoded(item, opened) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    match kind:
        case "tensor":
            return opened[inside].clone()
        case "array":
            return _decoded(inside, opened).numpy()
        case "float":
            return _NUMBERS[inside]
        case "tuple":
            return tuple(_decoded(inside, opened))
        case "dict":
            return {_decoded(key, opened): _decoded(item, opened) for key, item in inside}
    raise ValueError(f"unknown kind {kind!r}")
