r"""Segments of rows: consecutive entries ``rowptr[i]`` to ``rowptr[i + 1]`` belong to segment :math:`i`.

A segment is a node to which each of its entries sends one message, so that reductions are those of
:func:`~graphlab.ops.spmm` on the adjacency :func:`segment_adjacency`, as are several statistics at once
(:func:`~graphlab.ops.spmm_stats`). The softmax is

.. math:: p_e = \frac{\exp(s_e - m_i)}{\sum_{e' \in i} \exp(s_{e'} - m_i)}, \quad m_i = \max_{e \in i} s_e, \qquad
          \bar s_e = p_e \Big(\bar p_e - \sum_{e' \in i} p_{e'} \bar p_{e'}\Big).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphlab.ops.adjacency import Adjacency, remembered
from graphlab.ops.dispatch import implement
from graphlab.ops.library import ADJACENCY, accumulated, define
from graphlab.ops.spmm import Reduce, spmm, targets


def segment(x: Tensor, rowptr: Tensor, reduce: Reduce = "sum") -> Tensor:
    """Reduce the rows of each segment.

    Args:
        x: ``[num_entries, channels]`` or ``[num_entries, heads, channels]``.
        rowptr: int32 or int64 ``[num_segments + 1]``, from 0 to ``num_entries``, never falling.
        reduce: ``sum``, ``mean``, ``min`` or ``max``.

    Returns:
        ``[num_segments, (heads,) channels]`` in the dtype of ``x``; sums of half precision are accumulated in float32.
        An empty segment gets zeros. NaN reaches the segment that it is in; the gradient of an extremum goes to the
        first entry that attains it.

    Raises:
        ValueError: for sizes, dtypes or devices that do not fit, and for an unknown ``reduce``.
    """
    return spmm(segment_adjacency(rowptr, x.shape[0]), x, reduce=reduce)


def segment_softmax(scores: Tensor, rowptr: Tensor) -> Tensor:
    """Normalise the exponentials of the scores in each segment.

    Args:
        scores: Floating ``[num_entries]`` or ``[num_entries, heads]``; -inf gets zero, also where a whole segment is
            -inf; NaN, or +inf, makes its segment NaN.
        rowptr: As of :func:`segment`.

    Returns:
        The shape and dtype of ``scores``; half precision is computed in float32.

    Raises:
        ValueError: for sizes, dtypes or devices that do not fit.
    """
    adj = segment_adjacency(rowptr, scores.shape[0] if scores.dim() else 0)
    if scores.dim() not in (1, 2) or not scores.is_floating_point() or scores.device != rowptr.device:
        raise ValueError(
            f"scores: expected floating [num_entries] or [num_entries, heads] on {rowptr.device}, got {scores.dtype} "
            f"{list(scores.shape)} on {scores.device}"
        )
    probability: Tensor = _softmax(*adj, scores.unsqueeze(1) if scores.dim() == 1 else scores)
    return probability.view(scores.shape)


def segment_adjacency(rowptr: Tensor, num_entries: int) -> Adjacency:
    """The adjacency of segments: entry ``e`` is a source with a single edge, numbered ``e``, into its segment.

    Raises:
        ValueError: for a pointer that does not fit.
    """

    def made() -> tuple[Tensor, Tensor, Tensor]:
        pointer = torch.arange(num_entries + 1, dtype=rowptr.dtype, device=rowptr.device)
        segments = torch.arange(rowptr.shape[0] - 1, dtype=rowptr.dtype, device=rowptr.device)
        return pointer, pointer[:-1], torch.repeat_interleave(segments, rowptr.diff(), output_size=num_entries)

    def checked() -> tuple[Tensor, Tensor, Tensor]:
        if rowptr.dim() != 1 or rowptr.numel() == 0 or rowptr.dtype not in (torch.int32, torch.int64):
            raise ValueError(
                f"rowptr: expected int32 or int64 [num_segments + 1], got {rowptr.dtype} {list(rowptr.shape)}"
            )
        if int(rowptr[0]) != 0 or int(rowptr[-1]) != num_entries or not bool((rowptr.diff() >= 0).all()):
            raise ValueError(f"rowptr: expected it to rise from 0 to {num_entries}, one past the last entry")
        return made()

    compiling = torch.compiler.is_compiling()
    pointer, entry, owner = made() if compiling else remembered(rowptr, ("segments", num_entries), checked)
    return Adjacency(rowptr, entry, None, pointer, owner)


# ---- softmax ------------------------------------------------------------------------------------------------------


def _fake(*arguments: Any) -> Tensor:
    scores = arguments[6]
    result: Tensor = scores.new_empty(scores.shape)
    return result


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:6], output)


def _backward(ctx: Any, dp: Tensor) -> tuple[Tensor | None, ...]:
    return (*(None,) * 6, _softmax_gradient(*ctx.saved_tensors, dp.contiguous()))


_softmax = define("softmax", f"({ADJACENCY}, Tensor scores) -> Tensor", _fake, _save, _backward)
_softmax_gradient = define("softmax_gradient", f"({ADJACENCY}, Tensor p, Tensor dp) -> Tensor", _fake)


@implement("softmax", "reference")
def softmax_reference(adj: Adjacency, scores: Tensor) -> Tensor:
    """Subtract the maximum, exponentiate, divide by the sum; edges of a row are in their order (no ``perm``)."""
    score, target = accumulated(scores), targets(adj)
    shape = (adj.num_targets, scores.shape[1])
    top = score.new_full(shape, -math.inf).scatter_reduce(0, target.unsqueeze(1).expand_as(score), score, "amax")
    weight = (score - torch.where(top == -math.inf, 0, top)[target]).exp()
    total = weight.new_zeros(shape).index_add_(0, target, weight)
    return (weight / torch.where(total == 0, 1, total)[target]).to(scores.dtype)


@implement("softmax_gradient", "reference")
def softmax_gradient_reference(adj: Adjacency, p: Tensor, dp: Tensor) -> Tensor:
    """The gradient of the scores from the probabilities and their gradient."""
    weight, gradient, target = accumulated(p), accumulated(dp), targets(adj)
    mean = weight.new_zeros(adj.num_targets, p.shape[1]).index_add_(0, target, weight * gradient)
    return (weight * (gradient - mean[target])).to(p.dtype)
