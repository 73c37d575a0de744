"""Settings by name: checked against the fields of a dataclass, from YAML or from ``--set NAME=VALUE``."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, TypeVar

import yaml

from graphlab.engine.errors import EngineError

Settings = TypeVar("Settings")


def settings(cls: type[Settings], values: Mapping[str, Any], where: str) -> Settings:
    """An instance of the dataclass ``cls`` with these values, each checked against the type of its field.

    Fields are numbers, strings, booleans, literals, tuples of these, or these or None. An integer is taken where a
    float is expected; nothing else is converted.

    Args:
        where: what the values come from, for the message.

    Raises:
        EngineError: a name that ``cls`` does not have, a value of another type, a field without value, or whatever
            the class itself refuses with a ValueError.
    """
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    if wrong := [name for name in values if name not in known]:
        raise EngineError(f"{where}: no setting {', '.join(wrong)}; there are {', '.join(known)}")
    needed = [name for name, f in known.items() if f.default is MISSING and f.default_factory is MISSING]
    if missing := [name for name in needed if name not in values]:
        raise EngineError(f"{where}: {', '.join(missing)} must be given")
    hints = typing.get_type_hints(cls)
    checked = {name: _checked(value, hints[name], f"{where}: {name}") for name, value in values.items()}
    try:
        return cls(**checked)
    except ValueError as error:
        raise EngineError(f"{where}: {error}") from error


def parse_value(text: str) -> Any:
    """What ``--set NAME=text`` means: a YAML value (number, true, false, null, [list]), else the text itself.

    Raises:
        EngineError: it is not YAML.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise EngineError(f"{text!r} is neither a number, nor text, nor a list: {error}") from error
    return number(value)


def number(value: Any) -> Any:
    """The number that a text such as ``5e-5`` is (YAML 1.1 wants ``5.0e-5``); any other value as it is."""
    if isinstance(value, str):
        try:
            return float(value) if value[:1].isdigit() or value[:1] in ("-", ".") else value
        except ValueError:
            return value
    return value


def _checked(value: Any, hint: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (hint,) = [a for a in arguments if a is not type(None)]
        return _checked(value, hint, where)
    if origin is Literal:
        if value in arguments:
            return value
        raise EngineError(f"{where} must be one of {', '.join(map(str, arguments))}; it is {value!r}")
    if origin is tuple and isinstance(value, list | tuple) and arguments[1:] == (...,):
        return tuple(_checked(item, arguments[0], where) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (int, float, str, bool) and type(value) is hint:
        return value
    raise EngineError(f"{where} must be {_named(hint)}; it is {value!r}")


def _named(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(hint) or str(hint)
