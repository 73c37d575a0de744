"""Normalisations and softmax."""

from __future__ import annotations

from collections.abc import Sequence

from graphlab.weightgraph.atoms import Axis, factor
from graphlab.weightgraph.registry import rule
from graphlab.weightgraph.tracer import Traced, Tracer


def _per_channel(trace: Tracer, axis: Axis, *parameters: Traced | None) -> None:
    for parameter in parameters:
        if parameter is not None:
            trace.same(axis, parameter[0])


@rule("aten.batch_norm")
def batch_norm(
    trace: Tracer,
    input: Traced,
    weight: Traced | None,
    bias: Traced | None,
    running_mean: Traced | None,
    running_var: Traced | None,
    training: bool,
) -> list[Axis]:
    """``(x - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c]``; linear where the statistics are given."""
    _per_channel(trace, input[1], weight, bias, running_mean, running_var)
    if training or running_mean is None:
        trace.passes(input, "batch_norm")
        trace.mix(input, 0, *range(2, len(input)))
    return input.axes


@rule("aten.instance_norm")
def instance_norm(
    trace: Tracer,
    input: Traced,
    weight: Traced | None,
    bias: Traced | None,
    running_mean: Traced | None,
    running_var: Traced | None,
) -> list[Axis]:
    """As batch normalisation with the statistics of each example and channel."""
    _per_channel(trace, input[1], weight, bias, running_mean, running_var)
    trace.passes(input, "instance_norm")
    trace.mix(input, *range(2, len(input)))
    return input.axes


@rule("aten.layer_norm", "aten.rms_norm")
def layer_norm(
    trace: Tracer,
    input: Traced,
    normalized_shape: Sequence[int],
    weight: Traced | None = None,
    bias: Traced | None = None,
) -> list[Axis]:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axes; RMS: ``x / sqrt(mean(x^2)) * weight``."""
    dims = range(len(input) - len(normalized_shape), len(input))
    for parameter in (weight, bias):
        if parameter is not None:
            for own, dim in zip(parameter.axes, dims, strict=True):
                trace.same(input[dim], own)
    trace.passes(input, trace.operation.name.removeprefix("aten."))
    trace.mix(input, *dims)
    return input.axes


@rule("aten.group_norm")
def group_norm(
    trace: Tracer, input: Traced, num_groups: int, weight: Traced | None = None, bias: Traced | None = None
) -> list[Axis]:
    """Layer normalisation over the channels of each of ``num_groups`` groups and all positions."""
    parts = factor(input[1], num_groups)
    if parts is None:
        trace.fix(input[1], "channel groups that do not agree with how the channels were joined")
    elif num_groups > 1:
        trace.role(parts[0], "groups")
    _per_channel(trace, input[1], weight, bias)
    trace.passes(input, "group_norm")
    trace.mix(input, 1, *range(2, len(input)))
    return input.axes


@rule("aten.softmax", "aten._softmax", "aten.log_softmax", "aten._log_softmax", "aten._safe_softmax")
def softmax(trace: Tracer, input: Traced, dim: int) -> list[Axis]:
    trace.passes(input, "softmax")
    trace.mix(input, dim)
    return input.axes


@rule("aten._weight_norm", "aten._weight_norm_interface")
def weight_norm(trace: Tracer, v: Traced, g: Traced, dim: int = 0) -> list[list[Axis]]:
    """``g * v / |v|`` with the norm over all axes but ``dim``."""
    trace.same(v[dim], g[dim])
    trace.mix(v, *(d for d in range(len(v)) if d != v.dim(dim)))
    return [v.axes, g.axes][: len(trace.operation.outputs)]
