"""Isomorphism of directed graphs with coloured nodes and labelled edges, at most one edge from one node to another."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from graphlab.conformance.compare.verdict import Array, Indices


class Edges(NamedTuple):
    """Source node ``[E]``, target node ``[E]`` and label ``[E]`` of each edge."""

    source: Indices
    target: Indices
    label: Array


def are_isomorphic(a: tuple[Indices, Edges], b: tuple[Indices, Edges]) -> bool:
    r"""Whether a bijection of the nodes of ``a`` and ``b`` keeps node colours ``[N]``, edges and edge labels.

    Both graphs are refined as one, so that colours mean the same in both. Where equal colours remain, one node of ``b``
    is told apart and each node of ``a`` that it may stand for is tried. The answer is exact; the time is exponential
    only for graphs built to be hard, and at most about N refinements of :math:`O(E \log E)` otherwise.
    """
    (colours_a, edges_a), (colours_b, edges_b) = a, b
    count = len(colours_a)
    if count != len(colours_b) or len(edges_a.label) != len(edges_b.label):
        return False
    union = _Union.of(edges_a, edges_b, count)
    # A branch: colours, and the nodes told apart in them; it is refined only when its turn comes.
    branches: list[tuple[Indices, tuple[int, ...]]] = [(np.concatenate([colours_a, colours_b]), ())]
    while branches:
        colours, apart = branches.pop()
        if apart:
            colours = colours.copy()
            colours[list(apart)] = colours.max() + 1
        colours = union.refine(colours)
        kinds = int(colours.max(initial=-1)) + 1
        sizes = np.bincount(colours[:count], minlength=kinds)
        if (sizes != np.bincount(colours[count:], minlength=kinds)).any():
            continue
        shared = np.flatnonzero(sizes > 1)
        if not shared.size:
            return True
        cell = shared[sizes[shared].argmin()]
        told_apart = count + int((colours[count:] == cell).argmax())
        branches.extend(
            (colours, (int(candidate), told_apart)) for candidate in np.flatnonzero(colours[:count] == cell)
        )
    return False


class _Union(NamedTuple):
    """The disjoint union of two graphs, as what each node sees: ``node[i]`` sees ``other[i]`` along ``kind[i]``."""

    node: Indices
    other: Indices
    kind: Indices

    @classmethod
    def of(cls, a: Edges, b: Edges, count: int) -> "_Union":
        source = np.concatenate([a.source, b.source + count])
        target = np.concatenate([a.target, b.target + count])
        label = np.unique(np.concatenate([a.label, b.label]), return_inverse=True)[1].reshape(-1)
        return cls(
            np.concatenate([target, source]),
            np.concatenate([source, target]),
            np.concatenate([2 * label, 2 * label + 1]),
        )

    def refine(self, colours: Indices) -> Indices:
        """The coarsest finer colouring in which nodes of one colour see the same colours along the same kinds."""
        kinds = 0
        while True:
            seen = self.kind * (int(colours.max(initial=0)) + 1) + colours[self.other]
            order = np.lexsort((seen, self.node))
            ends = np.bincount(self.node, minlength=len(colours)).cumsum()
            seen = seen[order]
            views = [seen[start:end].tobytes() for start, end in pairwise((0, *ends.tolist()))]
            number: dict[tuple[int, bytes], int] = {}
            pairs = zip(colours.tolist(), views, strict=True)
            colours = np.array([number.setdefault(pair, len(number)) for pair in pairs], dtype=np.int64)
            if len(number) == kinds:
                return colours
            kinds = len(number)
