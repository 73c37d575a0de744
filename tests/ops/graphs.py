"""Graphs that the tests of the operators share: empty ones, hubs, duplicates, loops and bipartite ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from graphlab.ops import available

Graph = tuple[Tensor, tuple[int, int]]
"""``edge_index`` and ``(num_sources, num_targets)``."""


def _random(num_sources: int, num_targets: int, num_edges: int) -> Graph:
    generator = torch.Generator().manual_seed(num_edges)
    ends = (torch.randint(n, (num_edges,), generator=generator) for n in (num_sources, num_targets))
    return torch.stack(list(ends)), (num_sources, num_targets)


def _hub() -> Graph:
    others = torch.arange(1, 300)
    there = torch.stack([others, torch.zeros_like(others)])
    return torch.cat([there, there.flip(0)], 1), (300, 300)


NONE = torch.empty(2, 0, dtype=torch.int64)
GRAPHS: dict[str, Graph] = {
    "no nodes": (NONE, (0, 0)),
    "no edges": (NONE, (4, 4)),
    "one node": (torch.zeros(2, 1, dtype=torch.int64), (1, 1)),
    "empty rows": (torch.tensor([[0, 1, 5], [3, 3, 0]]), (6, 6)),
    "duplicates": (torch.tensor([[1, 1, 1, 0, 2], [0, 0, 0, 2, 2]]), (3, 3)),
    "sorted": (torch.tensor([[2, 0, 1, 1], [0, 0, 1, 2]]), (3, 3)),
    "hub": _hub(),
    "bipartite": _random(7, 12, 40),
    "random": _random(50, 50, 400),
}
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


def features(shape: tuple[int, ...], dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    """Normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def backends(*operators: str) -> list[str]:
    """The backends that have all of these operators on this machine's CPU, besides ``reference``."""
    known = [available(operator) for operator in operators]
    return [name for name in known[0] if name not in ("reference", "triton") and all(name in rest for rest in known)]


def faster(*operators: str) -> pytest.MarkDecorator:
    """Run a test with each of :func:`backends`."""
    names = backends(*operators)
    return pytest.mark.parametrize("name", names or [pytest.param("", marks=pytest.mark.skip(reason="none installed"))])


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Small graphs of all sizes, zero included."""
    num_sources, num_targets = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    if num_sources == 0 or num_targets == 0:
        return NONE, (num_sources, num_targets)
    edge = st.tuples(st.integers(0, num_sources - 1), st.integers(0, num_targets - 1))
    edges = draw(st.lists(edge, max_size=20))
    return torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).t().contiguous(), (num_sources, num_targets)
