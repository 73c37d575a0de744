"""Layouts by name, and how a layout is added.

A layout is a function from a weight-graph, and options of its own, to a :class:`~graphlab.weightgraph.wiring.Wiring`::

    from graphlab.weightgraph.layouts import layout

    @layout("bipartite")
    def bipartite(graph: WeightGraph) -> Wiring:
        drawing = Drawing()
        ...
        return drawing.wiring()

    data = graph.to_data("bipartite")

It reads the structure, names and shapes of the tensors, and, if need be, ``graph.module``; never the values. A package
registers its layouts by an entry point in the group ``graphlab.layouts`` that names the module defining them.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from graphlab.weightgraph.wiring import Wiring, WiringError

if TYPE_CHECKING:
    from graphlab.weightgraph.graph import WeightGraph

Layout = Callable[..., Wiring]

_LAYOUTS: dict[str, Layout] = {}


def layout(name: str) -> Callable[[Layout], Layout]:
    """Register a layout under a name.

    Raises:
        ValueError: if there is another of that name.
    """

    def register(function: Layout) -> Layout:
        if name in _LAYOUTS:
            raise ValueError(f"there is a layout {name!r} already")
        _LAYOUTS[name] = function
        return function

    return register


def layouts() -> dict[str, Layout]:
    """All layouts by name: graphlab's own, and those of installed packages."""
    _load()
    return dict(_LAYOUTS)


def wire(name: str, graph: WeightGraph, **options: Any) -> Wiring:
    """Draw a network by the layout of that name.

    Raises:
        WiringError: for an unknown layout or option, and if the layout cannot hold the network.
    """
    known = layouts()
    if name not in known:
        raise WiringError(f"no layout {name!r}; there are {', '.join(sorted(known))}")
    accepted = list(inspect.signature(known[name]).parameters)[1:]
    wrong = sorted(set(options) - set(accepted))
    if wrong:
        raise WiringError(f"layout {name} has no option {', '.join(wrong)}; it has {', '.join(accepted) or 'none'}")
    wiring = known[name](graph, **options)
    wiring.layout = name
    return wiring


@functools.cache
def _load() -> None:
    importlib.import_module("graphlab.weightgraph.layouts.named")
    for entry in importlib.metadata.entry_points(group="graphlab.layouts"):
        entry.load()
