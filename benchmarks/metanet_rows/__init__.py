"""The rows of :mod:`benchmarks.metanet`, a module for each family of models; each has ``ROWS``: names, and what makes
each row."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from benchmarks.harness import Row


def rows() -> dict[str, Callable[[], Row]]:
    """Every row by its name."""
    found: dict[str, Callable[[], Row]] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        found |= getattr(importlib.import_module(module.name), "ROWS", {})
    return found
