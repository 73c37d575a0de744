"""Unknown axes and how they are found out: unification of sums of products of atoms.

While a program is traced, every axis of every tensor is an *expression*: an :class:`Atom` (``n`` indices of which
nothing is known yet), a :class:`Product` (row-major, outer factor first: what a reshape makes) or a :class:`Sum`
(one after the other: what a concatenation makes). Saying that two axes are indexed by the same neurons *unifies* their
expressions: atoms merge, or an atom is refined into a sum or a product. The result is the coarsest description that
agrees with everything that was said, whatever the order. Where two expressions cannot agree, all their atoms are fixed:
that claims less symmetry, never a wrong one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


class SizeMismatchError(ValueError):
    """Two axes of different sizes were said to be the same."""


class Atom:
    """``size`` indices that nothing has told apart, or (``fixed``) that are told apart for the reason given.

    ``passes`` names the nonlinear operators that act on tensors indexed by the atom; ``roles`` what it was seen as
    (``residual``, ``heads`` ...), which only serves to name it.
    """

    __slots__ = ("fixed", "passes", "refined", "roles", "size")

    def __init__(self, size: int, fixed: str | None = None) -> None:
        self.size = size
        self.fixed = fixed
        self.passes: set[str] = set()
        self.roles: set[str] = set()
        self.refined: Axis | None = None

    def _inherit(self, part: Axis) -> None:
        for atom in atoms(part):
            atom.fixed = atom.fixed or self.fixed
            atom.passes |= self.passes
            atom.roles |= self.roles

    def refine(self, expression: Axis) -> None:
        """Become ``expression``, which takes over what is known."""
        self._inherit(expression)
        self.refined = expression


@dataclass(frozen=True, eq=False)
class Product:
    factors: tuple[Axis, ...]

    @property
    def size(self) -> int:
        return math.prod(factor.size for factor in self.factors)


@dataclass(frozen=True, eq=False)
class Sum:
    terms: tuple[Axis, ...]

    @property
    def size(self) -> int:
        return sum(term.size for term in self.terms)


Axis = Atom | Product | Sum
ONE = Product(())


def resolve(axis: Axis) -> Axis:
    """The expression in terms of unrefined atoms: products and sums flat, units dropped from products."""
    if isinstance(axis, Atom):
        if axis.refined is None:
            return axis if axis.size != 1 else ONE
        axis.refined = resolve(axis.refined)
        return axis.refined
    if isinstance(axis, Product):
        factors: list[Axis] = []
        for factor in map(resolve, axis.factors):
            factors.extend(factor.factors if isinstance(factor, Product) else (factor,))
        return factors[0] if len(factors) == 1 else Product(tuple(factors)) if factors else ONE
    terms: list[Axis] = []
    for term in map(resolve, axis.terms):
        terms.extend(term.terms if isinstance(term, Sum) else (term,))
    return terms[0] if len(terms) == 1 else Sum(tuple(terms))


def atoms(axis: Axis) -> Iterator[Atom]:
    """The unrefined atoms of an expression, in order of appearance (with repetition)."""
    axis = resolve(axis)
    if isinstance(axis, Atom):
        yield axis
    else:
        for part in axis.factors if isinstance(axis, Product) else axis.terms:
            yield from atoms(part)


def fix(axis: Axis, reason: str) -> None:
    """Tell every index of the axis apart; an earlier reason stays."""
    for atom in atoms(axis):
        atom.fixed = atom.fixed or reason


def product(axes: Sequence[Axis]) -> Axis:
    return resolve(Product(tuple(axes)))


def unify(first: Axis, second: Axis) -> None:
    """Make two expressions of equal size one. Where their structures contradict each other both become fixed."""
    a, b = resolve(first), resolve(second)
    if a is b:
        return
    if a.size != b.size:
        raise SizeMismatchError(f"axes of sizes {a.size} and {b.size} cannot be the same")
    if isinstance(a, Atom) and a.size > 1:
        a.refine(b)
    elif isinstance(b, Atom) and b.size > 1:
        b.refine(a)
    elif isinstance(a, Sum) or isinstance(b, Sum):
        _unify_sums(a, b)
    else:
        _unify_products(a, b)


def _unify_sums(a: Axis, b: Axis) -> None:
    left: list[Axis] = list(a.terms) if isinstance(a, Sum) else [a]
    right: list[Axis] = list(b.terms) if isinstance(b, Sum) else [b]
    while left and right:
        x, y = resolve(left.pop(0)), resolve(right.pop(0))
        for one, other, rest in ((x, y, left), (y, x, right)):
            if one.size > other.size:
                parts = split(one, other.size)
                if parts is None:
                    for axis in (a, b):
                        fix(axis, "joined and divided at places that do not agree")
                    return
                rest.insert(0, parts[1])
                if one is x:
                    x = parts[0]
                else:
                    y = parts[0]
                break
        unify(x, y)


def _unify_products(a: Axis, b: Axis) -> None:
    x, y = _first_factor(a), _first_factor(b)
    size = min(x.size, y.size)
    left, right = factor(a, size), factor(b, size)
    if left is None or right is None:
        for axis in (a, b):
            fix(axis, "reshaped into factors that do not agree")
        return
    unify(left[0], right[0])
    unify(left[1], right[1])


def _first_factor(axis: Axis) -> Axis:
    return axis.factors[0] if isinstance(axis, Product) and axis.factors else axis


def split(axis: Axis, size: int) -> tuple[Axis, Axis] | None:
    """``axis`` as its first ``size`` indices and the rest; ``None`` where that would cut through an inner factor."""
    axis = resolve(axis)
    if size in (0, axis.size):
        raise ValueError("a split needs two parts that are not empty")
    if isinstance(axis, Atom):
        parts = Atom(size), Atom(axis.size - size)
        axis.refine(Sum(parts))
        return parts
    if isinstance(axis, Sum):
        taken = 0
        for position, term in enumerate(axis.terms):
            if taken == size:
                return resolve(Sum(axis.terms[:position])), resolve(Sum(axis.terms[position:]))
            if taken + term.size > size:
                cut = split(term, size - taken)
                if cut is None:
                    return None
                before, after = (*axis.terms[:position], cut[0]), (cut[1], *axis.terms[position + 1 :])
                return resolve(Sum(before)), resolve(Sum(after))
            taken += term.size
        raise AssertionError("the size was checked above")
    outer, inner = axis.factors[0], axis.factors[1:]
    width = product(inner).size
    if size % width:
        return None
    cut = split(outer, size // width)
    return cut and (product((cut[0], *inner)), product((cut[1], *inner)))


def factor(axis: Axis, size: int) -> tuple[Axis, Axis] | None:
    """``axis`` as (outer of ``size``, inner); ``None`` where its structure does not allow it."""
    axis = resolve(axis)
    if size == 1:
        return ONE, axis
    if size == axis.size:
        return axis, ONE
    if axis.size % size:
        return None
    if isinstance(axis, Atom):
        parts = Atom(size), Atom(axis.size // size)
        axis.refine(Product(parts))
        return parts
    if isinstance(axis, Product):
        outer, inner = axis.factors[0], axis.factors[1:]
        if outer.size % size == 0:
            cut = factor(outer, size)
            return cut and (cut[0], product((cut[1], *inner)))
        if size % outer.size:
            return None
        cut = factor(product(inner), size // outer.size)
        return cut and (product((outer, cut[0])), cut[1])
    width = axis.size // size
    pieces: list[Axis] = []
    rest: Axis = axis
    while rest.size > width:
        halves = split(rest, width)
        if halves is None:
            return None
        pieces.append(halves[0])
        rest = halves[1]
    for piece in pieces:
        unify(piece, rest)
    return Atom(size, "copies of one another"), resolve(rest)


def divide(axis: Axis, sizes: Sequence[int]) -> list[Axis] | None:
    """``axis`` as a product of factors of the given sizes, outer first."""
    parts: list[Axis] = []
    for size in sizes[:-1]:
        cut = factor(axis, size)
        if cut is None:
            return None
        parts.append(cut[0])
        axis = cut[1]
    return [*parts, axis]
