"""Common neighbours and differences: against Python's sets, for every backend."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphlab.ops import adjacency, available, backend, neighbor_overlap, overlap, overlap_counts, overlap_pool, ran
from tests.ops.random_graphs import int64

BACKENDS = available("overlap_lists")


def random_graph(num_nodes: int, num_edges: int, seed: int) -> Tensor:
    """A hub, repeated edges, self-loops and isolated nodes among random edges."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(max(num_nodes * 3 // 4, 1), (2, num_edges), generator=generator)
    edges[1, : num_edges // 3] = 0
    return torch.cat([edges, edges[:, :2]], dim=1)


def expected(edge_index: Tensor, pairs: Tensor) -> list[tuple[list[int], ...]]:
    sets: dict[int, set[int]] = {}
    for source, target in edge_index.t().tolist():
        sets.setdefault(target, set()).add(source)
    ends = [(sets.get(i, set()), sets.get(j, set())) for i, j in pairs.t().tolist()]
    return [(sorted(a & b), sorted(a - b), sorted(b - a)) for a, b in ends]


@pytest.mark.parametrize("name", BACKENDS)
@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 30), st.integers(0, 120), st.integers(0, 40), st.integers(0, 1000), st.integers(1, 60), st.booleans()
)
def test_lists_counts_and_sums_are_those_of_sets(
    name: str, num_nodes: int, num_edges: int, num_pairs: int, seed: int, gathered: int, sort: bool
) -> None:
    edge_index = random_graph(num_nodes, num_edges, seed)
    if sort:
        edge_index = edge_index[:, (edge_index[1] * num_nodes + edge_index[0]).argsort()]
    pairs = torch.randint(num_nodes, (2, num_pairs), generator=torch.Generator().manual_seed(seed + 1))
    x = torch.randn(num_nodes, 3, dtype=torch.float64)
    adj = adjacency(edge_index, num_nodes)
    with pytest.MonkeyPatch.context() as patch, backend(name):
        patch.setattr(overlap, "GATHERED", gathered)
        lists = neighbor_overlap(adj, pairs)
        counts = overlap_counts(adj, pairs)
        pools = [overlap_pool(adj, pairs, x, part) for part in ("common", "first", "second")]  # type: ignore[arg-type]
    assert ran["overlap_lists"] == name
    for pair, parts in enumerate(expected(edge_index, pairs)):
        assert counts[pair].tolist() == [len(part) for part in parts]
        for nodes, pooled, part in zip(lists, pools, parts, strict=True):
            assert nodes.nodes[nodes.rowptr[pair] : nodes.rowptr[pair + 1]].tolist() == part
            torch.testing.assert_close(pooled[pair], x[part].sum(dim=0))


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("part", ["common", "first", "second"])
def test_sums_pass_gradients_to_the_nodes_on_the_lists(name: str, part: str) -> None:
    adj = adjacency(random_graph(12, 60, 0), 12)
    pairs = torch.randint(12, (2, 9), generator=torch.Generator().manual_seed(0))
    x = torch.randn(12, 2, dtype=torch.float64, requires_grad=True)
    with pytest.MonkeyPatch.context() as patch, backend(name):
        patch.setattr(overlap, "GATHERED", 20)
        for form in (adj, int64(adj)):
            pool = lambda x, form=form: overlap_pool(form, pairs, x, part)  # noqa: E731
            assert torch.autograd.gradcheck(pool, x)
            assert torch.autograd.gradgradcheck(pool, x)
    assert ran["overlap_pool"] == ran["overlap_pool_gradient"] == name


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_summed_in_single(name: str, dtype: torch.dtype) -> None:
    star = torch.stack([torch.arange(2, 4002), torch.zeros(4000, dtype=torch.int64)])
    edge_index = torch.cat([star, star + torch.tensor([[0], [1]])], dim=1)
    x = torch.full((4002, 1), 1.0, dtype=dtype)
    with backend(name):
        assert overlap_pool(edge_index, torch.tensor([[0], [1]]), x).item() == 4000


def test_lists_are_a_rowptr_and_col() -> None:
    edge_index = torch.tensor([[1, 2, 2, 3], [0, 0, 4, 4]])
    lists = neighbor_overlap(edge_index, torch.tensor([[0], [4]]))
    assert [part.nodes.tolist() for part in lists] == [[2], [1], [3]]
    assert overlap_counts(
        (torch.tensor([0, 2, 2, 2, 2, 4]), torch.tensor([1, 2, 2, 3])), torch.tensor([[0], [4]])
    ).tolist() == [[1, 1, 1]]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (torch.zeros(3, 2, dtype=torch.int64), r"pairs: expected integers \[2, num_pairs\], got .* \[3, 2\]"),
        (torch.zeros(2, 3), r"pairs: expected integers .*float32"),
        (torch.tensor([[0], [5]]), r"pairs must lie in 0 \.\. 4, found 5"),
        (torch.tensor([[-1], [0]]), r"pairs must lie in 0 \.\. 4, found -1"),
    ],
)
def test_pairs_that_do_not_fit(pairs: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        overlap_counts(adjacency(torch.tensor([[0, 1], [1, 4]])), pairs)


def test_features_and_graphs_that_do_not_fit() -> None:
    adj, pairs = adjacency(torch.tensor([[0, 1], [1, 4]])), torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match="5 source nodes, and the features have 4 rows"):
        overlap_pool(adj, pairs, torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"x: expected floating \[num_nodes, channels\]"):
        overlap_pool(adj, pairs, torch.zeros(5))
    with pytest.raises(ValueError, match="part: expected common, first, second, got 'both'"):
        overlap_pool(adj, pairs, torch.zeros(5, 2), "both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="as many targets as sources, got 3 and 5"):
        neighbor_overlap(adjacency(torch.tensor([[4], [2]]), (5, 3)), pairs)
