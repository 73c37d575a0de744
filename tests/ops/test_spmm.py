"""Sparse times dense: every backend against the definition, and the definition against a dense matrix."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphlab.ops import Adjacency, adjacency, available, backend, ran, spmm, spmm_arg
from tests.ops.graphs import GRAPHS, TOLERANCE, Graph, backends, faster, features, graphs

REDUCES = ("sum", "mean", "min", "max")


def by_hand(graph: Graph, x: Tensor, weight: Tensor | None, reduce: str) -> Tensor:
    """Edge by edge and target by target, of ``[num_sources, heads, channels]``."""
    edge_index, (_, num_targets) = graph
    result = x.new_zeros(num_targets, *x.shape[1:])
    for target in range(num_targets):
        edges = (edge_index[1] == target).nonzero().flatten()
        if len(edges) == 0:
            continue
        sent = x[edge_index[0, edges]]
        if weight is not None:
            sent = sent * weight[edges].unsqueeze(-1)
        function: Any = {"sum": torch.sum, "mean": torch.mean, "min": torch.amin, "max": torch.amax}[reduce]
        result[target] = function(sent, dim=0)
    return result


def computed(name: str, graph: Graph, x: Tensor, weight: Tensor | None, reduce: Any) -> list[Tensor]:
    """The result and the gradients on a backend, and which edges attain extrema."""
    edge_index, size = graph
    x = x.clone().requires_grad_()
    weight = None if weight is None else weight.clone().requires_grad_(name in available("sddmm"))
    leaves = [tensor for tensor in (x, weight) if tensor is not None and tensor.requires_grad]
    with backend(name):
        adj = adjacency(edge_index, size)
        y = spmm(adj, x, weight, reduce)
        assert ran["spmm" if reduce in ("sum", "mean") else "spmm_extremum"] == name
        results = [y.detach(), *torch.autograd.grad(y, leaves, features(y.shape, y.dtype, 9))]
        if reduce in ("min", "max"):
            results.append(spmm_arg(adj, x, weight, reduce)[1])
    return results


def inputs(graph: Graph, heads: int | None, channels: int, weighted: bool, dtype: torch.dtype) -> Any:
    edge_index, size = graph
    shape = (size[0], channels) if heads is None else (size[0], heads, channels)
    edges = edge_index.shape[1]
    return features(shape, dtype), features(
        (edges,) if heads is None else (edges, heads), dtype, 1
    ) if weighted else None


@settings(max_examples=60, deadline=None)
@given(graphs(), st.sampled_from(REDUCES), st.booleans(), st.integers(1, 3), st.integers(0, 3))
def test_definition_is_the_sum_over_the_edges(
    graph: Graph, reduce: Any, weighted: bool, heads: int, channels: int
) -> None:
    x, weight = inputs(graph, heads, channels, weighted, torch.float64)
    with backend("reference"):
        y = spmm(adjacency(*graph), x, weight, reduce)
    torch.testing.assert_close(y, by_hand(graph, x, weight, reduce))


@faster("spmm")
@settings(max_examples=60, deadline=None)
@given(graph=graphs(), reduce=st.sampled_from(("sum", "mean")), weighted=st.booleans(), channels=st.integers(0, 40))
def test_sums_are_those_of_the_definition(name: str, graph: Graph, reduce: str, weighted: bool, channels: int) -> None:
    x, weight = inputs(graph, None, channels, weighted, torch.float64)
    expected = computed("reference", graph, x, weight, reduce)
    for a, b in zip(
        computed(name, graph, x, weight, reduce), expected, strict=False
    ):  # not all have gradients of weights
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("heads", "weighted"), [(None, False), (None, True), (3, True), (2, False)])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("key", GRAPHS)
def test_backends_agree(key: str, reduce: str, heads: int | None, weighted: bool, dtype: torch.dtype) -> None:
    operators = ("spmm",) if reduce in ("sum", "mean") else ("spmm_extremum", "spmm_extremum_gradient")
    for channels in (1, 16, 37, 80):
        x, weight = inputs(GRAPHS[key], heads, channels, weighted, dtype)
        expected = computed("reference", GRAPHS[key], x, weight, reduce)
        for name in backends(*operators):
            if name != "numba" and (dtype.itemsize < 4 or "spmm_extremum" in operators):
                continue
            for a, b in zip(computed(name, GRAPHS[key], x, weight, reduce), expected, strict=False):
                torch.testing.assert_close(a, b, rtol=TOLERANCE[dtype], atol=20 * TOLERANCE[dtype])


@pytest.mark.parametrize("name", ["reference", *backends("spmm", "spmm_extremum")])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_are_right_in_float64(name: str, reduce: Any, weighted: bool) -> None:
    for key in ("empty rows", "duplicates", "bipartite", "no edges"):
        x, weight = inputs(GRAPHS[key], 2, 3, weighted, torch.float64)
        if key == "duplicates" and reduce in ("min", "max") and not weighted:
            continue  # two edges attain the extremum: it has no gradient there
        adj = adjacency(*GRAPHS[key])
        tensors = [x.requires_grad_()] if weight is None else [x.requires_grad_(), weight.requires_grad_()]
        with backend(name):
            assert torch.autograd.gradcheck(lambda *t: spmm(adj, *t, reduce=reduce), tensors)  # noqa: B023
            if reduce in ("sum", "mean"):
                assert torch.autograd.gradgradcheck(lambda *t: spmm(adj, *t, reduce=reduce), tensors)  # noqa: B023


@pytest.mark.parametrize("name", ["reference", *backends("spmm", "spmm_extremum")])
def test_half_precision_is_summed_in_single(name: str) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        edges = torch.stack([torch.arange(2048), torch.zeros(2048, dtype=torch.int64)])
        x = torch.ones(2048, 1, dtype=dtype, requires_grad=True)
        with backend(name):
            y = spmm(adjacency(edges, (2048, 1)), x)
            assert y.dtype == dtype
            assert y.item() == 2048  # in bfloat16 a running sum of ones stops at 256
            assert spmm(adjacency(edges.flip(0), (1, 2048)), x[:1].detach()).sum(dtype=torch.float32) == 2048
        y.backward()
        assert x.grad is not None
        assert bool((x.grad == 1).all())


@pytest.mark.parametrize("name", ["reference", *backends("spmm", "spmm_extremum")])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("channels", [3, 16, 64])
def test_nan_and_infinity_go_where_they_are_sent(name: str, reduce: Any, channels: int) -> None:
    edge_index = torch.tensor([[0, 1, 1, 2, 3, 2, 2], [0, 0, 1, 1, 2, 2, 4]])
    x = torch.ones(5, channels)
    x[0], x[3] = float("nan"), float("inf") if reduce != "min" else -float("inf")
    with backend(name):
        y = spmm(adjacency(edge_index, 5), x, reduce=reduce)
        assert bool(y[0].isnan().all())
        assert bool((y[2] == x[3]).all())
        assert bool(y[[1, 3, 4]].isfinite().all())
        if reduce in ("min", "max"):
            assert spmm_arg(adjacency(edge_index, 5), x, reduce=reduce)[1][:, 0].tolist() == [0, 2, 4, -1, 6]


@pytest.mark.parametrize("name", ["reference", *backends("spmm", "spmm_extremum")])
def test_first_of_equal_extrema_in_the_order_of_the_edges_is_named(name: str) -> None:
    edge_index = torch.tensor([[2, 1, 0, 2], [1, 0, 1, 1]])
    with backend(name):
        y, edge = spmm_arg(adjacency(edge_index, 3), torch.ones(3, 20), reduce="min")
    assert y[:, 0].tolist() == [1, 1, 0]
    assert edge[:, 7].tolist() == [1, 0, -1]
    assert edge.dtype == torch.int64


@pytest.mark.parametrize("reduce", REDUCES)
def test_result_does_not_depend_on_the_number_of_threads(reduce: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    edge_index = (torch.rand(2, 60_000, generator=generator) ** 3 * 2000).long()
    adj, x = adjacency(edge_index, 2000), features((2000, 40), torch.float32)
    weight, results = features((60_000,), torch.float32, 1), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            a, w = x.clone().requires_grad_(), weight.clone().requires_grad_()
            y = spmm(adj, a, w, reduce)
            results.append([y, *torch.autograd.grad(y, [a, w], y.detach())])
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


@pytest.mark.parametrize("reduce", REDUCES)
def test_every_face_of_an_adjacency_gives_the_same(reduce: Any) -> None:
    from torch_geometric import EdgeIndex

    edge_index, (nodes, _) = GRAPHS["random"]
    adj, x = adjacency(edge_index, nodes), features((nodes, 5))
    expected = spmm(adj, x, reduce=reduce)
    torch.testing.assert_close(spmm(edge_index, x, reduce=reduce), expected)
    torch.testing.assert_close(spmm(EdgeIndex(edge_index, sparse_size=(nodes, nodes)), x, reduce=reduce), expected)
    for dtype in (torch.int32, torch.int64):
        pair = adj.rowptr.to(dtype), adj.col.to(dtype)
        torch.testing.assert_close(spmm(pair, x, reduce=reduce), expected)
        leaf = x.clone().requires_grad_()
        whole = torch.autograd.grad(spmm(adj, leaf, reduce=reduce).square().sum(), leaf)
        torch.testing.assert_close(torch.autograd.grad(spmm(pair, leaf, reduce=reduce).square().sum(), leaf), whole)


def test_adjacency_without_transpose_keeps_the_order_of_the_edges() -> None:
    edge_index, size = GRAPHS["random"]
    adj, x = adjacency(edge_index, size), features((50, 4))
    weight = features((400,), seed=1)
    torch.testing.assert_close(spmm(Adjacency(*adj[:3]), x, weight), spmm(adj, x, weight))


@pytest.mark.parametrize("reduce", REDUCES)
def test_inputs_need_not_be_contiguous(reduce: Any) -> None:
    adj, x = adjacency(*GRAPHS["random"]), features((6, 50))
    weight = features((2, 400), seed=1)
    leaf = x.clone().requires_grad_()
    y = spmm(adj, leaf.t(), weight[1], reduce)
    torch.testing.assert_close(y, spmm(adj, x.t().contiguous(), weight[1].clone(), reduce))
    y.sum().backward()  # of a gradient whose strides are zero
    assert leaf.grad is not None
    assert leaf.grad.shape == x.shape


def _bad() -> dict[str, tuple[str, Any, Any, Any]]:
    adj, x = adjacency(*GRAPHS["random"]), torch.zeros(50, 4)
    return {
        "one axis": ("x", adj, torch.zeros(50), None),
        "integers": ("x", adj, torch.zeros(50, 4, dtype=torch.int64), None),
        "rows": ("adj", adj, torch.zeros(49, 4), None),
        "other device": ("x", adj, torch.zeros(50, 4, device="meta"), None),
        "weights": ("weight", adj, x, torch.zeros(399)),
        "heads": ("weight", adj, torch.zeros(50, 2, 4), torch.zeros(400, 3)),
        "heads of none": ("weight", adj, x, torch.zeros(400, 2)),
        "dtype of weights": ("weight", adj, x, torch.zeros(400, dtype=torch.float64)),
        "device of weights": ("weight", adj, x, torch.zeros(400, device="meta")),
        "list": ("adj", [1, 2, 3], x, None),
        "none": ("adj", None, x, None),
    }


@pytest.mark.parametrize("case", _bad())
def test_bad_input_is_named(case: str) -> None:
    name, adj, x, weight = _bad()[case]
    for call in (spmm, spmm_arg):
        with pytest.raises(ValueError, match=rf"^{name}\b"):
            call(adj, x, weight, "max")


def test_unknown_reduction_is_named() -> None:
    adj, x = adjacency(*GRAPHS["random"]), torch.zeros(50, 4)
    with pytest.raises(ValueError, match="reduce: expected sum, mean, min or max, got 'median'"):
        spmm(adj, x, reduce="median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reduce: expected min or max"):
        spmm_arg(adj, x, reduce="sum")  # type: ignore[arg-type]
