"""Which implementation of an operator runs: the first, in the order of ``ORDER``, that supports its arguments.

An operator's own file registers the plain PyTorch version that defines it as ``reference``. Faster ones register
themselves when the modules of :mod:`graphlab.ops.kernels` are imported, which happens at the first call; modules whose
libraries are not installed are passed over. A person chooses one with :func:`backend`, or for a whole process by the
environment variable ``GRAPHLAB_BACKEND``.

>>> with backend("reference"):
...     y = spmm(adj, x)
>>> ran["spmm"]
'reference'
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import pkgutil
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

ORDER = ("triton", "numba", "csr", "torch_sparse", "torch_scatter", "reference")
"""Backends, the preferred first: Triton (CUDA), numba (CPU), torch's own CSR products where it has MKL, torch-sparse,
torch-scatter, plain PyTorch."""

ENVIRONMENT = "GRAPHLAB_BACKEND"

Implementation = TypeVar("Implementation", bound=Callable[..., Any])

ON_REQUEST: set[str] = set()
"""Backends that run only when a person chooses them, and are not listed: Triton where it is interpreted."""

ran: dict[str, str] = {}
"""Operator -> the backend that ran last."""

_implementations: dict[str, dict[str, tuple[Callable[..., bool], Callable[..., Any]]]] = {}
_forced: ContextVar[str | None] = ContextVar("graphlab_backend", default=None)


def implement(
    operator: str, backend: str, supports: Callable[..., bool] = lambda *_: True
) -> Callable[[Implementation], Implementation]:
    """Register an implementation.

    Args:
        operator: Its name.
        backend: One of :data:`ORDER`.
        supports: Called with the operator's arguments: whether this implementation takes them.
    """

    def register(function: Implementation) -> Implementation:
        _implementations.setdefault(operator, {})[backend] = (supports, function)
        return function

    return register


@contextlib.contextmanager
def backend(name: str) -> Iterator[None]:
    """Within the context only this backend runs.

    Raises:
        ValueError: for a name that is not in :data:`ORDER`; inside, if the backend is not installed or does not support
            an operator's arguments.
    """
    token = _forced.set(_checked(name))
    try:
        yield
    finally:
        _forced.reset(token)


def forced() -> str | None:
    """The backend that a person chose, by :func:`backend` or the environment variable; else ``None``."""
    return _forced.get() or _from_environment()


def available(operator: str) -> list[str]:
    """The backends that have an implementation of an operator on this machine, the preferred first."""
    _load_kernels()
    return [name for name in ORDER if name in _implementations[operator] and name not in ON_REQUEST]


def run(operator: str, *arguments: Any) -> Any:
    """Call the implementation of an operator that is due."""
    _load_kernels()
    known = _implementations[operator]
    chosen = forced()
    for name in (chosen,) if chosen else ORDER:
        if name in known and (chosen or name not in ON_REQUEST) and known[name][0](*arguments):
            ran[operator] = name
            return known[name][1](*arguments)
    raise ValueError(
        f"{operator}: backend {chosen} does not support these arguments or is not installed; installed are "
        f"{', '.join(available(operator))}"
    )


def _checked(name: str) -> str:
    if name not in ORDER:
        raise ValueError(f"no backend {name!r}; there are {', '.join(ORDER)}")
    return name


def _from_environment() -> str | None:
    name = os.environ.get(ENVIRONMENT)
    return _checked(name) if name else None


@functools.cache
def _load_kernels() -> None:
    kernels = importlib.import_module("graphlab.ops.kernels")
    for module in pkgutil.iter_modules(kernels.__path__, "graphlab.ops.kernels."):
        with contextlib.suppress(ImportError):
            importlib.import_module(module.name)
