"""How each operator couples axes: a small registered function an operator, grouped by subject."""

from __future__ import annotations

from typing import Any

import torch

from graphlab.weightgraph.registry import RULES, load_extensions
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
from graphlab.weightgraph.tracer import Rule

__all__ = ["rule_for"]


def rule_for(target: torch._ops.OpOverload[..., Any], name: str) -> Rule | None:
    """The rule of an operator; in-place variants share it, and all that ATen calls pointwise share one."""
    load_extensions()
    known = RULES.get(name) or RULES.get(name.removesuffix("_"))
    tagged = torch.Tag.pointwise in target.tags
    return known or (elementwise.pointwise if tagged else None)
