r"""What the neighbourhoods of two nodes share, for many pairs of nodes.

For a pair :math:`(i, j)` and the sets :math:`N(v)` of sources of edges into :math:`v`

.. math:: N(i) \cap N(j), \qquad N(i) \setminus N(j), \qquad N(j) \setminus N(i)

as counts, as lists, or as sums :math:`\sum_{u} x_u` over one of them, for which no list is made (Wang, Yang, Zhang,
"Neural Common Neighbor with Completion for Link Prediction", ICLR 2024, pools node features so). The shorter list is
walked and the longer one searched: :math:`\min(d_i, d_j) \log \max(d_i, d_j)` steps a pair, not :math:`d_i + d_j`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from graphlab.ops.adjacency import Adjacency, as_adjacency, check_range, pointer, remembered
from graphlab.ops.dispatch import implement
from graphlab.ops.library import ADJACENCY, accumulated, define

Part = Literal["common", "first", "second"]
_PARTS: tuple[Part, ...] = ("common", "first", "second")

GATHERED = 1 << 22
"""Entries of neighbour lists that are gathered at a time."""


class Nodes(NamedTuple):
    """A list of nodes for each pair, ascending: ``nodes[rowptr[b]:rowptr[b + 1]]``; a ``(rowptr, col)``."""

    rowptr: Tensor
    nodes: Tensor


class Overlap(NamedTuple):
    """Neighbours of both nodes of each pair, of the first alone, and of the second alone."""

    common: Nodes
    first: Nodes
    second: Nodes


def neighbor_overlap(adj: Any, pairs: Tensor) -> Overlap:
    """The three lists of each pair; memory is that of the result.

    Args:
        adj: An :class:`~graphlab.ops.Adjacency`, an ``edge_index`` or ``(rowptr, col)`` of as many sources as targets.
            Edges that occur several times count once.
        pairs: Integers ``[2, num_pairs]``.

    Raises:
        ValueError: for pairs of another shape or dtype, or of nodes that the graph does not have.
    """
    given, pairs = _checked(adj, pairs)
    found: list[Tensor] = _lists(*given, pairs)
    return Overlap(*(Nodes(found[2 * place], found[2 * place + 1]) for place in range(3)))


def overlap_counts(adj: Any, pairs: Tensor) -> Tensor:
    """int64 ``[num_pairs, 3]``: how many neighbours both have, only the first, only the second; as
    :func:`neighbor_overlap` otherwise."""
    given, pairs = _checked(adj, pairs)
    counts: Tensor = _counts(*given, pairs)
    return counts


def overlap_pool(adj: Any, pairs: Tensor, x: Tensor, part: Part = "common") -> Tensor:
    """``[num_pairs, channels]``: the sum of ``x`` over one of the three lists of each pair; as :func:`neighbor_overlap`
    otherwise.

    Args:
        adj, pairs: As there.
        x: Features of the nodes, ``[num_nodes, channels]``; the result is differentiable in them.
        part: ``common``, ``first`` or ``second``.

    Raises:
        ValueError: as there, and for features that do not fit.
    """
    given, pairs = _checked(adj, pairs, x.shape[0])
    if part not in _PARTS:
        raise ValueError(f"part: expected {', '.join(_PARTS)}, got {part!r}")
    if x.dim() != 2 or not x.is_floating_point() or x.device != pairs.device:
        raise ValueError(
            f"x: expected floating [num_nodes, channels] on {pairs.device}, got {x.dtype} {list(x.shape)} on {x.device}"
        )
    pooled: Tensor = _pool(*given, pairs, x, _PARTS.index(part))
    return pooled


def _checked(adj: Any, pairs: Tensor, num_nodes: int | None = None) -> tuple[Adjacency, Tensor]:
    if pairs.dim() != 2 or pairs.shape[0] != 2 or pairs.is_floating_point():
        raise ValueError(f"pairs: expected integers [2, num_pairs], got {pairs.dtype} {list(pairs.shape)}")
    given = as_adjacency(adj, _num_nodes(adj) if num_nodes is None else num_nodes)
    if given.t_rowptr is not None and given.t_rowptr.numel() != given.rowptr.numel():
        raise ValueError(
            f"adj: expected as many targets as sources, got {given.num_targets} and {given.t_rowptr.numel() - 1}"
        )
    if num_nodes not in (None, given.num_targets):
        raise ValueError(f"x: expected {given.num_targets} rows, one a node, got {num_nodes}")
    if pairs.device != given.col.device:
        raise ValueError(f"pairs is on {pairs.device}, adj on {given.col.device}")
    return given, pairs.long()


def _num_nodes(adj: Any) -> int:
    if isinstance(adj, Adjacency):
        return adj.num_targets if adj.t_rowptr is None else adj.t_rowptr.numel() - 1
    if isinstance(adj, Tensor):
        return int(adj.max()) + 1 if adj.numel() else 0
    return int(adj[0].numel()) - 1


def prepared(adj: Adjacency, pairs: Tensor) -> Adjacency:
    """The adjacency with ascending, distinct sources in each row; made once. Implementations call it first.

    Raises:
        ValueError: for pairs of nodes that it does not have.
    """
    check_range("pairs", pairs, adj.num_targets)
    return remembered(adj.col, "distinct", lambda: _distinct(adj))


def _distinct(adj: Adjacency) -> Adjacency:
    rows = torch.repeat_interleave(adj.rowptr.diff().long(), output_size=adj.num_edges)
    if bool(((adj.col.diff() > 0) | (rows.diff() > 0)).all()):
        return Adjacency(adj.rowptr, adj.col)
    size = adj.num_targets
    keys = torch.unique(rows * size + adj.col)
    return Adjacency(pointer(keys // size, size).to(adj.col.dtype), (keys % size).to(adj.col.dtype))


# ---- operators ----------------------------------------------------------------------------------------------------


def _counts_fake(*arguments: Any) -> Tensor:
    pairs = arguments[6]
    result: Tensor = pairs.new_empty(pairs.shape[1], 3)
    return result


def _lists_fake(*arguments: Any) -> list[Tensor]:
    pairs = arguments[6]
    context = torch.library.get_ctx()
    parts = []
    for _ in range(3):
        parts += [pairs.new_empty(pairs.shape[1] + 1), pairs.new_empty(context.new_dynamic_size())]
    return parts


def _pool_fake(*arguments: Any) -> Tensor:
    pairs, x = arguments[6:8]
    result: Tensor = x.new_empty(pairs.shape[1], x.shape[1])
    return result


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *adj, pairs, x, part = inputs
    ctx.save_for_backward(*adj, pairs)
    ctx.part, ctx.num_nodes = part, x.shape[0]


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    return (*(None,) * 7, _pool_gradient(*ctx.saved_tensors, dy.contiguous(), ctx.num_nodes, ctx.part), None)


def _gradient_fake(*arguments: Any) -> Tensor:
    dy, num_nodes = arguments[7:9]
    result: Tensor = dy.new_empty(num_nodes, dy.shape[1])
    return result


def _gradient_save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *adj, pairs, _, _, ctx.part = inputs
    ctx.save_for_backward(*adj, pairs)


def _gradient_backward(ctx: Any, ddx: Tensor) -> tuple[Tensor | None, ...]:
    return (*(None,) * 7, _pool(*ctx.saved_tensors, ddx.contiguous(), ctx.part), None, None)


_counts = define("overlap_counts", f"({ADJACENCY}, Tensor pairs) -> Tensor", _counts_fake)
_lists = define("overlap_lists", f"({ADJACENCY}, Tensor pairs) -> Tensor[]", _lists_fake)
_pool = define(
    "overlap_pool", f"({ADJACENCY}, Tensor pairs, Tensor x, int part) -> Tensor", _pool_fake, _save, _backward
)
_pool_gradient = define(
    "overlap_pool_gradient",
    f"({ADJACENCY}, Tensor pairs, Tensor dy, SymInt num_nodes, int part) -> Tensor",
    _gradient_fake,
    _gradient_save,
    _gradient_backward,
)


# ---- definitions --------------------------------------------------------------------------------------------------


@implement("overlap_lists", "reference")
def lists_reference(adj: Adjacency, pairs: Tensor) -> list[Tensor]:
    """Intersections of sorted keys (pair, node), for as many pairs at a time as :data:`GATHERED` allows."""
    adj = prepared(adj, pairs)
    degree = adj.rowptr.diff().long()
    found: list[list[Tensor]] = [[], [], []]
    for chunk in chunks(adj, pairs):
        first, second = (_keys(adj, degree, pairs[end, chunk], chunk.start) for end in (0, 1))
        shared = torch.isin(first, second, assume_unique=True)
        found[0].append(first[shared])
        found[1].append(first[~shared])
        found[2].append(second[~torch.isin(second, first, assume_unique=True)])
    results = []
    for keys in (torch.cat(part) if part else pairs.new_empty(0) for part in found):
        results += [pointer(keys // adj.num_targets, pairs.shape[1]), keys % max(adj.num_targets, 1)]
    return results


def chunks(adj: Adjacency, pairs: Tensor) -> Iterator[slice]:
    """Ranges of pairs whose lists have at most :data:`GATHERED` entries together, or of one pair."""
    degree = adj.rowptr.diff().long()
    gathered = (degree[pairs[0]] + degree[pairs[1]]).cumsum(0)
    start = 0
    while start < pairs.shape[1]:
        before = int(gathered[start - 1]) if start else 0
        stop = max(start + 1, int(torch.searchsorted(gathered, before + GATHERED, right=True)))
        yield slice(start, stop)
        start = stop


def _keys(adj: Adjacency, degree: Tensor, nodes: Tensor, first_pair: int) -> Tensor:
    """int64: ``pair * num_nodes + neighbour`` for each neighbour of each pair's node, ascending."""
    counts = degree[nodes]
    pair = torch.repeat_interleave(counts)
    begin = adj.rowptr.long()[nodes] - (counts.cumsum(0) - counts)
    place = torch.arange(pair.numel(), device=nodes.device) + begin[pair]
    return (pair + first_pair) * adj.num_targets + adj.col.long()[place]


@implement("overlap_counts", "reference")
def counts_reference(adj: Adjacency, pairs: Tensor) -> Tensor:
    return torch.stack([rowptr.diff() for rowptr in lists_reference(adj, pairs)[::2]], dim=1)


@implement("overlap_pool", "reference")
def pool_reference(adj: Adjacency, pairs: Tensor, x: Tensor, part: int) -> Tensor:
    """Sums over the lists of as many pairs at a time as :data:`GATHERED` allows."""
    adj, values = prepared(adj, pairs), accumulated(x)
    pooled = values.new_zeros(pairs.shape[1], x.shape[1])
    for chunk in chunks(adj, pairs):
        pair, nodes = _members(adj, pairs[:, chunk], part)
        pooled[chunk].index_add_(0, pair, values[nodes])
    return pooled.to(x.dtype)


@implement("overlap_pool_gradient", "reference")
def pool_gradient_reference(adj: Adjacency, pairs: Tensor, dy: Tensor, num_nodes: int, part: int) -> Tensor:
    """Each node gets the gradients of the pairs on whose list it is."""
    adj, gradient = prepared(adj, pairs), accumulated(dy)
    dx = gradient.new_zeros(num_nodes, dy.shape[1])
    for chunk in chunks(adj, pairs):
        pair, nodes = _members(adj, pairs[:, chunk], part)
        dx.index_add_(0, nodes, gradient[chunk][pair])
    return dx.to(dy.dtype)


def _members(adj: Adjacency, pairs: Tensor, part: int) -> tuple[Tensor, Tensor]:
    """The pair of each entry of one of the three lists, and the entries."""
    rowptr, nodes = lists_reference(adj, pairs)[2 * part :][:2]
    return torch.repeat_interleave(rowptr.diff(), output_size=nodes.numel()), nodes
