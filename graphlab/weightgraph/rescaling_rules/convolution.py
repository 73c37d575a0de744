"""Convolutions, pooling, interpolation."""

from __future__ import annotations

import torch
from torch import Tensor

from graphlab.capture import Operation, Value
from graphlab.weightgraph.rescaling_rules.registry import rescaling_rule
from graphlab.weightgraph.rescaling_system import Place, System, Term


@rescaling_rule("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution")
def convolution(
    system: System,
    output: Value,
    operation: Operation,
    input: Value,
    weight: Value,
    bias: Value | None,
    groups: int,
    transposed: bool = False,
) -> None:
    """Channels ``g . i`` and ``g . o``, contracted over ``i`` within each group ``g``.

    ``weight`` is ``[g . o, i, *kernel]``, transposed ``[g . i, o, *kernel]``.
    """
    transposed = transposed or "transpose" in operation.name
    channel = len(input.shape) - len(weight.shape) + 1
    batch = [Place((dim,), dim) for dim in range(channel)]
    inside, out = input.shape[channel] // groups, output.shape[channel] // groups
    g, i, o = ("i", "i", "o") if groups == 1 else ("all", "all", "all")
    at: dict[str, Tensor | None] = dict.fromkeys(("input", "output", "i", "o"))
    if groups > 1:
        group, ours, theirs = (
            index.reshape(-1)
            for index in torch.meshgrid(*(torch.arange(n) for n in (groups, inside, out)), indexing="ij")
        )
        at = {"input": group * inside + ours, "output": group * out + theirs, "i": ours, "o": theirs}
    first, second = (("input", i), ("o", o)) if transposed else (("output", o), ("i", i))
    system.relate(
        Term(input, [*batch, Place((channel,), g, at["input"])]),
        Term(weight, [Place((0,), first[1], at[first[0]]), Place((1,), second[1], at[second[0]])]),
        Term(output, [*batch, Place((channel,), o, at["output"])], -1),
    )
    if bias is not None:
        system.relate(Term(bias, [Place((0,), "o")]), Term(output, [*batch, Place((channel,), "o")], -1))


@rescaling_rule(
    *(f"{kind}_pool{n}d" for kind in ("max", "avg", "adaptive_avg", "adaptive_max") for n in (1, 2, 3)),
    *(f"max_pool{n}d_with_indices" for n in (2, 3)),
    *("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d"),
    *("upsample_bicubic2d", "upsample_trilinear3d"),
)
def resample(system: System, output: Value, outputs: list[Value], operation: Operation, input: Value) -> None:
    """Each channel for itself; linear in it, or its maxima."""
    system.zero(*outputs[1:])
    if system.kind == "sign" and "max" in operation.name:
        system.zero(input, output)
        return
    spatial = int(operation.name.removesuffix("_with_indices")[-2])
    kept = [Place((dim,), dim) for dim in range(len(input.shape) - spatial)]
    system.relate(Term(input, kept), Term(output, kept, -1))


@rescaling_rule("im2col")
def unfold(system: System, output: Value, input: Value) -> None:
    """``[b, c, h, w] -> [b, c . taps, positions]``."""
    channel = len(output.shape) - 2
    batch = [Place((dim,), dim) for dim in range(channel)]
    taps = output.shape[channel] // input.shape[channel]
    walked = Place((channel,), "c", torch.arange(output.shape[channel]) // taps)
    system.relate(Term(input, [*batch, walked]), Term(output, [*batch, Place((channel,), "c")], -1))
