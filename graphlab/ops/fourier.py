r"""Linear maps of random Fourier features without the features.

.. math:: y = W \begin{bmatrix} \cos 2\pi B v \\ \sin 2\pi B v \end{bmatrix} + b

(Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains", NeurIPS
2020, eq. 5.) The features are as many as there are frequencies for each row of ``v``; they are computed for a tile of
rows at a time, and again for the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import pi
from typing import Any

import torch
from torch import Tensor

from graphlab.ops.block_tiles import CUDA_TILE, TILE, define_block
from graphlab.ops.dispatch import implement
from graphlab.ops.library import accumulated


def fourier_linear(values: Tensor, frequencies: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``[*rows, channels]`` of ``values`` ``[*rows, in_channels]``.

    Args:
        values: Floating. Phases are computed in at least float32, under autocast as well: half precision would lose
            them.
        frequencies: ``B``, ``[num_frequencies, in_channels]``; no gradient flows to them.
        weight: ``W``, ``[channels, 2 * num_frequencies]``.
        bias: ``b``, ``[channels]``.

    Returns:
        In the dtype of ``values``. No second derivatives.

    Raises:
        ValueError: for shapes that do not fit.
    """
    shape = (len(bias), 2 * len(frequencies))
    if values.shape[-1] != frequencies.shape[1] or tuple(weight.shape) != shape:
        raise ValueError(
            f"expected values [..., {frequencies.shape[1]}] and a weight {list(shape)}, got {list(values.shape)} and "
            f"{list(weight.shape)}"
        )
    flat: Tensor = _fourier(values.reshape(-1, values.shape[-1]), frequencies.detach(), weight, bias)
    return flat.view(*values.shape[:-1], len(bias))


def features(values: Tensor, frequencies: Tensor) -> Tensor:
    """``[rows, 2 * num_frequencies]``: cosines, then sines."""
    phases = accumulated(values) @ accumulated(frequencies).t()
    made = phases.new_empty(len(phases), 2 * phases.shape[1])
    cosines, sines = made.chunk(2, dim=1)
    torch.cos(phases.mul_(2 * pi), out=cosines)
    torch.sin(phases, out=sines)
    return made


def _tiles(values: Tensor, width: int) -> Iterator[slice]:
    rows = max(1, (CUDA_TILE if values.is_cuda else TILE) // max(width, 1))
    for first in range(0, len(values), rows):
        yield slice(first, first + rows)


@implement("fourier_linear", "reference")
def reference(values: Tensor, frequencies: Tensor, weight: Tensor, bias: Tensor, of: Any = features) -> Tensor:
    """The definition, for a tile of rows at a time; other implementations bring other features ``of`` a tile."""
    weight, bias = accumulated(weight), accumulated(bias)
    result = values.new_empty(len(values), len(bias))
    for tile in _tiles(values, weight.shape[1]):
        result[tile] = torch.addmm(bias, of(values[tile], frequencies), weight.t())
    return result


@implement("fourier_linear_gradient", "reference")
def gradient_reference(
    values: Tensor, frequencies: Tensor, weight: Tensor, d_result: Tensor, need_values: bool, of: Any = features
) -> tuple[Tensor, Tensor, Tensor]:
    """The features again; ``d cos = -sin``, ``d sin = cos``."""
    factor = accumulated(weight)
    d_values = torch.empty_like(values) if need_values else values.new_empty(0)
    d_weight, d_bias = torch.zeros_like(factor), factor.new_zeros(len(factor))
    for tile in _tiles(values, weight.shape[1]):
        made, given = of(values[tile], frequencies), accumulated(d_result[tile])
        d_weight.addmm_(given.t(), made)
        d_bias += given.sum(dim=0)
        if need_values:
            cosines, sines = made.chunk(2, dim=1)
            to_cosines, to_sines = (given @ factor).chunk(2, dim=1)
            d_phases = to_sines * cosines - to_cosines * sines
            d_values[tile] = (2 * pi * d_phases @ accumulated(frequencies)).to(values.dtype)
    return d_values, d_weight.to(weight.dtype), d_bias.to(weight.dtype)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])


def _backward(ctx: Any, d_result: Tensor) -> tuple[Tensor | None, ...]:
    need = ctx.needs_input_grad[0]
    d_values, d_weight, d_bias = _gradient(*ctx.saved_tensors, d_result, need)
    return d_values if need else None, None, d_weight, d_bias


def _gradient_fake(
    values: Tensor, frequencies: Tensor, weight: Tensor, d_result: Tensor, need_values: bool
) -> tuple[Tensor, Tensor, Tensor]:
    d_values = torch.empty_like(values) if need_values else values.new_empty(0)
    return d_values, torch.empty_like(weight), weight.new_empty(len(weight))


_fourier = define_block(
    "fourier_linear",
    "(Tensor values, Tensor frequencies, Tensor weight, Tensor bias) -> Tensor",
    lambda values, frequencies, weight, bias: values.new_empty(values.shape[0], bias.shape[0]),
    _save,
    _backward,
)
_gradient = define_block(
    "fourier_linear_gradient",
    "(Tensor values, Tensor frequencies, Tensor weight, Tensor d_result, bool need_values) -> (Tensor, Tensor, Tensor)",
    _gradient_fake,
)
