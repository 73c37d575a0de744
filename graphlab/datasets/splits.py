"""Which nodes train, validate and test: the random splits of the citation, Coauthor and Amazon graphs.

Both rules (Shchur et al., "Pitfalls of Graph Neural Network Evaluation", 2018; as drawn for DAGNN, Liu et al., KDD
2020) permute the nodes of each class in turn, then all that are left over, with one ``randperm`` each: a seed of
PyTorch's CPU generator stands for one split.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import scipy.sparse as sp
import torch
from torch import Tensor


class Split(NamedTuple):
    """Boolean masks ``[num_nodes]``, disjoint."""

    train: Tensor
    val: Tensor
    test: Tensor


def planetoid_split(
    y: Tensor, generator: torch.Generator, num_train: int = 20, num_val: int = 500, num_test: int = 1000
) -> Split:
    """``num_train`` nodes a class train; of the others, shuffled, ``num_val`` validate and the next ``num_test`` test.

    Args:
        y: Integers ``[num_nodes]``, from 0; nodes of a negative class are in no mask.
        generator: Of the CPU.
        num_train, num_val, num_test: As said.

    Warns:
        UserWarning: for classes with too few nodes, and too few nodes left over; the masks are then smaller.
    """
    (train,), rest = _drawn(y, (num_train,), generator)
    if rest.numel() < num_val + num_test:
        warnings.warn(f"{rest.numel()} nodes are left for {num_val} validation and {num_test} test nodes", stacklevel=2)
    return Split(*(_mask(y, part) for part in (train, rest[:num_val], rest[num_val : num_val + num_test])))


def coauthor_split(
    y: Tensor,
    generator: torch.Generator,
    num_train: int = 20,
    num_val: int = 30,
    nodes: Tensor | None = None,
    compat: bool = False,
) -> Split:
    """``num_train`` nodes a class train, ``num_val`` a class validate, all others test.

    Args:
        y, generator: As :func:`planetoid_split`.
        num_train, num_val: As said.
        nodes: Split these alone, such as those of :func:`largest_component`; ascending ids.
        compat: Use positions in ``nodes`` as ids of nodes, as the published code does: unless ``nodes`` are the first
            ones, classes are then drawn unequally often and nodes outside of ``nodes`` are drawn.

    Warns:
        UserWarning: for classes with fewer nodes than asked for; the masks are then smaller.
    """
    (train, val), rest = _drawn(y if nodes is None else y[nodes], (num_train, num_val), generator)
    parts = (train, val, rest)
    return Split(*(_mask(y, part if nodes is None or compat else nodes[part]) for part in parts))


def largest_component(edge_index: Tensor, num_nodes: int) -> Tensor:
    """The nodes of the largest connected component of the undirected graph, ascending; of equal ones the first."""
    source, target = edge_index.cpu().numpy()
    matrix = sp.coo_array(([True] * len(source), (source, target)), (num_nodes, num_nodes))
    _, component = sp.csgraph.connected_components(matrix, directed=False)
    labels = torch.from_numpy(component).long()
    return (labels == torch.bincount(labels).argmax()).nonzero().squeeze(1)


def _drawn(y: Tensor, sizes: tuple[int, ...], generator: torch.Generator) -> tuple[list[Tensor], Tensor]:
    """So many nodes of each class, class by class, for each of ``sizes``; and all others, shuffled."""
    chosen: list[list[Tensor]] = [[] for _ in sizes]
    rest, few = [], []
    for number in range(int(y.max()) + 1 if y.numel() else 0):
        index = (y == number).nonzero().squeeze(1)
        index = index[torch.randperm(index.numel(), generator=generator)]
        if index.numel() < sum(sizes):
            few.append(f"class {number} has {index.numel()}")
        for part, size in zip(chosen, sizes, strict=True):
            part.append(index[:size])
            index = index[size:]
        rest.append(index)
    if few:
        warnings.warn(f"expected at least {sum(sizes)} nodes a class, but {', '.join(few)}", stacklevel=3)
    left = torch.cat(rest)
    return [torch.cat(part) for part in chosen], left[torch.randperm(left.numel(), generator=generator)]


def _mask(y: Tensor, index: Tensor) -> Tensor:
    return torch.zeros(y.numel(), dtype=torch.bool).index_fill_(0, index, True)
