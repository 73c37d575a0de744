"""Places in a JSON document, written as paths: ``networks[*].node_names``, ``results.*.*``, ``networks[3].args``.

A path is a sequence of keys joined by dots. ``*`` stands for every key of an object, ``[*]`` for every entry of a list
and ``[3]`` for one entry. A *location* is what a path comes to in one document: a tuple of keys and indices without
wildcards.
"""

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from graphlab.conformance.errors import ConformanceError

Location = tuple[str | int, ...]

_COMPONENT = re.compile(r"([^\[\]]+)((?:\[(?:\*|\d+)\])*)")


@dataclass(frozen=True)
class _EveryKey:
    """Step into all values of an object."""


@dataclass(frozen=True)
class _EveryEntry:
    """Step into all entries of a list."""


Path = tuple[str | int | _EveryKey | _EveryEntry, ...]


def parse_path(text: str) -> Path:
    """The steps of a path.

    Raises:
        ConformanceError: if a component is empty or its brackets hold neither ``*`` nor a number.
    """
    steps: list[str | int | _EveryKey | _EveryEntry] = []
    for component in text.split("."):
        parsed = _COMPONENT.fullmatch(component)
        if parsed is None:
            raise ConformanceError(f"path {text!r}: expected keys such as name, * or name[*], got {component!r}")
        key, brackets = parsed.groups()
        steps.append(_EveryKey() if key == "*" else key)
        steps.extend(_EveryEntry() if entry == "*" else int(entry) for entry in re.findall(r"\[(.*?)\]", brackets))
    return tuple(steps)


def find_places(document: Any, path: Path) -> Iterator[tuple[Location, Any]]:
    """Every location that ``path`` has in ``document``, with the value there; none where the document ends early."""
    if not path:
        yield (), document
        return
    step, rest = path[0], path[1:]
    keys: Iterable[Any]
    match step:
        case _EveryKey():
            keys = document if isinstance(document, dict) else ()
        case _EveryEntry():
            keys = range(len(document)) if isinstance(document, list) else ()
        case str():
            keys = [step] if isinstance(document, dict) and step in document else []
        case int():
            keys = [step] if isinstance(document, list) and step < len(document) else []
    for key in keys:
        for location, value in find_places(document[key], rest):
            yield (key, *location), value


def value_at(document: Any, location: Location) -> Any:
    """The value at ``location``.

    Raises:
        LookupError: if the document has no such place.
    """
    value = document
    for key in location:
        container: Any = dict if isinstance(key, str) else list
        if not isinstance(value, container):
            raise LookupError(location)
        value = value[key]
    return value


def with_nulls(document: dict[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    """A copy of ``document`` with null at every place of ``paths``; lists and objects around them keep their length."""
    blank = copy.deepcopy(document)
    for path in paths:
        for location, _ in find_places(document, path):
            value_at(blank, location[:-1])[location[-1]] = None
    return blank


def spell(location: Location) -> str:
    """``("networks", 3, "args")`` as ``networks[3].args``."""
    return "".join(f".{key}" if isinstance(key, str) else f"[{key}]" for key in location).removeprefix(".")
