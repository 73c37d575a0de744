"""Models and protocols by name, and how one is added.

A model is registered with the protocol that trains it and a frozen dataclass of its options; what is registered (a
class or a function) is called with the options and with what the protocol knows of the data, and returns a module::

    from graphlab.engine import model

    @dataclass(frozen=True)
    class Options:
        hidden: int = 64

    @model("two-hops", protocol="node-classification", options=Options)
    def two_hops(options: Options, in_channels: int, out_channels: int) -> nn.Module:
        return TwoHops(in_channels, options.hidden, out_channels)

``graphlab list`` then shows it and ``graphlab train two-hops`` trains it. A model that several protocols can train is
registered with all of them, ``protocol=("inr-classification", "cnn-generalisation")``; ``--task`` chooses.

A package registers its models and protocols by an entry point in the group ``graphlab.models`` that names the module
defining them.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, TypeVar

from torch import nn

from graphlab.engine.errors import EngineError
from graphlab.engine.protocol import Protocol

Builder = Callable[..., nn.Module]
AnyBuilder = TypeVar("AnyBuilder", bound=Builder)
AnyProtocol = TypeVar("AnyProtocol", bound=type[Protocol[Any]])

NAMED = "graphlab.protocols.named"
"""The module that imports all of graphlab's own models and protocols."""


@dataclass(frozen=True)
class Model:
    """A model by name: how it is built, its options, and the protocols that train it, the usual one first."""

    name: str
    build: Builder
    options: type[Any]
    protocols: tuple[str, ...]

    def protocol(self, task: str | None = None) -> str:
        """The protocol of that name, or the usual one.

        Raises:
            EngineError: it is none that trains this model.
        """
        if task is not None and task not in self.protocols:
            raise EngineError(f"{self.name} is not trained for {task!r}, but for {', '.join(self.protocols)}")
        return task or self.protocols[0]


@dataclass(frozen=True)
class NamedProtocol:
    """A protocol by name, with the dataclass of its settings."""

    name: str
    protocol: type[Protocol[Any]]
    config: type[Any]


_MODELS: dict[str, Model] = {}
_PROTOCOLS: dict[str, NamedProtocol] = {}


def model(name: str, protocol: str | Sequence[str], options: type[Any]) -> Callable[[AnyBuilder], AnyBuilder]:
    """Register a model: ``build(options, **what_the_protocol_knows) -> nn.Module``.

    Args:
        name: Of the model.
        protocol: The name of the protocol that trains it, or of several.
        options: The dataclass of its options.

    Raises:
        ValueError: there is another of that name.
        TypeError: ``options`` is not a dataclass.
    """

    def register(build: AnyBuilder) -> AnyBuilder:
        _check("model", name, options, _MODELS)
        _MODELS[name] = Model(name, build, options, (protocol,) if isinstance(protocol, str) else tuple(protocol))
        return build

    return register


def protocol(name: str, config: type[Any]) -> Callable[[AnyProtocol], AnyProtocol]:
    """Register a protocol under a name, with the dataclass of its settings.

    Raises:
        ValueError: there is another of that name.
        TypeError: ``config`` is not a dataclass.
    """

    def register(cls: AnyProtocol) -> AnyProtocol:
        _check("protocol", name, config, _PROTOCOLS)
        _PROTOCOLS[name] = NamedProtocol(name, cls, config)
        return cls

    return register


def models() -> dict[str, Model]:
    """All models by name: graphlab's own, and those of installed packages."""
    _load()
    return dict(_MODELS)


def find_model(name: str) -> Model:
    """The model of that name.

    Raises:
        EngineError: there is none.
    """
    return _find("model", name, models())


def find_protocol(name: str) -> NamedProtocol:
    """The protocol of that name.

    Raises:
        EngineError: there is none.
    """
    _load()
    return _find("protocol", name, _PROTOCOLS)


Found = TypeVar("Found")


def _find(what: str, name: str, known: dict[str, Found]) -> Found:
    if name not in known:
        raise EngineError(f"no {what} {name!r}; there are {', '.join(sorted(known)) or 'none'}")
    return known[name]


def _check(what: str, name: str, settings: type[Any], known: dict[str, Any]) -> None:
    if name in known:
        raise ValueError(f"there is a {what} {name!r} already")
    if not is_dataclass(settings):
        raise TypeError(f"{what} {name!r}: expected a dataclass of settings, got {settings!r}")


@functools.cache
def _load() -> None:
    importlib.import_module(NAMED)
    for entry in importlib.metadata.entry_points(group="graphlab.models"):
        entry.load()
