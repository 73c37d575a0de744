"""Axis expressions: which neurons index an axis of a parameter.

``8 . 6`` is a product (a reshape: 8 blocks of 6), ``a + b`` a sum (a concatenation). An axis prints itself:
``residual``, ``3 * (heads . inside)``, ``channels . 49``, ``skip + up``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any


@dataclass(frozen=True)
class Group:
    """``size`` interchangeable neurons, or neurons told apart for a ``reason``.

    Attributes:
        name: Unique in its structure. Empty for positions that are no neurons (kernel taps, pixels): these print as
            their number.
        size: How many (for each index of the groups in ``within``).
        reason: Why the neurons are fixed; ``None`` if they may be permuted.
        within: Names of the groups that these neurons are inside of: there is one such set of neurons, permuted for
            itself, for each index of those (the neurons of a head, the hidden neurons of an expert).
        passes: The nonlinear operators that the neurons' values go through.
    """

    name: str
    size: int
    reason: str | None = None
    within: tuple[str, ...] = ()
    passes: tuple[str, ...] = ()

    @property
    def free(self) -> bool:
        return self.reason is None

    def __str__(self) -> str:
        return self.name or str(self.size)


def positions(size: int) -> Group:
    """``size`` places in an order that no neuron indexes: kernel taps, pixels, time steps."""
    return Group("", size, "position")


@dataclass(frozen=True)
class Product:
    """Row-major: the last factor varies fastest."""

    factors: tuple[Axis, ...]

    @property
    def size(self) -> int:
        return prod(factor.size for factor in self.factors)

    def __str__(self) -> str:
        return " . ".join(f"({f})" if isinstance(f, Sum) else str(f) for f in self.factors) or "1"


@dataclass(frozen=True)
class Sum:
    """One term after the other."""

    terms: tuple[Axis, ...]

    @property
    def size(self) -> int:
        return sum(term.size for term in self.terms)

    def __str__(self) -> str:
        runs = [(term, len(list(run))) for term, run in itertools.groupby(self.terms)]
        return " + ".join(
            (f"{count} * " if count > 1 else "")
            + (f"({term})" if isinstance(term, Product) and term.factors else str(term))
            for term, count in runs
        )


Axis = Group | Product | Sum


def groups(axis: Axis) -> Iterator[Group]:
    """The groups of an expression in order of appearance, with repetition."""
    if isinstance(axis, Group):
        yield axis
    else:
        for part in axis.factors if isinstance(axis, Product) else axis.terms:
            yield from groups(part)


def to_json(axis: Axis) -> Any:
    """``"name"``, a number (positions), ``["*", ...]`` (product) or ``["+", ...]`` (sum)."""
    if isinstance(axis, Group):
        return axis.name or axis.size
    if isinstance(axis, Product):
        return ["*", *map(to_json, axis.factors)]
    return ["+", *map(to_json, axis.terms)]


def from_json(data: Any, known: dict[str, Group]) -> Axis:
    """The inverse of :func:`to_json`. Raises ``ValueError`` for what it never wrote."""
    if isinstance(data, str) and data in known:
        return known[data]
    if isinstance(data, int) and not isinstance(data, bool) and data >= 0:
        return positions(data)
    if isinstance(data, list) and data and data[0] in ("*", "+"):
        parts = tuple(from_json(part, known) for part in data[1:])
        return Product(parts) if data[0] == "*" else Sum(parts)
    raise ValueError(f"not an axis expression over the groups of this structure: {data!r}")
