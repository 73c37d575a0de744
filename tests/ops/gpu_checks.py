"""What Triton's kernels are held to: results and gradients of the plain versions, on a GPU or in the interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphlab.ops import (
    Adjacency,
    adjacency,
    backend,
    gat_attention,
    gatv2_attention,
    graph_attention,
    neighbor_overlap,
    overlap_counts,
    overlap_pool,
    ran,
    sddmm,
    segment_softmax,
    spmm,
    spmm_arg,
    spmm_stats,
)
from tests.ops.random_graphs import edges

DTYPES = (torch.float32, torch.bfloat16, torch.float64)
TOLERANCES = {
    torch.float32: {"rtol": 2e-4, "atol": 2e-4},
    torch.bfloat16: {"rtol": 0.05, "atol": 0.2},
    torch.float64: {"rtol": 1e-9, "atol": 1e-9},
}
GRAPHS = {"hub": (25, 120), "no edges": (5, 0), "no nodes": (0, 0), "one node": (1, 1)}
"""Numbers of nodes and edges; a third of the edges go to one node, some are there twice, some nodes have none."""


def graph(name: str, device: str, ordered: bool = False, wide: bool = False) -> Adjacency:
    nodes, count = GRAPHS[name]
    adj = adjacency(edges(nodes, nodes, count, ordered=ordered), nodes)
    return Adjacency(*(None if part is None else part.to(device, torch.int64 if wide else part.dtype) for part in adj))


def values(*shape: int, dtype: torch.dtype, device: str) -> Tensor:
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)
    return drawn.to(device, dtype)


def same(function: Callable[..., Tensor], operators: tuple[str, ...], *given: Tensor | None) -> None:
    """Results and gradients under Triton are those of the plain versions, and ``operators`` ran under Triton."""
    found = []
    for name in ("reference", "triton"):
        inputs = [None if part is None else part.clone().requires_grad_() for part in given]
        ran.clear()
        with backend(name), torch.autograd.set_multithreading_enabled(False):
            y = function(*inputs)
            gradient = values(*y.shape, dtype=y.dtype, device=y.device.type)
            wanted = [part for part in inputs if part is not None]
            found.append((y, *torch.autograd.grad(y, wanted, gradient, allow_unused=True)))
        assert {operator: ran[operator] for operator in operators} == dict.fromkeys(operators, name)
    for expected, actual in zip(*found, strict=True):
        assert (actual is None) == (expected is None)
        if expected is not None:
            torch.testing.assert_close(actual, expected, equal_nan=True, **TOLERANCES[expected.dtype])


def check_spmm(name: str, dtype: torch.dtype, device: str) -> None:
    adj = graph(name, device, wide=dtype == torch.float64)
    nodes, count = GRAPHS[name]
    for shape, of_edges in (((nodes, 5), (count,)), ((nodes, 3, 4), (count, 3))):
        x, weight = (values(*size, dtype=dtype, device=device) for size in (shape, of_edges))
        for reduce in ("sum", "mean", "min", "max"):
            operator = "spmm" if reduce in ("sum", "mean") else "spmm_extremum"
            for w in (None, weight):
                same(lambda x, w, by=reduce: spmm(adj, x, w, by), (operator,), x, w)
    same(lambda q, k: sddmm(adj, q, k), ("sddmm", "spmm"), x, x.flip(0))


def check_places(device: str) -> None:
    """Ties go to the first edge, NaN is the extremum, and rows of infinities have one."""
    adj = graph("hub", device, ordered=True)
    x = values(25, 3, dtype=torch.float32, device=device).round()
    x[4, 0], x[:, 2] = torch.nan, -torch.inf
    for reduce in ("min", "max"):
        with backend("reference"):
            expected = spmm_arg(adj, x, None, reduce)  # type: ignore[arg-type]
        with backend("triton"):
            found = spmm_arg(adj, x, None, reduce)  # type: ignore[arg-type]
        torch.testing.assert_close(found, expected, equal_nan=True, rtol=0, atol=0)


def check_segments(name: str, dtype: torch.dtype, device: str) -> None:
    adj, count = graph(name, device), GRAPHS[name][1]
    scores = values(count, 3, dtype=dtype, device=device)
    scores[::7] = -torch.inf
    same(lambda s: segment_softmax(s, adj.rowptr), ("softmax", "softmax_gradient"), scores)


def check_statistics(name: str, dtype: torch.dtype, device: str) -> None:
    adj = graph(name, device, wide=dtype == torch.float64)
    x = values(GRAPHS[name][0], 5, dtype=dtype, device=device)
    x = x + 3  # an offset must not cancel in the variance
    for stats in (("mean", "min", "max", "std"), ("var", "sum"), ("max",)):
        same(lambda x, of=stats: spmm_stats(adj, x, of), ("stats", "stats_gradient"), x)


def check_attention(name: str, dtype: torch.dtype, device: str) -> None:
    adj, (nodes, count) = graph(name, device), GRAPHS[name]
    operators = ("attention", "attention_gradient")
    make: Any = lambda *shape: values(*shape, dtype=dtype, device=device)  # noqa: E731
    q, k, v, bias, keep = make(nodes, 2, 3), make(nodes, 2, 3), make(nodes, 2, 5), make(count, 2), make(count, 2).abs()
    same(lambda q, k, v: graph_attention(adj, q, k, v), operators, q, k, v)
    same(lambda q, k, v, b: graph_attention(adj, q, k, v, b, keep), operators, q, k, v, bias)
    same(lambda a, b, v, e: gat_attention(adj, a, b, v, e, keep), operators, q[..., 0], k[..., 0], v, bias)
    same(lambda q, k, a: gatv2_attention(adj, q, k, a), operators, q, k, make(2, 3))


def check_overlap(name: str, dtype: torch.dtype, device: str) -> None:
    adj, nodes = graph(name, device), GRAPHS[name][0]
    pairs = torch.randint(max(nodes, 1), (2, 9 if nodes else 0), generator=torch.Generator().manual_seed(0)).to(device)
    pairs[:, :1] = 0
    x = values(nodes, 3, dtype=dtype, device=device)
    for part in ("common", "first", "second"):
        same(lambda x, of=part: overlap_pool(adj, pairs, x, of), ("overlap_pool", "overlap_pool_gradient"), x)
    found = []
    for route in ("reference", "triton"):
        with backend(route):
            lists = neighbor_overlap(adj, pairs)
            found.append([overlap_counts(adj, pairs), *(tensor for part in lists for tensor in part)])
        assert ran["overlap_counts"] == ran["overlap_lists"] == route
    for expected, actual in zip(*found, strict=True):
        assert torch.equal(actual, expected)
