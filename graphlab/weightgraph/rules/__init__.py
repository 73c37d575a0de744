"""How each operator couples axes: a small registered function an operator, grouped by subject."""

from __future__ import annotations

from typing import Any

from graphlab.weightgraph.rules import (  # noqa: F401  (importing a module registers its rules)
    attention,
    convolution,
    elementwise,
    indexing,
    layout,
    normalization,
    products,
    recurrent,
    reduction,
)
from graphlab.weightgraph.rules.registry import HANDLES_PLACES, LAYOUT, RULES, TAKES_APART, load_extensions, rule
from graphlab.weightgraph.tracer import Rule, is_elementwise

__all__ = ["HANDLES_PLACES", "LAYOUT", "RULES", "TAKES_APART", "rule", "rule_for"]


def rule_for(target: Any, name: str) -> Rule | None:
    """The rule of an operator; in-place variants share it, and all that ATen calls pointwise share one."""
    load_extensions()
    known = RULES.get(name) or RULES.get(name.removesuffix("_"))
    return known or (elementwise.pointwise if is_elementwise(target) else None)
