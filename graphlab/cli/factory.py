"""``package.module:function``: the user's own network, and the inputs to run it on."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphlab.cli.errors import CommandError

if TYPE_CHECKING:
    from torch import nn

HELP = (
    "package.module:function, a Python function of yours, imported from the current folder or the Python path. "
    "Its code is run. It is called without arguments and returns (module, args, kwargs), or an object with these "
    "attributes: a network and inputs to run it on."
)
_FACTORY = re.compile(r"([\w.]+):([\w.]+)")


@dataclass(frozen=True)
class Network:
    """A module and the inputs to run it on."""

    module: nn.Module
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


def is_factory(text: str) -> bool:
    """Whether the text has the form ``package.module:function``."""
    return _FACTORY.fullmatch(text) is not None


def load_network(text: str) -> Network:
    """Import the function that ``text`` names, call it, and check what it returns.

    Raises:
        CommandError: If there is no such function, it fails, or it returns something else.
    """
    function = load_function(text)
    try:
        made = function()
    except Exception as error:
        raise CommandError(f"{text}: it failed: {type(error).__name__}: {error}") from error
    if all(hasattr(made, name) for name in ("module", "args", "kwargs")):
        made = made.module, made.args, made.kwargs
    return _checked(text, made)


def load_function(text: str) -> Callable[..., Any]:
    """Import the function that ``text`` names.

    Raises:
        CommandError: If there is none.
    """
    parts = _FACTORY.fullmatch(text)
    if parts is None:
        raise CommandError(f"{text}: expected package.module:function")
    module_name, path = parts.groups()
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        function = importlib.import_module(module_name)
    except Exception as error:
        raise CommandError(f"{text}: cannot import {module_name}: {type(error).__name__}: {error}") from error
    for name in path.split("."):
        if not hasattr(function, name):
            raise CommandError(f"{text}: {module_name} has no {path}")
        function = getattr(function, name)
    if not callable(function):
        raise CommandError(f"{text}: expected a function, got {type(function).__name__}")
    return function


def _checked(text: str, made: Any) -> Network:
    from torch import nn

    match made:
        case nn.Module(), list() | tuple(), Mapping():
            return Network(*made)
    found = f"({', '.join(type(item).__name__ for item in made)})" if isinstance(made, tuple) else type(made).__name__
    raise CommandError(f"{text}: expected it to return (module, args, kwargs), got {found}")
