"""Segments, their softmax and several statistics at once: against loops, PyTorch Geometric and between backends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.nn import aggr
from torch_geometric.utils import softmax

from graphlab.ops import (
    adjacency,
    available,
    backend,
    ran,
    segment,
    segment_adjacency,
    segment_softmax,
    spmm_stats,
)
from tests.ops.random_graphs import edges, graph, int64

BACKENDS = [name for name in available("stats") if name != "triton"]
OF_SOFTMAX = [name for name in available("softmax") if name != "triton"]
STATS = ("sum", "mean", "min", "max", "var", "std")
REDUCE: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda m: m.sum(dim=0),
    "mean": lambda m: m.mean(dim=0),
    "min": lambda m: m.min(dim=0).values,
    "max": lambda m: m.max(dim=0).values,
    "var": lambda m: m.var(dim=0, correction=0),
    "std": lambda m: torch.where((v := m.var(dim=0, correction=0)) <= 1e-5, 0, v.clamp(min=1e-5).sqrt()),
}


def pointers(num_segments: int, num_entries: int, seed: int = 0) -> Tensor:
    """Segments of any length, some empty."""
    cuts = torch.randint(num_entries + 1, (num_segments - 1,), generator=torch.Generator().manual_seed(seed)).sort()
    return torch.cat([torch.tensor([0]), cuts.values, torch.tensor([num_entries])])


def by_row(x: Tensor, rowptr: Tensor, name: str) -> Tensor:
    rows = [x[a:b] for a, b in zip(rowptr[:-1].tolist(), rowptr[1:].tolist(), strict=True)]
    return torch.stack([REDUCE[name](row) if len(row) else row.sum(dim=0) for row in rows])


def with_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    y = function(leaf)
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64).to(y.dtype))
    assert leaf.grad is not None
    return y.detach(), leaf.grad


def assert_same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, equal_nan=True)


# ---- segments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BACKENDS)
@settings(deadline=None, max_examples=20)
@given(
    st.integers(1, 12), st.integers(0, 60), st.integers(1, 19), st.integers(0, 1000),
    st.sampled_from(["sum", "mean", "min", "max"]), st.booleans()
)  # fmt: skip
def test_reductions_are_those_of_a_loop(
    name: str, num_segments: int, num_entries: int, channels: int, seed: int, reduce: str, narrow: bool
) -> None:
    rowptr = pointers(num_segments, num_entries, seed)
    x = torch.randn(num_entries, 2, channels, dtype=torch.float64)
    with backend(name):
        found = with_gradient(
            lambda x: segment(x, rowptr.int() if narrow else rowptr, reduce),  # type: ignore[arg-type]
            x,
        )
    assert_same(found, with_gradient(lambda x: by_row(x, rowptr, reduce), x))


@pytest.mark.parametrize("name", OF_SOFTMAX)
@settings(deadline=None, max_examples=20)
@given(st.integers(1, 12), st.integers(0, 90), st.integers(1, 5), st.integers(0, 1000), st.booleans())
def test_softmax_is_that_of_pyg(
    name: str, num_segments: int, num_entries: int, heads: int, seed: int, narrow: bool
) -> None:
    rowptr = pointers(num_segments, num_entries, seed)
    scores = torch.randn(num_entries, heads, dtype=torch.float64) * 10
    with backend(name):
        found = with_gradient(lambda s: segment_softmax(s, rowptr.int() if narrow else rowptr), scores)
        assert ran["softmax"] == ran["softmax_gradient"] == name
        torch.testing.assert_close(segment_softmax(scores[:, 0], rowptr), found[0][:, 0])
    owner = torch.repeat_interleave(rowptr.diff())
    assert_same(found, with_gradient(lambda s: softmax(s, owner, num_nodes=num_segments), scores))


@pytest.mark.parametrize("name", OF_SOFTMAX)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2), (torch.float16, 1e-3)])
def test_softmax_of_narrow_dtypes_and_large_scores(name: str, dtype: torch.dtype, tolerance: float) -> None:
    rowptr = pointers(40, 3000)
    scores = (torch.randn(3000, 3) * 50).to(dtype)
    with backend(name):
        p, gradient = with_gradient(lambda s: segment_softmax(s, rowptr), scores)
    exact = with_gradient(lambda s: segment_softmax(s, rowptr), scores.double())
    assert p.dtype == gradient.dtype == dtype
    torch.testing.assert_close(p.double(), exact[0], rtol=tolerance * 4, atol=tolerance)
    torch.testing.assert_close(gradient.double(), exact[1], rtol=tolerance * 8, atol=tolerance * 8)


@pytest.mark.parametrize("name", OF_SOFTMAX)
def test_softmax_of_infinities_and_nan(name: str) -> None:
    inf = math.inf
    scores = torch.tensor([-inf, 0.0, 0.0, -inf, -inf, 1.0, math.nan, 2.0, inf])
    with backend(name):
        p, gradient = with_gradient(lambda s: segment_softmax(s, torch.tensor([0, 3, 3, 5, 7, 8, 9])), scores)
    expected = torch.tensor([0, 0.5, 0.5, 0, 0, math.nan, math.nan, 1, math.nan])
    torch.testing.assert_close(p, expected, equal_nan=True)
    assert gradient[:5].isfinite().all()
    assert (gradient[[0, 3, 4]] == 0).all()


@pytest.mark.parametrize("name", BACKENDS)
def test_gradcheck(name: str) -> None:
    rowptr, adj = pointers(5, 20), graph(6, 5, 20)
    scores = torch.randn(20, 2, dtype=torch.float64, requires_grad=True)
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    with backend(name):
        assert torch.autograd.gradcheck(lambda s: segment_softmax(s, rowptr), scores)
        assert torch.autograd.gradcheck(lambda x: spmm_stats(adj, x, STATS), x)


# ---- statistics ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BACKENDS)
@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 20), st.integers(1, 20), st.integers(0, 120), st.integers(1, 40), st.integers(0, 1000),
    st.permutations(STATS).flatmap(lambda order: st.integers(1, 6).map(lambda size: order[:size])), st.booleans(),
    st.booleans()
)  # fmt: skip
def test_statistics_are_those_of_a_loop(
    name: str, sources: int, targets: int, num_edges: int, channels: int, seed: int, stats: Sequence[str],
    ordered: bool, wide: bool
) -> None:  # fmt: skip
    adj = graph(sources, targets, num_edges, seed, ordered)
    x = torch.randn(sources, channels, dtype=torch.float64)
    with backend(name):
        found = with_gradient(lambda x: spmm_stats(int64(adj) if wide else adj, x, stats), x)  # type: ignore[arg-type]
    assert ran["stats"] == ran["stats_gradient"] == name
    expected = with_gradient(
        lambda x: torch.stack([by_row(x[adj.col.long()], adj.rowptr, stat) for stat in stats], dim=1), x
    )
    torch.testing.assert_close(found[0], expected[0])
    if not {"min", "max"} & set(stats):  # PyTorch shares the gradient of equal extrema among them
        torch.testing.assert_close(found[1], expected[1])


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("ordered", [False, True])
def test_backends_agree_on_all_statistics(name: str, ordered: bool) -> None:
    adj = graph(50, 40, 600, ordered=ordered)
    x = torch.randint(4, (50, 2, 17)).double()  # extrema that several edges attain
    with backend("reference"):
        expected = with_gradient(lambda x: spmm_stats(adj, x, STATS), x)
    with backend(name):
        found = with_gradient(lambda x: spmm_stats(adj, x, STATS), x)
    assert found[0].shape == (40, 6, 2, 17)
    assert_same(found, expected)


@pytest.mark.parametrize("name", BACKENDS)
def test_the_gradient_of_an_extremum_goes_to_the_first_edge(name: str) -> None:
    edge_index = torch.tensor([[3, 2, 1, 0, 2], [0, 0, 0, 1, 0]])
    x = torch.tensor([[0.0], [7.0], [7.0], [1.0]])
    with backend(name):
        leaf = x.requires_grad_()
        spmm_stats(adjacency(edge_index, 4), leaf, ("max",)).sum().backward()
    torch.testing.assert_close(leaf.grad, torch.tensor([[1.0], [0.0], [1.0], [0.0]]))


@pytest.mark.parametrize("name", BACKENDS)
def test_aggregators_of_pna_are_those_of_pyg(name: str) -> None:
    edge_index, x = edges(40, 30, 400), torch.randn(40, 16, dtype=torch.float64)
    adj = adjacency(edge_index, (40, 30))
    layers = [aggr.MeanAggregation(), aggr.MinAggregation(), aggr.MaxAggregation(), aggr.StdAggregation()]
    with backend(name):
        found = with_gradient(lambda x: spmm_stats(adj, x), x)
    source, target = edge_index
    expected = torch.stack([layer(x[source], target, dim_size=30) for layer in layers], dim=1)
    torch.testing.assert_close(found[0], expected)
    mean, std = with_gradient(lambda x: spmm_stats(adj, x, ("mean", "std")), x)
    wanted = with_gradient(lambda x: torch.stack([layers[k](x[source], target, dim_size=30) for k in (0, 3)], dim=1), x)
    torch.testing.assert_close(std, wanted[1])
    torch.testing.assert_close(mean, wanted[0])


@pytest.mark.parametrize("name", BACKENDS)
def test_a_common_offset_does_not_spoil_the_deviation(name: str) -> None:
    adj, x = graph(60, 10, 500), torch.randn(60, 8)
    with backend(name):
        near, far = (with_gradient(lambda x: spmm_stats(adj, x, ("std",)), x + offset) for offset in (0.0, 1000.0))
    for a, b in zip(far, near, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_statistics_of_narrow_dtypes(name: str, dtype: torch.dtype, tolerance: float) -> None:
    adj, x = graph(60, 40, 900), torch.randn(60, 33).to(dtype)
    with backend(name):
        found = with_gradient(lambda x: spmm_stats(adj, x, STATS), x)
    exact = with_gradient(lambda x: spmm_stats(adj, x, STATS), x.double())
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == dtype
        assert (a.double() - b).abs().max() <= tolerance * max(1.0, float(b.abs().max()))


@pytest.mark.parametrize("name", BACKENDS)
def test_nan_reaches_every_statistic_of_its_channel(name: str) -> None:
    x = torch.randn(3, 20)
    x[1, 4] = math.nan
    with backend(name):
        y = spmm_stats(adjacency(torch.tensor([[0, 1, 2, 0], [0, 0, 0, 1]]), 3), x, STATS)
    expected = torch.zeros(3, 6, 20, dtype=torch.bool)
    expected[0, :, 4] = True
    assert torch.equal(y.isnan(), expected)
    assert (y[2] == 0).all()


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("sources", "targets"), [(3, 2), (0, 2), (0, 0)])
def test_without_edges_statistics_are_zero(name: str, sources: int, targets: int) -> None:
    adj = adjacency(torch.empty(2, 0, dtype=torch.long), (sources, targets))
    with backend(name):
        y, gradient = with_gradient(lambda x: spmm_stats(adj, x, STATS), torch.randn(sources, 4))
    assert y.shape == (targets, 6, 4)
    assert (y == 0).all()
    assert (gradient == 0).all()


def test_statistics_of_messages_that_are_given_edge_by_edge() -> None:
    rowptr, messages = pointers(6, 40), torch.randn(40, 5)
    y = spmm_stats(segment_adjacency(rowptr, 40), messages, ("min", "var"))
    torch.testing.assert_close(y, torch.stack([by_row(messages, rowptr, name) for name in ("min", "var")], dim=1))


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    adj, x, runs = graph(3000, 2000, 60_000), torch.randn(3000, 64), []
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            runs.append(with_gradient(lambda x: spmm_stats(adj, x, STATS), x))
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(run, runs[0], strict=True))


def test_bad_input_is_named() -> None:
    x, rowptr, adj = torch.randn(5, 3), torch.tensor([0, 2, 5]), graph(5, 4, 12)
    for name, call in {
        "rowptr": lambda: segment(x, torch.tensor([0, 2, 4])),
        "rowptr: expected it to rise": lambda: segment_softmax(x, torch.tensor([0, 6, 5])),
        "rowptr: expected int32": lambda: segment(x, rowptr.float()),
        "reduce": lambda: segment(x, rowptr, "median"),  # type: ignore[arg-type]
        "x": lambda: segment(x.long(), rowptr),
        "scores": lambda: segment_softmax(x.long(), rowptr),
        "scores: expected floating": lambda: segment_softmax(torch.randn(5, 2, 2), rowptr),
        "stats": lambda: spmm_stats(adj, x, ("mean", "median")),  # type: ignore[arg-type]
        "stats: expected some": lambda: spmm_stats(adj, x, ("mean", "mean")),
        "stats: .* got 'max'": lambda: spmm_stats(adj, x, "max"),  # type: ignore[arg-type]
        "x: expected floating": lambda: spmm_stats(adj, x.long()),
        "adj": lambda: spmm_stats(adj, x[:3]),
    }.items():
        with pytest.raises(ValueError, match=name):
            call()
