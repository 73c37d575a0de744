r"""``Adjacency``: which nodes send messages to which, sorted by target, and the same sorted by source.

Every primitive reads messages :math:`j \to i` target by target. ``rowptr[i]`` to ``rowptr[i + 1]`` are the places of
the edges into :math:`i`, ``col`` their sources; ``perm`` says which edge, in the person's order, is at each place.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

INT32_LIMIT = 2**31 - 1
_MEMORY = 256

Made = TypeVar("Made")


class Adjacency(NamedTuple):
    """A sparse matrix of ``num_targets`` rows and as many columns as there are sources; tensors only.

    Attributes:
        rowptr: int32 or int64 ``[num_targets + 1]``.
        col: ``[num_edges]``, the source of the edge at each place; of the same dtype.
        perm: ``[num_edges]``, the edge at each place, or ``None`` if the edges are in this order already. Weights of
            edges are given, and their gradients come back, in the order of the edges.
        t_rowptr, t_col, t_perm: The same of the transpose: rows are sources. ``t_rowptr`` and ``t_col`` are ``None`` in
            an adjacency made of ``(rowptr, col)`` alone; backward passes then compute them.
    """

    rowptr: Tensor
    col: Tensor
    perm: Tensor | None = None
    t_rowptr: Tensor | None = None
    t_col: Tensor | None = None
    t_perm: Tensor | None = None

    @property
    def transposed(self) -> Adjacency:
        """The adjacency of the same edges turned round, which are numbered as before.

        Raises:
            ValueError: if it was never computed.
        """
        if self.t_rowptr is None or self.t_col is None:
            raise ValueError("adj: made of (rowptr, col) alone; adjacency(edge_index) also makes the transpose")
        return Adjacency(self.t_rowptr, self.t_col, self.t_perm, self.rowptr, self.col, self.perm)

    @property
    def num_targets(self) -> int:
        return self.rowptr.numel() - 1

    @property
    def num_edges(self) -> int:
        return self.col.numel()


def adjacency(edge_index: Tensor, num_nodes: int | tuple[int, int] | None = None) -> Adjacency:
    """Sort the edges of a graph once, for all that is computed on it.

    Args:
        edge_index: Integers ``[2, num_edges]``: source, then target, of each edge; also a PyG ``EdgeIndex``.
        num_nodes: Of the graph, or ``(num_sources, num_targets)`` of a bipartite one. Default: one more than the
            largest number that occurs (the size that an ``EdgeIndex`` has, if it knows it).

    Returns:
        With int32 indices if the sizes allow it. Edges into one target keep their order.

    Raises:
        ValueError: for another shape or dtype, and for nodes that are negative or too large.
    """
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise ValueError(f"edge_index: expected the shape [2, num_edges], got {list(edge_index.shape)}")
    if edge_index.is_floating_point() or edge_index.is_complex() or edge_index.dtype == torch.bool:
        raise ValueError(f"edge_index: expected integers, got {edge_index.dtype}")
    known = _known_size(edge_index)
    source, target = edge_index.as_subclass(Tensor).long().unbind(0)
    if num_nodes is None:
        num_sources, num_targets = known or [int(edge_index.max()) + 1 if edge_index.numel() else 0] * 2
    else:
        num_sources, num_targets = num_nodes if isinstance(num_nodes, tuple) else (num_nodes, num_nodes)
    if min(num_sources, num_targets) < 0:
        raise ValueError(f"num_nodes: expected at least 0, got {num_nodes}")
    check_range("edge_index: source", source, num_sources)
    check_range("edge_index: target", target, num_targets)
    dtype = index_dtype(source.numel(), num_sources, num_targets)
    ordered = bool((target.diff() >= 0).all())
    perm = None if ordered else target.argsort(stable=True)
    col = source if perm is None else source[perm]
    rows = target if perm is None else target[perm]
    t_perm = source.argsort(stable=True)
    made = Adjacency(
        rowptr=pointer(rows, num_targets).to(dtype),
        col=col.to(dtype),
        perm=None if perm is None else perm.to(dtype),
        t_rowptr=pointer(col, num_sources).to(dtype),
        t_col=target[t_perm].to(dtype),
        t_perm=t_perm.to(dtype),
    )
    remembered(made.col, ("checked", num_sources, identity(made)), lambda: (made.rowptr, *made[2:]))
    return made


def as_adjacency(adj: Any, num_sources: int, num_targets: int | None = None) -> Adjacency:
    """What primitives take for an adjacency, sorted and checked; done once for each tensor that is given again.

    Args:
        adj: An :class:`Adjacency`, an ``edge_index`` (or ``EdgeIndex``), or ``(rowptr, col)``.
        num_sources: Rows of the features.
        num_targets: Of a bipartite ``edge_index``; default: what an ``EdgeIndex`` says, else as many.

    Raises:
        ValueError: for anything else, for features of another number of nodes, for more edges or nodes than the
            indices' dtype can number, and as :func:`adjacency`.
    """
    if isinstance(adj, Tensor):
        known = _known_size(adj)
        if num_targets is None:
            num_targets = num_sources if known is None else known[1]
        size = (num_sources, num_targets)
        made: Adjacency = remembered(adj, size, lambda: adjacency(adj, size))
        return made
    if not isinstance(adj, Adjacency):
        if not (isinstance(adj, tuple | list) and len(adj) == 2 and all(isinstance(part, Tensor) for part in adj)):
            raise ValueError(
                f"adj: expected an Adjacency, an edge_index [2, num_edges] or (rowptr, col), got {type(adj).__name__}"
            )
        adj = Adjacency(*adj)
    if adj.t_rowptr is not None and adj.t_rowptr.shape[0] - 1 != num_sources:
        raise ValueError(
            f"adj: it has {adj.t_rowptr.shape[0] - 1} source nodes, and the features have {num_sources} rows"
        )
    if not torch.compiler.is_compiling():
        remembered(adj.col, ("checked", num_sources, identity(adj)), lambda: _check(adj, num_sources))
    checked: Adjacency = adj
    return checked


def identity(adj: Adjacency) -> tuple[int, ...]:
    """Which tensors an adjacency consists of besides ``col``, and their versions.

    It holds while they live, so that what is remembered under it has to contain them.
    """
    rest = (adj.rowptr, *adj[2:])
    return (*map(id, rest), *(-1 if part is None or part.is_inference() else part._version for part in rest))


def _check(adj: Adjacency, num_sources: int) -> Any:
    """Raises ``ValueError`` unless this is an adjacency; sizes, dtypes and devices first, then the values."""
    edges, kinds = adj.num_edges, (adj.col.dtype, adj.col.device)
    sizes = [("rowptr", None), ("col", edges), ("perm", edges), ("t_rowptr", None), ("t_col", edges), ("t_perm", edges)]
    for (name, size), part in zip(sizes, adj, strict=True):
        if part is None:
            continue
        if part.dim() != 1 or part.numel() == 0 if size is None else part.shape != (size,):
            raise ValueError(
                f"adj: {name} must have the shape [{'nodes + 1' if size is None else size}], got {list(part.shape)}"
            )
        if part.dtype not in (torch.int32, torch.int64) or (part.dtype, part.device) != kinds:
            raise ValueError(
                f"adj: expected int32 or int64 throughout on one device, got {name} {part.dtype} on {part.device} and "
                f"col {kinds[0]} on {kinds[1]}"
            )
    if adj.col.dtype == torch.int32 and index_dtype(edges, num_sources, adj.num_targets) != torch.int32:
        raise ValueError(f"adj: int32 cannot number {edges} edges of {num_sources} and {adj.num_targets} nodes")
    _check_order(adj.rowptr, adj.col, adj.perm, num_sources, "")
    if adj.t_rowptr is not None and adj.t_col is not None:
        _check_order(adj.t_rowptr, adj.t_col, adj.t_perm, adj.num_targets, "t_")
    return adj.rowptr, *adj[2:]


def _check_order(rowptr: Tensor, col: Tensor, perm: Tensor | None, num_columns: int, prefix: str) -> None:
    if int(rowptr[0]) != 0 or int(rowptr[-1]) != col.numel() or not bool((rowptr[1:] >= rowptr[:-1]).all()):
        raise ValueError(
            f"adj: {prefix}rowptr must rise from 0 to the {col.numel()} entries of {prefix}col and never fall"
        )
    check_range(f"adj: {prefix}col", col, num_columns)
    if perm is not None:
        check_range(f"adj: {prefix}perm", perm, col.numel())
        if bool((torch.bincount(perm, minlength=col.numel()) != 1).any()):
            raise ValueError(f"adj: {prefix}perm must name each of the {col.numel()} edges once")


def pointer(rows: Tensor, num_rows: int) -> Tensor:
    """int64 ``[num_rows + 1]``: where each row begins once these row numbers are sorted."""
    counts = torch.bincount(rows, minlength=num_rows)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def index_dtype(num_edges: int, num_sources: int, num_targets: int) -> torch.dtype:
    """int32 where it can number the edges and the nodes, else int64."""
    return torch.int32 if max(num_edges, num_sources, num_targets) <= INT32_LIMIT else torch.int64


def check_range(name: str, index: Tensor, size: int) -> None:
    """Raises ``ValueError`` for indices outside of ``0 .. size - 1``."""
    if index.numel() == 0:
        return
    least, most = (int(bound) for bound in torch.aminmax(index))
    if least < 0 or most >= size:
        raise ValueError(f"{name} must lie in 0 .. {size - 1}, found {least if least < 0 else most}")


def _known_size(edge_index: Tensor) -> tuple[int, int] | None:
    size = getattr(edge_index, "sparse_size", None)
    if size is None:
        return None
    rows, columns = size()
    return None if rows is None or columns is None else (rows, columns)


_memory: dict[int, tuple[weakref.ref[Tensor], int, dict[Any, Any]]] = {}
"""Tensors by their ids, their versions, and what was made of each; entries go when their tensors do."""


def remembered(tensor: Tensor, key: Any, make: Callable[[], Made]) -> Made:
    """What was made of a tensor before, under the same key, if it is still that tensor, unchanged.

    What is made must not refer to the tensor, which would keep both for ever.
    """
    if tensor.is_inference():  # it does not count its changes
        return make()
    number = id(tensor)
    found = _memory.get(number)
    if found is None or found[0]() is not tensor or found[1] != tensor._version:
        while len(_memory) >= _MEMORY:
            _memory.pop(next(iter(_memory)), None)
        found = (weakref.ref(tensor, functools.partial(_forget, number)), tensor._version, {})
        _memory[number] = found
    values = found[2]
    if key not in values:
        values[key] = make()
    made: Made = values[key]
    return made


def _forget(number: int, gone: weakref.ref[Tensor], memory: dict[int, Any] = _memory) -> None:
    """Called when a tensor is gone, which may be when this module is (hence ``memory``)."""
    if number in memory and memory[number][0] is gone:
        del memory[number]
