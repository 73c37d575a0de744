"""Which function answers the cases of which ``(system, family)``."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Protocol, TypeVar

from graphlab.conformance import adapters
from graphlab.conformance.answer import Results
from graphlab.conformance.case import Case


class Adapter(Protocol):
    """Answers a case; it sees no result of it."""

    def __call__(self, case: Case, /) -> Results: ...


Function = TypeVar("Function", bound=Adapter)

_adapters: dict[tuple[str, str], Adapter] = {}


def adapter(system: str, family: str) -> Callable[[Function], Function]:
    """Register the decorated function for a family of cases; stack it to register one function for several.

    Raises:
        ValueError: if the family already has an adapter.
    """

    def register(function: Function) -> Function:
        if (system, family) in _adapters:
            raise ValueError(f"({system}, {family}) already has the adapter {_adapters[system, family]!r}")
        _adapters[system, family] = function
        return function

    return register


def find_adapter(system: str, family: str) -> Adapter | None:
    """The adapter of a family, or ``None``; imports the modules of that system, and no others, on first use.

    A module belongs to a system if its name is the system's, or starts with the system's and an underscore.
    """
    for module in pkgutil.iter_modules(adapters.__path__):
        if module.name == system or module.name.startswith(f"{system}_"):
            importlib.import_module(f"{adapters.__name__}.{module.name}")
    return _adapters.get((system, family))
