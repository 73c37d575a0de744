r"""Several statistics of what neighbours send, in one pass.

For the :math:`n_i` edges :math:`j \to i` into a node, channel by channel,

.. math:: \mu_i = \frac1{n_i} \sum_j x_j, \qquad \mathrm{var}_i = \frac1{n_i} \sum_j (x_j - \mu_i)^2, \qquad
          \mathrm{std}_i = \sqrt{\mathrm{var}_i} \text{ where } \mathrm{var}_i > 10^{-5}, \text{ else } 0,

the sum and the extrema: the aggregators of PNA (Corso et al. 2020, eqs. 3 to 5; the floor is PyG's).
The variance is computed from the differences, not as :math:`E[x^2] - E[x]^2`: a common offset does not cancel in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from graphlab.ops.adjacency import Adjacency, as_adjacency
from graphlab.ops.dispatch import implement
from graphlab.ops.library import ADJACENCY, accumulated, define, transposed
from graphlab.ops.spmm import extremum_gradient_reference, extremum_reference, targets
from graphlab.ops.spmm import reference as spmm_reference

Stat = Literal["sum", "mean", "min", "max", "var", "std"]
STATS: tuple[Stat, ...] = get_args(Stat)
FLOOR = 1e-5
"""The variance up to which the standard deviation counts as zero."""
_EXTREMA: tuple[tuple[Stat, bool], ...] = (("min", False), ("max", True))


def spmm_stats(adj: Any, x: Tensor, stats: Sequence[Stat] = ("mean", "min", "max", "std")) -> Tensor:
    """Statistics over the edges into each node of what their sources send.

    Args:
        adj: An :class:`~graphlab.ops.Adjacency`, an ``edge_index`` or ``(rowptr, col)``. For messages that are given
            edge by edge, :func:`~graphlab.ops.segment_adjacency`.
        x: Features of the sources, ``[num_sources, channels]`` or ``[num_sources, heads, channels]``.
        stats: Of ``sum``, ``mean``, ``min``, ``max``, ``var`` and ``std``, each at most once.

    Returns:
        ``[num_targets, len(stats), (heads,) channels]`` in the order of ``stats`` and the dtype of ``x``; half
        precision is computed in float32. A node without in-edges gets zeros; NaN reaches every statistic of its
        channel. The gradient of an extremum goes to the first edge that attains it.

    Raises:
        ValueError: for sizes, dtypes or devices that do not fit, and for unknown or repeated statistics.
    """
    given = as_adjacency(adj, x.shape[0])
    if x.dim() not in (2, 3) or not x.is_floating_point() or x.device != given.col.device:
        raise ValueError(
            f"x: expected floating [num_sources, (heads,) channels] on {given.col.device}, got {x.dtype} "
            f"{list(x.shape)} on {x.device}"
        )
    if not stats or isinstance(stats, str) or len(set(stats)) < len(stats) or not set(stats) <= set(STATS):
        raise ValueError(f"stats: expected some of {', '.join(STATS)}, each once, got {stats!r}")
    y: Tensor = _stats(*given, x.flatten(1), [STATS.index(name) for name in stats])[0]
    return y.view(y.shape[0], len(stats), *x.shape[1:])


def wants(stats: Sequence[int], *names: Stat) -> bool:
    """Whether one of some statistics is among those with these numbers."""
    return any(STATS.index(name) in stats for name in names)


# ---- the operator -------------------------------------------------------------------------------------------------


def _fake(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rowptr, x, stats = arguments[0], arguments[6], arguments[7]
    shape, empty = (rowptr.shape[0] - 1, x.shape[1]), (0, 0)
    return (
        x.new_empty(shape[0], len(stats), shape[1]),
        accumulated(x[:0]).new_empty(shape if wants(stats, "var", "std") else empty),
        rowptr.new_empty(shape if wants(stats, "min") else empty),
        rowptr.new_empty(shape if wants(stats, "max") else empty),
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *adj, x, ctx.stats = inputs
    ctx.save_for_backward(*adj, x, *output)
    ctx.mark_non_differentiable(*output[1:])


def _backward(ctx: Any, dy: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    *parts, x, y, mean, least, most = ctx.saved_tensors
    adj = transposed(Adjacency(*parts), x.shape[0]).transposed
    return (*(None,) * 6, _gradient(*adj, x, y, mean, least, most, dy.contiguous(), ctx.stats), None)


def _gradient_fake(*arguments: Any) -> Tensor:
    x = arguments[6]
    result: Tensor = x.new_empty(x.shape)
    return result


_stats = define(
    "stats", f"({ADJACENCY}, Tensor x, int[] stats) -> (Tensor, Tensor, Tensor, Tensor)", _fake, _save, _backward
)
_gradient = define(
    "stats_gradient",
    f"({ADJACENCY}, Tensor x, Tensor y, Tensor mean, Tensor least, Tensor most, Tensor dy, int[] stats) -> Tensor",
    _gradient_fake,
)


# ---- definitions --------------------------------------------------------------------------------------------------


@implement("stats", "reference")
def reference(adj: Adjacency, x: Tensor, stats: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The statistics; the mean if there is a deviation from it; the places of the minimum and the maximum if asked."""
    values, rows = accumulated(x).unsqueeze(1), targets(adj)
    found: dict[str, Tensor] = {"sum": spmm_reference(adj, None, values, None, False).squeeze(1)}
    degree = adj.rowptr.diff().clamp(min=1).unsqueeze(1)
    found["mean"] = found["sum"] / degree
    square = (values.squeeze(1)[adj.col.long()] - found["mean"][rows]) ** 2
    found["var"] = torch.zeros_like(found["mean"]).index_add_(0, rows, square) / degree
    found["std"] = torch.where(found["var"] <= FLOOR, 0, found["var"].sqrt())
    places = {"min": adj.rowptr.new_empty(0, 0), "max": adj.rowptr.new_empty(0, 0)}
    for name, largest in _EXTREMA:
        if wants(stats, name):
            extremum, place = extremum_reference(adj, None, values, largest)
            found[name], places[name] = extremum.squeeze(1), place.squeeze(1)
    mean = found["mean"] if wants(stats, "var", "std") else values.new_empty(0, 0)
    y = torch.stack([found[STATS[number]] for number in stats], dim=1)
    return y.to(x.dtype), mean.clone(), places["min"], places["max"]


@implement("stats_gradient", "reference")
def gradient_reference(
    adj: Adjacency,
    x: Tensor,
    y: Tensor,
    mean: Tensor,
    least: Tensor,
    most: Tensor,
    dy: Tensor,
    stats: list[int],
) -> Tensor:
    """The gradient of ``x`` from the results of the operator and the gradient of the first."""
    level, steep = coefficients(adj, y, dy, stats)
    rows, source = targets(adj), adj.col.long()
    part = level[rows]
    if steep is not None:
        part = part + steep[rows] * (accumulated(x)[source] - mean[rows])
    dx = part.new_zeros(x.shape).index_add_(0, source, part)
    for name, largest in _EXTREMA:
        if wants(stats, name):
            place, given = most if largest else least, accumulated(dy[:, stats.index(STATS.index(name))]).unsqueeze(1)
            dx += extremum_gradient_reference(adj, None, dx.unsqueeze(1), place.unsqueeze(1), given)[0].squeeze(1)
    return dx.to(dy.dtype)


def coefficients(adj: Adjacency, y: Tensor, dy: Tensor, stats: list[int]) -> tuple[Tensor, Tensor | None]:
    r"""``[num_targets, channels]`` of each: without the extrema, the gradient of :math:`x_j` is
    :math:`\sum_i \mathrm{level}_i + \mathrm{steep}_i (x_j - \mu_i)`."""
    degree = adj.rowptr.diff().clamp(min=1).unsqueeze(1).to(accumulated(dy[:0]).dtype)
    of = {STATS[number]: accumulated(dy[:, at]) for at, number in enumerate(stats)}
    level = torch.zeros(dy.shape[0], dy.shape[2], dtype=degree.dtype, device=dy.device)
    if "sum" in of:
        level = level + of["sum"]
    if "mean" in of:
        level = level + of["mean"] / degree
    steep = torch.zeros_like(level) if "var" in of or "std" in of else None
    if steep is not None and "var" in of:
        steep = steep + of["var"] * 2 / degree
    if steep is not None and "std" in of:
        std = accumulated(y[:, stats.index(STATS.index("std"))])
        steep = steep + torch.where(std == 0, 0, of["std"] / (std * degree))
    return level, steep
