r"""Laplacian positional encodings of a drawing.

.. math:: L = I - D^{-1/2} A D^{-1/2}

of the undirected graph without duplicate edges and loops. Small graphs are solved densely. Large ones are solved on
their *quotient* by an equitable partition: nodes of a cell :math:`a`, of size :math:`c_a`, all have :math:`n_{ab}`
neighbours in cell :math:`b` and :math:`d_a` in all. Eigenvectors :math:`y` of the symmetric

.. math:: S_{ab} = n_{ab} \sqrt{c_a / c_b} \,/\, \sqrt{d_a d_b}

spread to the nodes as :math:`y_a / \sqrt{c_a}` are eigenvectors of :math:`D^{-1/2} A D^{-1/2}` with the same
eigenvalues (Godsil and Royle, Algebraic Graph Theory, section 9.3). The cells come from the blocks, so nothing is as
large as the edges. Eigenvectors that are lost sum to zero inside every cell; they lie at eigenvalue 1 or close to it,
except those that sum to zero over the heads of a transformer, which is why every head is a cell.
"""

from __future__ import annotations

from math import prod
from typing import Literal

import torch
from scipy.linalg import eigh
from torch import Tensor

from graphlab.weightgraph.wiring import Block, Nodes, Wiring

DENSE_LIMIT = 2000
"""Graphs of fewer nodes are solved densely by default."""

_ARBITRARY = 1 - 1e-6
"""Eigenvalue 1 has a space of huge dimension in layered graphs; from here on, a basis would be arbitrary."""


def laplacian_positions(
    wiring: Wiring, k: int, method: Literal["auto", "dense", "quotient"] = "auto", dtype: torch.dtype = torch.float32
) -> Tensor:
    """``[num_nodes, k]``: unit eigenvectors of the smallest eigenvalues after the first, in ascending order.

    In every column the first of the largest entries is positive. Inside the space of a repeated eigenvalue the basis is
    the solver's. Columns that do not exist are zero, and in the quotient also those of eigenvalues 1 and above.

    Args:
        wiring: The drawing.
        k: How many.
        method: ``dense`` (cubic in the nodes), ``quotient`` (cubic in the cells), or ``auto``: by the number of nodes.
        dtype: Of the result; the computation is in float64.
    """
    dense = wiring.num_nodes < DENSE_LIMIT if method == "auto" else method == "dense"
    vectors = _dense_eigenvectors(wiring, k) if dense else _quotient_eigenvectors(wiring, k)
    positions = torch.zeros(wiring.num_nodes, k, dtype=dtype)
    positions[:, : vectors.shape[1]] = _signed(vectors)
    return positions


def laplacian_eigenvalues(wiring: Wiring) -> Tensor:
    """float64 ``[num_nodes]``: all eigenvalues, ascending. Dense: memory is quadratic in the nodes."""
    values: Tensor = torch.linalg.eigvalsh(_laplacian(wiring))
    return values


def equitable_cells(wiring: Wiring) -> Tensor:
    """int64 ``[num_cells + 1]``: where the cells begin, and the number of nodes.

    A cell is an interval of a range. All of its nodes have, block by block, the same number of neighbours in every
    cell. Nodes that a block ties to several nodes of their own (heads) are cells by themselves.
    """
    cuts = {name: {0, own.size} for name, own in wiring.nodes.items()}
    matchings = []
    for block in wiring.blocks:
        for name, offset, step, size in _extents(block):
            cuts[name].update(range(offset, offset + size + 1, step))
        if _is_matching(block):
            matchings.append(block)
    while sum(_propagate(block, cuts) for block in matchings):
        pass
    starts = [own.start + cut for name, own in wiring.nodes.items() for cut in sorted(cuts[name])[:-1]]
    return torch.tensor([*starts, wiring.num_nodes])


def _extents(block: Block) -> list[tuple[str, int, int, int]]:
    """Of both ends of a block: range, offset, nodes that are alike to the other end, nodes."""
    extents = []
    for name, offset, axes, others in (
        (block.source, block.source_offset, block.source_axes, block.target_axes),
        (block.target, block.target_offset, block.target_axes, block.source_axes),
    ):
        size = prod(block.shape[axis] for axis in axes)
        shared = [axis for axis in axes if axis in others]
        if not shared or _is_matching(block):
            step = size
        elif tuple(shared) == axes[: len(shared)]:
            step = prod(block.shape[axis] for axis in axes[len(shared) :])
        else:
            step = 1
        extents.append((name, offset, step, size))
    return extents


def _is_matching(block: Block) -> bool:
    """Whether the block joins the i-th source to the i-th target."""
    return block.source_axes == block.target_axes


def _propagate(block: Block, cuts: dict[str, set[int]]) -> bool:
    """Cut both ends of a matching where either is cut; whether that changed anything."""
    size = prod(block.shape[axis] for axis in block.source_axes)
    ends = ((cuts[block.source], block.source_offset), (cuts[block.target], block.target_offset))
    inside = {cut - offset for own, offset in ends for cut in own if 0 < cut - offset < size}
    before = sum(len(own) for own, _ in ends)
    for own, offset in ends:
        own.update(cut + offset for cut in inside)
    return sum(len(own) for own, _ in ends) > before


def _quotient_eigenvectors(wiring: Wiring, k: int) -> Tensor:
    """float64 ``[num_nodes, <= k]``: those after the first that are constant on cells, of eigenvalues below 1."""
    starts = equitable_cells(wiring)
    sizes = starts.diff()
    counts = _neighbour_counts(wiring, starts)
    pairs = counts * sizes.unsqueeze(1)
    # n_ab sqrt(c_a / c_b) is the number of pairs over sqrt(c_a c_b).
    scale = _inverse_root(counts.sum(dim=1)) / sizes.double().sqrt()
    similarity = scale.unsqueeze(1) * pairs * scale
    values, vectors = _smallest(torch.eye(len(sizes), dtype=torch.float64) - similarity, k)
    spread = vectors[:, values < _ARBITRARY] / sizes.double().sqrt().unsqueeze(1)
    return spread.repeat_interleave(sizes, dim=0)


def _neighbour_counts(wiring: Wiring, starts: Tensor) -> Tensor:
    """float64 ``[num_cells, num_cells]``: neighbours in each cell of the first node of each cell."""
    ends: dict[str, list[tuple[Block, bool]]] = {name: [] for name in wiring.nodes}
    for block in wiring.blocks:
        ends[block.source].append((block, True))
        ends[block.target].append((block, False))
    ranges = [own for own in wiring.nodes.values() for _ in range(_cells_of(own, starts))]
    counts = torch.zeros(len(ranges), len(ranges), dtype=torch.float64)
    for row, own, node in zip(counts, ranges, starts.tolist(), strict=False):
        found = [_neighbours(wiring, block, node - own.start, forward) for block, forward in ends[own.name]]
        unique = torch.unique(torch.cat(found)) if found else torch.empty(0, dtype=torch.int64)
        unique = unique[unique != node]
        row += torch.searchsorted(unique, starts).diff()
    return counts


def _cells_of(own: Nodes, starts: Tensor) -> int:
    return int(((starts >= own.start) & (starts < own.start + own.size)).sum())


def _neighbours(wiring: Wiring, block: Block, node: int, forward: bool) -> Tensor:
    """int64: neighbours along a block of a node of its source range, or, backward, of its target range."""
    near = (block.source, block.source_offset, block.source_axes)
    far = (block.target, block.target_offset, block.target_axes)
    if not forward:
        near, far = far, near
    (_, offset, axes), (name, far_offset, far_axes) = near, far
    place: dict[int, int] = {}
    index = node - offset
    if not 0 <= index < prod(block.shape[axis] for axis in axes):
        return torch.empty(0, dtype=torch.int64)
    for axis in reversed(axes):
        index, place[axis] = divmod(index, block.shape[axis])
    shape = [block.shape[axis] for axis in far_axes]
    start = wiring.nodes[name].start + far_offset
    numbers = torch.arange(start, start + prod(shape)).view(shape)
    return numbers[tuple(place.get(axis, slice(None)) for axis in far_axes)].flatten()


def _dense_eigenvectors(wiring: Wiring, k: int) -> Tensor:
    """float64 ``[num_nodes, <= k]``: all but the first eigenvector, as far as there are."""
    return _smallest(_laplacian(wiring), k)[1]


def _smallest(matrix: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` smallest eigenvalues of a symmetric matrix after the first, as far as there are, and eigenvectors."""
    last = min(k, len(matrix) - 1)
    if last < 1:
        return matrix.new_empty(0), matrix.new_empty(len(matrix), 0)
    values, vectors = eigh(matrix.numpy(), subset_by_index=[1, last])
    return torch.from_numpy(values), torch.from_numpy(vectors)


def _laplacian(wiring: Wiring) -> Tensor:
    """float64 ``[num_nodes, num_nodes]``."""
    source, target = wiring.edge_index()
    adjacency = torch.zeros(wiring.num_nodes, wiring.num_nodes, dtype=torch.float64)
    adjacency[source, target] = 1
    adjacency[target, source] = 1
    adjacency.fill_diagonal_(0)
    scale = _inverse_root(adjacency.sum(dim=1))
    return torch.eye(wiring.num_nodes, dtype=torch.float64) - scale.unsqueeze(1) * adjacency * scale


def _inverse_root(degrees: Tensor) -> Tensor:
    """``degrees ** -0.5``, zero for isolated nodes."""
    return degrees.clamp(min=1).rsqrt() * (degrees > 0)


def _signed(vectors: Tensor) -> Tensor:
    """Each column with the sign that makes the first of its largest entries, up to rounding, positive."""
    largest = vectors.abs() > (1 - 1e-6) * vectors.abs().amax(dim=0)
    first = largest.int().argmax(dim=0, keepdim=True)
    return vectors * vectors.gather(0, first).sign()
