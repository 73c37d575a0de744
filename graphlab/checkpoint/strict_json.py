"""JSON objects from files that nobody vouches for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graphlab.checkpoint.errors import CheckpointError, show
from graphlab.checkpoint.mapped import MappedFile

MAX_JSON_FILE = 64 * 2**20


def parse_object(text: bytes, path: Path, what: str) -> dict[str, Any]:
    """Returns the JSON object in `text`.

    Raises:
        CheckpointError: `text` is not UTF-8 or not JSON, not an object, repeats a key or nests too deeply.
    """
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, f"the {what} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(path, f"the {what} must be a JSON object; it is {show(value)}")
    return value


def read_object(path: Path, what: str) -> dict[str, Any]:
    """Returns the JSON object that is the whole of the file at `path`.

    Raises:
        CheckpointError: see `parse_object`; also when the file is larger than 64 MiB.
    """
    file = MappedFile(path)
    if file.size > MAX_JSON_FILE:
        raise CheckpointError(path, f"the {what} has {file.size} bytes; at most {MAX_JSON_FILE} are accepted")
    return parse_object(file.read(0, file.size), path, what)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {show(key)} occurs twice")
        key.encode()  # lone surrogates cannot be printed or written
        if isinstance(value, str):
            value.encode()
        result[key] = value
    return result
