"""Operators that reduce axes."""

from __future__ import annotations

from collections.abc import Sequence

from graphlab.capture import Operation, Value
from graphlab.weightgraph.rescaling_rules.registry import elementwise, rescaling_rule
from graphlab.weightgraph.rescaling_system import Place, System, Term


@rescaling_rule("sum", "mean", "cumsum")
def total(
    system: System,
    output: Value,
    operation: Operation,
    input: Value,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
) -> None:
    if "cumsum" in operation.name:
        elementwise(system, output, (input, 1))
    else:
        _reduce(system, output, input, dim, keepdim, 1)


@rescaling_rule("norm", "linalg_vector_norm")
def norm(
    system: System, output: Value, input: Value, dim: int | Sequence[int] | None = None, keepdim: bool = False
) -> None:
    _reduce(system, output, input, dim, keepdim, 1 if system.kind == "scale" else 0)


@rescaling_rule("var", "std")
def spread(
    system: System,
    output: Value,
    operation: Operation,
    input: Value,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
) -> None:
    if system.kind == "sign":
        system.zero(input, output)
    else:
        _reduce(system, output, input, dim, keepdim, 2 if "var" in operation.name else 1)


def _reduce(
    system: System, output: Value, input: Value, dim: int | Sequence[int] | None, keepdim: bool, degree: int
) -> None:
    """A homogeneous function of the values along axes, on which there are then no factors."""
    rank = len(input.shape)
    given = range(rank) if dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
    gone = {d % rank for d in given}
    kept = [d for d in range(rank) if d not in gone]
    targets = kept if keepdim else range(len(kept))
    before, after = ([Place((d,), label) for d, label in zip(dims, kept, strict=True)] for dims in (kept, targets))
    system.relate(Term(input, before, degree), Term(output, after, -1))


@rescaling_rule("maximum", "minimum", "max", "min", "amax", "amin")
def extremum(
    system: System,
    output: Value,
    outputs: list[Value],
    input: Value,
    other: Value | None = None,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
) -> None:
    """Of two tensors, or along axes: positively homogeneous."""
    system.zero(*outputs[1:])
    if system.kind == "sign":
        system.zero(*(value for value in (input, other, output) if value is not None))
    elif other is not None:
        elementwise(system, output, (input, 1))
        elementwise(system, output, (other, 1))
    else:
        _reduce(system, output, input, dim, keepdim, 1)
