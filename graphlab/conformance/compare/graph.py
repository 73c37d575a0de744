"""Architecture graphs up to a relabelling of their nodes.

Three tensors of one folder make a graph: ``node_type`` ``[N]``, ``edges`` ``[E, 3]`` (source, target, distance) and
``param_shape`` ``[N, 4]``. A node's colour is its type, its shape and, if it holds a parameter, that parameter's name.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphlab.conformance.answer import Answer
from graphlab.conformance.compare.isomorphism import Edges, are_isomorphic
from graphlab.conformance.compare.verdict import SAME, Array, Indices, Verdict, failed, to_array
from graphlab.conformance.errors import ConformanceError
from graphlab.conformance.places import Path, find_places
from graphlab.conformance.rules import TensorRule

_PARTS = ("node_type", "edges", "param_shape")
_FREE_NAME = re.compile(r"input|.*Backward\d*", re.DOTALL)

Colour = tuple[float, tuple[float, ...], str | None]


def parameter_name(name: Any) -> Any:
    """``name``, or ``None`` if it belongs to a node without a parameter: ``input``, ``MeanBackward1``."""
    return None if isinstance(name, str) and _FREE_NAME.fullmatch(name) else name


def graph(name: str, rule: TensorRule, answer: Answer, reference: Answer) -> Verdict:
    """The folder of ``name`` holds the reference's graph, its nodes relabelled in some topological order.

    Topological: source index < target index at distance 1. The folder is compared once, at its tensor ``edges``.
    """
    folder, _, part = name.rpartition("/")
    if part not in _PARTS:
        raise ConformanceError(f"{name} is compared as a graph, which consists of {', '.join(_PARTS)}")
    if part != "edges":
        return SAME
    absent = [f"{folder}/{other}" for other in _PARTS if f"{folder}/{other}" not in answer.tensors]
    if absent:
        return failed(f"missing {', '.join(absent)}")
    path = rule.names_path(name)
    try:
        expected = _Graph.read(folder, reference, path, named=True)
    except ValueError as error:
        raise ConformanceError(f"reference graph {folder}: {error}") from error
    try:
        found = _Graph.read(folder, answer, path, named=expected.is_named)
    except ValueError as error:
        return failed(str(error))
    return _compare(found, expected)


@dataclass(frozen=True)
class _Graph:
    colours: list[Colour]
    edges: Edges
    is_named: bool

    @classmethod
    def read(cls, folder: str, side: Answer, path: Path | None, named: bool) -> "_Graph":
        """The graph of a folder, in whose colours there are names if ``named`` and the document holds them.

        Raises:
            ValueError: if the tensors or names are not those of a graph in topological order.
        """
        types, edges, shapes = (
            to_array(side.tensors[f"{folder}/{part}"]) for part in ("node_type", "edges", "param_shape")
        )
        types, count = types.reshape(-1), types.size
        if shapes.shape[:1] != (count,) or edges.ndim != 2 or edges.shape[1] != 3:
            raise ValueError(
                f"expected node_type [N], edges [E, 3] and param_shape [N, 4], got node_type [{count}], "
                f"edges {list(edges.shape)} and param_shape {list(shapes.shape)}"
            )
        source, target = _node_indices(edges, count)
        distance = edges[:, 2]
        if len(np.unique(source * count + target)) < len(edges):
            raise ValueError("a pair of nodes occurs twice in edges")
        backward = (distance == 1) & (source >= target)
        if backward.any():
            at = int(backward.argmax())
            raise ValueError(f"not in topological order: the edge {int(source[at])} -> {int(target[at])} at distance 1")
        names = _names(side, path, count) if named and path is not None else None
        colours: list[Colour] = [
            (float(kind), tuple(shape), parameter_name(name))
            for kind, shape, name in zip(types, shapes.tolist(), names or [None] * count, strict=True)
        ]
        return cls(colours, Edges(source, target, distance), names is not None)


def _node_indices(edges: Array, count: int) -> tuple[Indices, Indices]:
    ends = edges[:, :2]
    if not np.isin(ends, np.arange(count)).all():
        raise ValueError(f"edges must join nodes 0 to {count - 1}")
    source, target = ends.astype(np.int64).T
    return source, target


def _names(side: Answer, path: Path, count: int) -> list[Any] | None:
    """The node names, or ``None`` if they are not recorded."""
    names = [value for _, value in find_places(side.document, path)]
    if not names:
        raise ValueError("its node names are missing in the document")
    if names[0] is None:
        return None
    if not isinstance(names[0], list) or len(names[0]) != count:
        raise ValueError(f"expected a list of {count} node names")
    return names[0]


def _compare(found: _Graph, expected: _Graph) -> Verdict:
    if len(found.colours) != len(expected.colours):
        return failed(f"{len(found.colours)} nodes, expected {len(expected.colours)}")
    distances = [Counter(side.edges.label.tolist()) for side in (found, expected)]
    if distances[0] != distances[1]:
        extra, lost = (dict(sorted((one - other).items())[:3]) for one, other in (distances, distances[::-1]))
        return failed(f"edges by distance: {extra} too many, {lost} too few")
    surplus = Counter(found.colours) - Counter(expected.colours)
    if surplus:
        kind, shape, name = next(iter(surplus))
        return failed(f"unexpected node of type {kind:g}, shape {list(map(int, shape))}, name {name or 'free'}")
    number = {colour: index for index, colour in enumerate(dict.fromkeys(expected.colours))}
    colours = [np.array([number[colour] for colour in side.colours], dtype=np.int64) for side in (found, expected)]
    if are_isomorphic((colours[0], found.edges), (colours[1], expected.edges)):
        return SAME
    return failed("same nodes, but no relabelling makes the edges and distances equal")
