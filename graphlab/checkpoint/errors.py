"""The one error of this package, and how it shows values that came from a hostile file."""

from __future__ import annotations

from os import PathLike
from typing import Any

_SHOWN = 80


class CheckpointError(Exception):
    """A weight file, or what is to be written to one, is not as it must be.

    The message reads ``file: tensor 'name': problem``, where the problem says what was expected and what came.
    """

    def __init__(self, file: str | PathLike[str], problem: str, tensor: str | None = None) -> None:
        super().__init__(file, problem, tensor)
        self.file = file
        self.problem = problem
        self.tensor = tensor

    def __str__(self) -> str:
        subject = "" if self.tensor is None else f"tensor {show(self.tensor)}: "
        return f"{self.file}: {subject}{self.problem}"


def show(value: Any) -> str:
    """Returns `value` for a message: short, printable and safe whatever the file put into it."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}..."
    if isinstance(value, bool | float | None):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= 128 else f"an integer of {value.bit_length()} bits"
    if isinstance(value, list | tuple):
        items = [show(item) if isinstance(item, str | int | float) else _kind(item) for item in value[:8]]
        return f"[{', '.join(items)}{', ...' if len(value) > 8 else ''}]"
    return _kind(value)


def listing(names: list[str], limit: int = 10) -> str:
    """Returns ``'a', 'b', 'c' and 7 more``."""
    shown = ", ".join(show(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
