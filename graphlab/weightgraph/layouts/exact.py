"""The exact layout: any network, drawn as its structure says.

* A node is a neuron: one for each index of a group, or of the product of groups that an axis names together
  (``heads . inside``), with the groups that its neurons are inside of. Axes of the same groups share their nodes.
* An entry of a parameter is a value of an edge. A parameter with two axes of neurons gives a dense block, from the axis
  that its use reads to the other; the positions that it reads with them (kernel taps) are slots of an edge. A parameter
  with one axis of neurons and with positions that are not read (position embeddings) leads from nodes for these. Any
  other has a unit of its own at the other end (biases and norms lead from it), or is a loop at its unit.
* A parameter with several uses that read different axes (an embedding that is also the last layer) is drawn once for
  each.
* A sum of groups gives a block a term: what reads ``skip + up`` has edges from both.

Integer buffers are not drawn. A layer of one neuron has nothing to permute and so no group: its weights hang on a unit
of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

from graphlab.weightgraph.axes import Axis, Group, Product, Sum, positions
from graphlab.weightgraph.structure import Structure
from graphlab.weightgraph.wiring import Block, Drawing, View, Wiring, WiringError

FREE, FIXED, UNIT = 0, 1, 2
"""Node types."""


@dataclass(frozen=True)
class _Term:
    """One product of groups on an axis: where on the axis, and which part of each factor."""

    start: int
    size: int
    factors: tuple[Group, ...]
    widths: tuple[int, ...]
    inner: tuple[tuple[int, int, int], ...]


def exact(structure: Structure, tensors: Mapping[str, Tensor]) -> Wiring:
    """The wiring of any traced network, or of the part of it that ``tensors`` holds; integers are not drawn.

    Edge types number the parameters in their order.

    Raises:
        WiringError: for sums inside sums inside products, which no known network has.
    """
    drawing = Drawing()
    drawn = [name for name in structure.axes if name in tensors and tensors[name].is_floating_point()]
    for number, name in enumerate(drawn):
        axes = structure.axes[name]
        for use in structure.reads[name] or ((),):
            for terms in itertools.product(*(list(_terms(axis, name)) for axis in axes)):
                _draw(drawing, structure, name, number, axes, terms, use)
    return drawing.wiring()


def _terms(axis: Axis, parameter: str) -> Iterator[_Term]:
    """The terms of an axis, each a product of groups."""
    start = 0
    for term in axis.terms if isinstance(axis, Sum) else (axis,):
        factors = (term.factors or (positions(1),)) if isinstance(term, Product) else (term,)
        widths = tuple(factor.size for factor in factors)
        for chosen in itertools.product(*(list(_choices(factor, parameter)) for factor in factors)):
            inner = tuple((place, first, group.size) for place, (first, group) in enumerate(chosen))
            yield _Term(start, term.size, tuple(group for _, group in chosen), widths, inner)
        start += term.size


def _choices(factor: Axis, parameter: str) -> Iterator[tuple[int, Group]]:
    """The groups of one factor with their first index in it."""
    start = 0
    for part in factor.terms if isinstance(factor, Sum) else (factor,):
        if not isinstance(part, Group):
            raise WiringError(f"{parameter}: cannot draw {factor} inside a product")
        yield start, part
        start += part.size


def _draw(
    drawing: Drawing,
    structure: Structure,
    name: str,
    number: int,
    axes: Sequence[Axis],
    terms: Sequence[_Term],
    use: Sequence[int],
) -> None:
    narrow = tuple((dim, t.start, t.size) for dim, t in enumerate(terms) if t.size != axes[dim].size)
    unflatten = tuple((dim, term.widths) for dim, term in enumerate(terms) if len(term.widths) != 1)
    places: list[tuple[int, Group]] = []
    inner: list[tuple[int, int, int]] = []
    for dim, term in enumerate(terms):
        for (_, start, length), group, width in zip(term.inner, term.factors, term.widths, strict=True):
            if length != width:
                inner.append((len(places), start, length))
            places.append((dim, group))
    source, target = _ends(places, use)
    slots = [place for place, (_, group) in enumerate(places) if not group.name]
    own = [place for place in slots if places[place][0] not in use and places[place][1].size > 1]
    if target and not source and own:
        source, slots = own, [place for place in slots if place not in own]
        first = _positions(drawing, name, narrow, prod(places[place][1].size for place in own))
    else:
        first = _range(drawing, structure, name, [places[place][1] for place in source])
    ends = (*source, *(place for place in target if place not in source))
    drawing.edges(
        Block(
            source=first,
            target=_range(drawing, structure, name, [places[place][1] for place in target]),
            shape=tuple(places[place][1].size for place in ends),
            source_axes=tuple(range(len(source))),
            target_axes=tuple(ends.index(place) for place in target),
            values=View(name, (*ends, *slots), narrow, unflatten, tuple(inner)),
            type=number,
            slots=prod(places[place][1].size for place in slots),
        )
    )


def _ends(places: Sequence[tuple[int, Group]], use: Sequence[int]) -> tuple[list[int], list[int]]:
    """The factors that make up the source and the target of an edge, given the axes that a use reads.

    Factors of one axis stay together, with what they are inside of on other axes; that is a factor of both ends if it
    is around both (the groups of a convolution). Where two axes are not told apart by being read, the first is the
    target.
    """
    ends: dict[int, list[int]] = {}
    for place, (dim, group) in enumerate(places):
        if group.name:
            ends.setdefault(dim, []).append(place)
    for dim, own in list(ends.items()):
        around = {name for place in own for name in places[place][1].within} - {places[place][1].name for place in own}
        taken = [p for p, (other, group) in enumerate(places) if group.name in around and other != dim]
        if taken:
            ends[dim] = [*taken, *own]
            for other in {places[place][0] for place in taken}:
                inside = {name for place in ends.get(other, []) for name in places[place][1].within}
                shared = [place for place in taken if places[place][1].name in inside]
                ends[other] = [place for place in ends.get(other, []) if place in shared or place not in taken]
    dims = [dim for dim, end in ends.items() if end]
    read = [dim for dim in dims if dim in use]
    if len(dims) > 1 and len(read) in (0, len(dims)):
        read = dims[1:]
    source, target = ([p for dim in dims if (dim in read) is side for p in ends[dim]] for side in (True, False))
    return source, target


def _range(drawing: Drawing, structure: Structure, parameter: str, groups: Sequence[Group]) -> str:
    """The nodes of a product of groups, which are added where they are met first; of none, the parameter's unit."""
    if not groups:
        return _added(drawing, f"unit of {parameter}", 1, UNIT)
    kind = FREE if any(structure.groups[group.name].free for group in groups) else FIXED
    return _added(drawing, " . ".join(group.name for group in groups), prod(group.size for group in groups), kind)


def _positions(drawing: Drawing, parameter: str, narrow: Sequence[tuple[int, int, int]], size: int) -> str:
    """Nodes for the positions of a parameter, or of a part of it."""
    part = "".join(f"[{start}:{start + length}]" for _, start, length in narrow)
    return _added(drawing, f"positions of {parameter}{part}", size, FIXED)


def _added(drawing: Drawing, name: str, size: int, kind: int) -> str:
    if name not in drawing:
        drawing.nodes(name, size, kind, ordered=kind == FIXED)
    return name
