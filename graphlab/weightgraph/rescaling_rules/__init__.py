"""What each operator makes of factors on its tensors: relations between exponents, by the operator's name.

A rule takes the :class:`~graphlab.weightgraph.rescaling_system.System` and, by their schema names (``self`` is
``input``), those of the operator's arguments that it needs; ``output`` is its first result, ``outputs`` are all. An
operator without a rule lets no factor through: its tensors have exponents 0.
"""

from __future__ import annotations

import inspect
from typing import Any

from graphlab.capture import Operation, Value
from graphlab.weightgraph.registry import LAYOUT
from graphlab.weightgraph.rescaling_rules import (  # noqa: F401  (importing a module registers its rules)
    convolution,
    normalization,
    products,
    recurrent,
    reduction,
)
from graphlab.weightgraph.rescaling_rules.elementwise import DEGREES, function
from graphlab.weightgraph.rescaling_rules.layout import moved
from graphlab.weightgraph.rescaling_rules.registry import RULES, RescalingRule, elementwise
from graphlab.weightgraph.rescaling_system import System


def apply(system: System, operation: Operation) -> None:
    """Add what one operator says to the system."""
    name = operation.name.removeprefix("aten.")
    name = name if name in RULES or name in DEGREES or operation.name in LAYOUT else name.removesuffix("_")
    outputs = [value for value in operation.outputs if value is not None]
    if not outputs:
        system.zero(*operation.inputs)
        return
    if name in DEGREES:
        function(system, outputs[0], operation.inputs[0], DEGREES[name])
    elif f"aten.{name}" in LAYOUT:
        moved(system, operation, outputs[0])
    elif name in RULES and (arguments := _arguments(RULES[name], operation, outputs)) is not None:
        RULES[name](system, **arguments)
    else:
        system.zero(*operation.inputs, *outputs)
    for argument in operation.target._schema.arguments:
        target = operation.arguments.get(argument.name)
        if argument.alias_info is not None and argument.alias_info.is_write and isinstance(target, Value):
            elementwise(system, outputs[0], (target, 1))


def _arguments(rule: RescalingRule, operation: Operation, outputs: list[Value]) -> dict[str, Any] | None:
    """Those that the rule takes; ``None`` where this overload lacks one that it needs."""
    _, *wanted = inspect.signature(rule).parameters.values()
    given = {"input" if name == "self" else name: item for name, item in operation.arguments.items()}
    given |= {"operation": operation, "output": outputs[0], "outputs": outputs}
    needed = {parameter.name for parameter in wanted if parameter.default is inspect.Parameter.empty}
    return {p.name: given[p.name] for p in wanted if p.name in given} if needed <= given.keys() else None
