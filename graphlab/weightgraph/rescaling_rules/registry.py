"""The registry of rescaling rules, and the relation that most of them use."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from graphlab.capture import Value
from graphlab.weightgraph.rescaling_system import Place, System, Term

RescalingRule = Callable[..., None]
RULES: dict[str, RescalingRule] = {}


def rescaling_rule(*names: str) -> Callable[[RescalingRule], RescalingRule]:
    """Register a rule for the ATen operators named (all overloads, in place or not)."""

    def register(function: RescalingRule) -> RescalingRule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def elementwise(system: System, output: Value, *factors: tuple[Value, Fraction | int]) -> None:
    """``y = prod x^k`` element by element, with broadcasting."""
    terms = [Term(value, aligned(value, len(output.shape)), degree) for value, degree in factors]
    system.relate(*terms, Term(output, aligned(output, len(output.shape)), -1))


def aligned(value: Value, rank: int) -> list[Place]:
    """Its axes, labelled by the axis of a tensor of ``rank`` axes that broadcasting aligns each with."""
    return [Place((dim,), dim + rank - len(value.shape)) for dim, size in enumerate(value.shape) if size != 1]
