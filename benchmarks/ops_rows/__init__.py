"""The rows of :mod:`benchmarks.ops`, a module for each primitive.

Each has ``GROUPS``: rows that are measured in one process, by name, and what makes each.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from benchmarks.harness import Row

Rows = dict[str, Callable[[], Row]]


def groups() -> list[Rows]:
    """Every row, in groups of those that share a process."""
    found: list[Rows] = []
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        found += getattr(importlib.import_module(module.name), "GROUPS", [])
    return found
