r"""Attention over the edges into each node, without a tensor of the size of edges times channels.

.. math:: y_i = \sum_{e: j \to i} m_e\, p_e\, v_j, \qquad p_e = \frac{\exp s_e}{\sum_{e': \cdot \to i} \exp s_{e'}}

for each head, with scores of

* :func:`graph_attention`: :math:`s_e = \langle q_i, k_j \rangle / \sqrt d + b_e` (Vaswani et al. 2017, eq. 1),
* :func:`gat_attention`: :math:`s_e = \mathrm{LeakyReLU}(\alpha_i + \beta_j + b_e)` (Velickovic et al. 2018, eq. 3),
* :func:`gatv2_attention`: :math:`s_e = \langle a, \mathrm{LeakyReLU}(q_i + k_j) \rangle` (Brody et al. 2022, eq. 7)

and optional factors :math:`m_e` for dropout. All are one operator: the second is the third on a single channel with
:math:`a = 1`. The forward pass saves :math:`\log \sum \exp s_e` of each node, and the gradient computes scores again:

.. math:: \bar s_e = p_e (m_e \langle \bar y_i, v_j \rangle - \langle \bar y_i, y_i \rangle), \qquad
          \bar v_j = \sum_{e: j \to i} m_e p_e \bar y_i.

A node without in-edges, and one all of whose scores are :math:`-\infty`, gets zeros.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphlab.ops.adjacency import Adjacency, as_adjacency
from graphlab.ops.dispatch import implement
from graphlab.ops.library import ADJACENCY, accumulated, define, transposed
from graphlab.ops.spmm import targets


def graph_attention(
    adj: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, keep: Tensor | None = None
) -> Tensor:
    r"""Scaled dot-product attention along edges: :math:`s_e = \langle q_i, k_j \rangle / \sqrt d + b_e`.

    Args:
        adj: An :class:`~graphlab.ops.Adjacency`, an ``edge_index`` or ``(rowptr, col)``.
        q: Queries of the targets, ``[num_targets, heads, d]``.
        k: Keys of the sources, ``[num_sources, heads, d]``.
        v: Values of the sources, ``[num_sources, heads, channels]``.
        bias: Added to the scores, ``[num_edges, heads]`` in the order of the edges; -inf leaves an edge out.
        keep: Factors of the weights after the softmax, ``[num_edges, heads]``: 0 or ``1 / (1 - p)`` for dropout. Not
            differentiable.

    Returns:
        ``[num_targets, heads, channels]`` in the dtype of the arguments; half precision is computed in float32.

    Raises:
        ValueError: for sizes, dtypes or devices that do not fit, and for ``keep`` that requires a gradient.
    """
    given = as_adjacency(adj, k.shape[0], q.shape[0])
    _check(given, {"q": q, "k": k, "v": v}, {"bias": bias, "keep": keep})
    y: Tensor = _attention(*given, q * (1 / math.sqrt(max(q.shape[2], 1))), k, v, None, bias, keep, 1.0)[0]
    return y


def gat_attention(
    adj: Any,
    target: Tensor,
    source: Tensor,
    v: Tensor,
    bias: Tensor | None = None,
    keep: Tensor | None = None,
    negative_slope: float = 0.2,
) -> Tensor:
    r"""The attention of GAT: :math:`s_e = \mathrm{LeakyReLU}(\alpha_i + \beta_j + b_e)`.

    Args:
        adj, v, bias, keep: As of :func:`graph_attention`; the bias, an edge's own term, is added before the LeakyReLU.
        target: The targets' terms :math:`\alpha`, ``[num_targets, heads]``.
        source: The sources' terms :math:`\beta`, ``[num_sources, heads]``.
        negative_slope: Of the LeakyReLU.

    Returns, raises:
        As :func:`graph_attention`.
    """
    given = as_adjacency(adj, v.shape[0], target.shape[0])
    if target.dim() != 2 or source.dim() != 2:
        raise ValueError(
            f"target, source: expected [num_nodes, heads], got {list(target.shape)} and {list(source.shape)}"
        )
    q, k = target.unsqueeze(2), source.unsqueeze(2)
    _check(given, {"target": q, "source": k, "v": v}, {"bias": bias, "keep": keep})
    y: Tensor = _attention(*given, q, k, v, q.new_ones(q.shape[1:]), bias, keep, negative_slope)[0]
    return y


def gatv2_attention(
    adj: Any, target: Tensor, source: Tensor, att: Tensor, keep: Tensor | None = None, negative_slope: float = 0.2
) -> Tensor:
    r"""The attention of GATv2: :math:`s_e = \langle a, \mathrm{LeakyReLU}(q_i + k_j) \rangle`, and :math:`v_j = k_j`.

    Args:
        adj, keep: As of :func:`graph_attention`.
        target: :math:`q`, ``[num_targets, heads, channels]``.
        source: :math:`k`, which is also what is sent, ``[num_sources, heads, channels]``.
        att: :math:`a`, ``[heads, channels]``.
        negative_slope: Of the LeakyReLU.

    Returns, raises:
        As :func:`graph_attention`.
    """
    given = as_adjacency(adj, source.shape[0], target.shape[0])
    _check(given, {"target": target, "source": source}, {"keep": keep})
    if att.shape != source.shape[1:] or att.dtype != source.dtype or att.device != source.device:
        raise ValueError(
            f"att: expected {source.dtype} {list(source.shape[1:])} on {source.device}, got {att.dtype} "
            f"{list(att.shape)} on {att.device}"
        )
    y: Tensor = _attention(*given, target, source, source, att, None, keep, negative_slope)[0]
    return y


def _check(adj: Adjacency, nodes: dict[str, Tensor], edges: dict[str, Tensor | None]) -> None:
    """Of ``nodes`` the first are the targets', the others the sources', ``[num_nodes, heads, channels]``."""
    names = list(nodes)
    q, k = nodes[names[0]], nodes[names[1]]
    for place, (name, x) in enumerate(nodes.items()):
        rows = adj.num_targets if place == 0 else k.shape[0]
        if x.dim() != 3 or x.shape[0] != rows or x.shape[1] != q.shape[1] or not x.is_floating_point():
            raise ValueError(
                f"{name}: expected floating [{rows}, heads, channels] with the {q.shape[1]} heads of {names[0]}, got "
                f"{x.dtype} {list(x.shape)}"
            )
        if x.dtype != q.dtype or x.device != adj.col.device:
            raise ValueError(f"{name} is {x.dtype} on {x.device}, {names[0]} {q.dtype}, adj on {adj.col.device}")
    if q.shape[2] != k.shape[2]:
        raise ValueError(f"{names[1]}: expected the {q.shape[2]} channels of {names[0]}, got {k.shape[2]}")
    for name, e in edges.items():
        if e is not None and (e.shape != (adj.num_edges, q.shape[1]) or e.dtype != q.dtype or e.device != q.device):
            raise ValueError(
                f"{name}: expected {q.dtype} [{adj.num_edges}, {q.shape[1]}] on {q.device}, got {e.dtype} "
                f"{list(e.shape)} on {e.device}"
            )
    keep = edges["keep"]
    if keep is not None and keep.requires_grad:
        raise ValueError("keep: expected factors that do not require a gradient")


# ---- the operator -------------------------------------------------------------------------------------------------

_GIVEN = f"{ADJACENCY}, Tensor q, Tensor k, Tensor v, Tensor? att, Tensor? bias, Tensor? keep, float slope"


def _fake(*arguments: Any) -> tuple[Tensor, Tensor]:
    rowptr, v = arguments[0], arguments[8]
    shape = (rowptr.shape[0] - 1, v.shape[1])
    return v.new_empty(*shape, v.shape[2]), accumulated(v[:0]).new_empty(shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.slope = inputs
    ctx.save_for_backward(*tensors, *output)
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, dy: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    *parts, q, k, v, att, bias, keep, y, norm = ctx.saved_tensors
    adj = transposed(Adjacency(*parts), k.shape[0]).transposed
    dq, dk, dv, datt, dbias = _gradient(*adj, q, k, v, att, bias, keep, ctx.slope, y, norm, dy.contiguous())
    datt, dbias = datt if att is not None else None, dbias if bias is not None else None
    return (*(None,) * 6, dq, dk, dv, datt, dbias, None, None)


def _gradient_fake(*arguments: Any) -> tuple[Tensor, ...]:
    q, k, v, att, bias = arguments[6:11]
    empty = q.new_empty(0, 0)
    return tuple(empty.clone() if part is None else q.new_empty(part.shape) for part in (q, k, v, att, bias))


_attention = define("attention", f"({_GIVEN}) -> (Tensor, Tensor)", _fake, _save, _backward)
_gradient = define(
    "attention_gradient",
    f"({_GIVEN}, Tensor y, Tensor norm, Tensor dy) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _gradient_fake,
)


# ---- definitions --------------------------------------------------------------------------------------------------


@implement("attention", "reference")
def reference(
    adj: Adjacency,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    att: Tensor | None,
    bias: Tensor | None,
    keep: Tensor | None,
    slope: float,
) -> tuple[Tensor, Tensor]:
    """The attended values, and the logarithm of each softmax's denominator: +inf where all scores are -inf.

    Scores are inner products with the bias added, or with ``att`` those of GATv2 with the bias added to each channel.
    """
    score, target = _scores(adj, q, k, att, bias, slope)[0], targets(adj)
    index = target.unsqueeze(1).expand_as(score)
    top = score.new_full((adj.num_targets, q.shape[1]), -math.inf).scatter_reduce(0, index, score, "amax")
    top = torch.where(top == -math.inf, 0, top)
    weight = (score - top[target]).exp()
    total = torch.zeros_like(top).index_add_(0, target, weight)
    norm = torch.where(total == 0, math.inf, top + total.log())
    weight = weight / torch.where(total == 0, 1, total)[target] * _at_places(adj, keep, 1)
    y = score.new_zeros(adj.num_targets, *v.shape[1:])
    y.index_add_(0, target, weight.unsqueeze(2) * accumulated(v)[adj.col.long()])
    return y.to(v.dtype), norm


@implement("attention_gradient", "reference")
def gradient_reference(
    adj: Adjacency,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    att: Tensor | None,
    bias: Tensor | None,
    keep: Tensor | None,
    slope: float,
    y: Tensor,
    norm: Tensor,
    dy: Tensor,
) -> tuple[Tensor, ...]:
    """The gradients of ``q, k, v, att, bias``; empty of what is ``None``."""
    target, source = targets(adj), adj.col.long()
    score, inner = _scores(adj, q, k, att, bias, slope)
    weight, kept = (score - norm[target]).exp(), _at_places(adj, keep, 1)
    sent = accumulated(dy)[target]
    mean = (accumulated(dy) * accumulated(y)).sum(dim=2)
    dscore = weight * ((sent * accumulated(v)[source]).sum(dim=2) * kept - mean[target])
    dv = score.new_zeros(v.shape).index_add_(0, source, (weight * kept).unsqueeze(2) * sent)
    dq, dk = score.new_zeros(q.shape), score.new_zeros(k.shape)
    datt, dbias = score.new_empty(0, 0), dscore
    if att is None:
        dq.index_add_(0, target, dscore.unsqueeze(2) * accumulated(k)[source])
        dk.index_add_(0, source, dscore.unsqueeze(2) * accumulated(q)[target])
    else:
        part = dscore.unsqueeze(2) * torch.where(inner > 0, 1, inner.new_tensor(slope))
        datt = (part * inner).sum(dim=0)
        dinner = part * accumulated(att)
        dq.index_add_(0, target, dinner)
        dk.index_add_(0, source, dinner)
        dbias = dinner.sum(dim=2)
    if bias is None:
        dbias = score.new_empty(0, 0)
    elif adj.perm is not None:
        dbias = torch.empty_like(dbias).index_copy_(0, adj.perm.long(), dbias)
    dtype = q.dtype
    return dq.to(dtype), dk.to(dtype), dv.to(dtype), datt.to(dtype), dbias.to(dtype)


def _scores(
    adj: Adjacency, q: Tensor, k: Tensor, att: Tensor | None, bias: Tensor | None, slope: float
) -> tuple[Tensor, Tensor]:
    """``[num_edges, heads]``, the score at each place, and what the LeakyReLU is applied to."""
    queries, keys, extra = accumulated(q)[targets(adj)], accumulated(k)[adj.col.long()], _at_places(adj, bias, 0)
    if att is None:
        return (queries * keys).sum(dim=2) + extra, queries
    inner = queries + keys + (extra if bias is None else extra.unsqueeze(2))
    return (accumulated(att) * torch.where(inner > 0, inner, inner * slope)).sum(dim=2), inner


def _at_places(adj: Adjacency, edges: Tensor | None, default: float) -> Tensor:
    """What is given of edges, at the place of each."""
    if edges is None:
        return torch.tensor(default, device=adj.col.device, dtype=torch.float32)
    return accumulated(edges if adj.perm is None else edges[adj.perm.long()])
