"""Convolutions and what goes with them: pooling, interpolation, pixel shuffle."""

from __future__ import annotations

from collections.abc import Sequence

from graphlab.weightgraph.atoms import ONE, Axis, factor
from graphlab.weightgraph.registry import rule
from graphlab.weightgraph.tracer import Traced, Tracer


def _grouped(trace: Tracer, axis: Axis, groups: int) -> tuple[Axis, Axis]:
    """A channel axis as (channel groups, channels inside a group)."""
    parts = factor(axis, groups)
    if parts is None:
        trace.fix(axis, "channel groups that do not agree with how the channels were joined")
        return trace.new(groups, "channel groups"), trace.new(axis.size // groups, "channel groups")
    if groups > 1:
        trace.role(parts[0], "groups")
    return parts


def _out_size(trace: Tracer) -> tuple[int, ...]:
    value = trace.operation.outputs[0]
    assert value is not None
    return value.shape


def _convolve(
    trace: Tracer, input: Traced, weight: Traced, bias: Traced | None, groups: int, transposed: bool
) -> list[Axis]:
    """Channels are contracted within each group; pixels and kernel taps have an order.

    ``weight`` is ``[groups . out, in, *kernel]``, transposed ``[groups . in, out, *kernel]``.
    """
    spatial = len(weight) - 2
    channel = len(input) - spatial - 1
    input_groups, inside = _grouped(trace, input[channel], groups)
    weight_groups, weight_inside = _grouped(trace, weight[0], groups)
    trace.same(input_groups, weight_groups)
    trace.same(inside, weight_inside if transposed else weight[1])
    out_inside = weight[1] if transposed else weight_inside
    out = trace.join(input_groups, out_inside)
    trace.mix(input, *range(channel, len(input)))
    trace.mix(weight, 0 if transposed else 1, *range(2, len(weight)))
    trace.fix(weight.axes[2:], "kernel position")
    trace.fix(input.axes[channel + 1 :], "position")
    if bias is not None:
        trace.same(out, bias[0])
    return [*input.axes[:channel], out, *trace.positions(*_out_size(trace)[channel + 1 :])]


@rule("aten.conv1d", "aten.conv2d", "aten.conv3d")
def conv(trace: Tracer, input: Traced, weight: Traced, bias: Traced | None = None, groups: int = 1) -> list[Axis]:
    """``y[b, g.o, p] = sum_{i, k} x[b, g.i, s p + k] W[g.o, i, k] + b[g.o]``."""
    return _convolve(trace, input, weight, bias, groups, transposed=False)


@rule("aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d")
def conv_transpose(
    trace: Tracer, input: Traced, weight: Traced, bias: Traced | None = None, groups: int = 1
) -> list[Axis]:
    """``y[b, g.o, s p + k] += sum_i x[b, g.i, p] W[g.i, o, k]``."""
    return _convolve(trace, input, weight, bias, groups, transposed=True)


@rule("aten.convolution")
def convolution(
    trace: Tracer, input: Traced, weight: Traced, bias: Traced | None, transposed: bool, groups: int
) -> list[Axis]:
    return _convolve(trace, input, weight, bias, groups, transposed)


_POOLS = [f"aten.{kind}_pool{n}d" for kind in ("max", "avg", "adaptive_avg", "adaptive_max", "lp") for n in (1, 2, 3)]
_POOLS += [f"aten.max_pool{n}d_with_indices" for n in (2, 3)]
_RESIZE = [f"aten.upsample_{mode}" for mode in ("nearest1d", "nearest2d", "nearest3d", "linear1d", "bilinear2d")]
_RESIZE += ["aten.upsample_bicubic2d", "aten.upsample_trilinear3d", "aten.grid_sampler"]


def _resampled(trace: Tracer, input: Traced, spatial: int) -> list[Axis]:
    trace.mix(input, *range(len(input) - spatial, len(input)))
    trace.fix(input.axes[len(input) - spatial :], "position")
    return [*input.axes[: len(input) - spatial], *trace.positions(*_out_size(trace)[len(input) - spatial :])]


@rule(*_POOLS)
def pool(trace: Tracer, input: Traced) -> list[list[Axis]]:
    """Each channel for itself; pixels have an order. Some give the places of the maxima as a second result."""
    if "max" in trace.operation.name:
        trace.passes(input, "max_pool")
    spatial = int(trace.operation.name.removesuffix("_with_indices")[-2])
    axes = _resampled(trace, input, spatial)
    return [list(axes) for _ in trace.operation.outputs]


@rule(*_RESIZE)
def resize(trace: Tracer, input: Traced) -> list[Axis]:
    return _resampled(trace, input, len(input) - 2)


@rule("aten.pixel_shuffle")
def pixel_shuffle(trace: Tracer, input: Traced, upscale_factor: int) -> list[Axis]:
    """``[..., c r r, h, w] -> [..., c, h r, w r]``: channels stay, the r x r inside them become pixels."""
    channels, inside = _grouped(trace, input[-3], input[-3].size // upscale_factor**2)
    trace.fix([inside, *input.axes[-2:]], "position")
    return [*input.axes[:-3], channels, *trace.positions(*_out_size(trace)[-2:])]


@rule("aten.im2col")
def unfold(trace: Tracer, input: Traced, kernel_size: Sequence[int]) -> list[Axis]:
    """``[b, c, h, w] -> [b, c . taps, positions]``."""
    trace.fix(input.axes[-2:], "position")
    taps = trace.positions(kernel_size[0] * kernel_size[1])[0] if kernel_size[0] * kernel_size[1] > 1 else ONE
    return [*input.axes[:-3], trace.join(input[-3], taps), *trace.positions(_out_size(trace)[-1])]
