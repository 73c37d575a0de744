"""The rules by which a case says how its results are compared."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, Self, get_args

from graphlab.conformance.errors import ConformanceError
from graphlab.conformance.places import Path, parse_path

TensorMode = Literal[
    "allclose",
    "exact",
    "max_relative",
    "rows_any_order",
    "columns_any_order",
    "carried",
    "columns_up_to_sign",
    "laplacian_eigenvectors",
    "coo",
    "graph",
    "skip",
]
ExpectedMode = Literal["exact", "allclose", "set", "names"]


@dataclass(frozen=True)
class TensorRule:
    """How the output tensors whose full name fits the shell glob ``match`` are compared.

    ``carry``, ``index``, ``edges`` and ``names`` may hold ``{dir}``, the name up to its last ``/``, and ``{1}``, its
    component number 1 counted from 0 (``output`` is number 0).
    """

    match: str
    mode: TensorMode
    atol: float = 0.0
    rtol: float = 0.0
    first_atol: float | None = None
    carry: tuple[str, ...] = ()
    index: str | None = None
    edges: str | None = None
    columns: tuple[int, ...] = ()
    names: str | None = None

    @classmethod
    def parse(cls, source: Any) -> Self:
        """The rule of a JSON object; keys for readers, such as ``why``, are ignored.

        Raises:
            ConformanceError: on an unknown mode, a wrong type, or a mode without the tensor that it needs.
        """
        fields = _Fields(source)
        mode = fields.choice("mode", get_args(TensorMode))
        if mode == "coo":
            fields.need("index")
        if mode == "laplacian_eigenvectors":
            fields.need("edges")
        return cls(
            match=fields.text("match"),
            mode=mode,
            atol=fields.number("atol", 0.0),
            rtol=fields.number("rtol", 0.0),
            first_atol=fields.number("first_atol", None),
            carry=fields.sequence("carry", str),
            index=fields.optional_text("index"),
            edges=fields.optional_text("edges"),
            columns=fields.sequence("columns", int),
            names=fields.optional_text("names"),
        )

    def fits(self, name: str) -> bool:
        """Whether this rule is about the tensor ``name``."""
        return fnmatchcase(name, self.match)

    def partners(self, name: str) -> tuple[str, ...]:
        """The further tensors that comparing ``name`` reads."""
        return tuple(expand(text, name) for text in (*self.carry, self.index, self.edges) if text is not None)

    def names_path(self, name: str) -> Path | None:
        """Where the document lists the node names of the graph that ``name`` belongs to."""
        return None if self.names is None else parse_path(expand(self.names, name))


@dataclass(frozen=True)
class ExpectedRule:
    """How the JSON values at ``path`` are compared."""

    path: Path
    mode: ExpectedMode
    atol: float = 0.0
    rtol: float = 0.0

    @classmethod
    def parse(cls, source: Any) -> Self:
        """The rule of a JSON object.

        Raises:
            ConformanceError: on an unknown mode, a wrong type or a malformed path.
        """
        fields = _Fields(source)
        return cls(
            path=parse_path(fields.text("path")),
            mode=fields.choice("mode", get_args(ExpectedMode)),
            atol=fields.number("atol", 0.0),
            rtol=fields.number("rtol", 0.0),
        )


def expand(template: str, name: str) -> str:
    """``template`` with ``{dir}`` and ``{1}`` filled in from a tensor's ``name``.

    Raises:
        ConformanceError: if the name has no component of that number.
    """
    components = name.split("/")

    def fill(placeholder: re.Match[str]) -> str:
        key = placeholder[1]
        if key == "dir":
            return name.rpartition("/")[0]
        if int(key) >= len(components):
            raise ConformanceError(f"{template!r}: {name!r} has {len(components)} components")
        return components[int(key)]

    return re.sub(r"\{(dir|\d+)\}", fill, template)


class _Fields:
    """Typed access to the keys of one rule."""

    def __init__(self, source: Any) -> None:
        if not isinstance(source, Mapping):
            raise ConformanceError(f"a rule is an object, got {source!r}")
        self.source = source

    def need(self, key: str) -> Any:
        if key not in self.source:
            raise ConformanceError(f"rule {dict(self.source)!r} lacks {key!r}")
        return self.source[key]

    def text(self, key: str) -> str:
        value = self.need(key)
        if not isinstance(value, str):
            raise self.unexpected(key, "a string")
        return value

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if key in self.source else None

    def choice(self, key: str, among: tuple[str, ...]) -> Any:
        value = self.text(key)
        if value not in among:
            raise self.unexpected(key, f"one of {', '.join(among)}")
        return value

    def number(self, key: str, default: Any) -> Any:
        value = self.source.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float | type(default)):
            raise self.unexpected(key, "a number")
        return value

    def sequence(self, key: str, kind: type) -> tuple[Any, ...]:
        value = self.source.get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, kind) for entry in value):
            raise self.unexpected(key, f"a list of {kind.__name__}")
        return tuple(value)

    def unexpected(self, key: str, expected: str) -> ConformanceError:
        return ConformanceError(f"rule {dict(self.source)!r}: {key!r} must be {expected}")
