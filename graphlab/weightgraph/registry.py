"""The registry of operator rules, and how a rule is added.

A rule says how one ATen operator couples axes. It names the arguments of the operator's schema that it needs (the
schema's ``self`` is called ``input``) and returns the axes of the result::

    from graphlab.weightgraph import Traced, Tracer, rule

    @rule("mylib.scale_channels")
    def scale_channels(trace: Tracer, input: Traced, scale: Traced) -> list[Axis]:
        trace.same(input[1], scale[0])
        return input.axes

A package registers its rules by an entry point in the group ``graphlab.rules`` that names the module defining them.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphlab.weightgraph.atoms import Axis
    from graphlab.weightgraph.tracer import Rule, Tracer

RULES: dict[str, Rule] = {}
LAYOUT: dict[str, Callable[..., list[Axis]]] = {}
"""Operators that only move axes about: ``f(axes, **arguments) -> axes``."""
HANDLES_PLACES: set[str] = set()
"""Operators whose rule deals itself with integer tensors that name positions on an axis (``Traced.names``)."""
TAKES_APART: set[str] = set()
"""Operators that cut a tensor along their argument ``dim``."""


def rule(*names: str, places: bool = False) -> Callable[[Rule], Rule]:
    """Register a rule for the operators named, such as ``aten.linear`` (all overloads, in place or not).

    Without ``places``, integer arguments that name positions on an axis (what ``topk`` returns) count as numbers, and
    the axis becomes fixed; a rule that moves such tensors or looks up by them says ``places=True``.
    """

    def register(function: Rule) -> Rule:
        _, *wanted = inspect.signature(function).parameters.values()
        if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in wanted):
            call = function
        else:

            @functools.wraps(function)
            def call(trace: Tracer, **arguments: Any) -> Any:
                return function(trace, **{p.name: arguments[p.name] for p in wanted if p.name in arguments})

        for name in names:
            RULES[name] = call
            if places:
                HANDLES_PLACES.add(name)
        return function

    return register


@functools.cache
def load_extensions() -> None:
    """Import the modules that installed packages name in the entry-point group ``graphlab.rules``."""
    for entry in importlib.metadata.entry_points(group="graphlab.rules"):
        entry.load()
