"""Normalisations."""

from __future__ import annotations

from collections.abc import Sequence

from graphlab.capture import Operation, Value
from graphlab.weightgraph.rescaling_rules.registry import aligned, elementwise, rescaling_rule
from graphlab.weightgraph.rescaling_system import Place, System, Term


@rescaling_rule("batch_norm", "instance_norm")
def batch_norm(
    system: System,
    output: Value,
    input: Value,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value | None,
    running_var: Value | None,
) -> None:
    """``(x - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c]``: eps lets signs through to the quotient only."""
    rank = len(input.shape)
    channel = [Place((0,), 1)]
    system.zero(*(value for value in (running_var,) if value is not None))
    if system.kind == "scale":
        system.zero(input, *(value for value in (running_mean,) if value is not None))
    elif running_mean is not None:
        system.relate(Term(running_mean, channel), Term(input, aligned(input, rank), -1))
    factors = [Term(value, channel) for value in (weight,) if value is not None]
    system.relate(Term(input, aligned(input, rank)), *factors, Term(output, aligned(output, rank), -1))
    if bias is not None:
        system.relate(Term(bias, channel), Term(output, aligned(output, rank), -1))


@rescaling_rule("group_norm")
def group_norm(system: System, output: Value, input: Value, weight: Value | None, bias: Value | None) -> None:
    """What comes in is normalised over channels; the weight and the bias act after that."""
    system.zero(input)
    channel = [Place((0,), 1)]
    factors = [Term(value, channel) for value in (weight,) if value is not None]
    system.relate(*factors, Term(output, aligned(output, len(output.shape)), -1))
    if bias is not None:
        system.relate(Term(bias, channel), Term(output, aligned(output, len(output.shape)), -1))


@rescaling_rule("layer_norm", "rms_norm")
def layer_norm(
    system: System,
    output: Value,
    operation: Operation,
    input: Value,
    normalized_shape: Sequence[int],
    weight: Value | None = None,
    bias: Value | None = None,
) -> None:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axes; RMS: without mean and bias.

    Both are odd in all of ``x`` together; RMS in each entry for itself.
    """
    rank = len(input.shape)
    if system.kind == "scale":
        system.zero(input)
    odd = rank if "rms" in operation.name else rank - len(normalized_shape)
    own = [place for place in aligned(input, rank) if place.dims[0] < odd]
    factors = [Term(value, aligned(value, rank)) for value in (weight,) if value is not None]
    system.relate(Term(input, own), *factors, Term(output, aligned(output, rank), -1))
    if bias is not None:
        elementwise(system, output, (bias, 1))


@rescaling_rule("_weight_norm")
def weight_norm(system: System, output: Value, v: Value, g: Value, dim: int = 0) -> None:
    """``g * v / |v|`` with the norm over all axes but ``dim``: ``v`` may have any scale along ``dim``."""
    if system.kind == "sign":
        elementwise(system, output, (v, 1), (g, 1))
        return
    elementwise(system, output, (g, 1))
    free = [Place((dim % len(v.shape),), "free")]
    system.relate(Term(v, free), Term(v, free, -1))
