"""Scores of edges: every backend against the definition, and bad input."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphlab.ops import adjacency, backend, ran, sddmm
from tests.ops.graphs import GRAPHS, TOLERANCE, Graph, backends, features, graphs
from tests.ops.random_graphs import int64

EVERY = ["reference", *backends("sddmm")]


def computed(name: str, graph: Graph, q: Tensor, k: Tensor) -> list[Tensor]:
    """Scores and gradients on a backend."""
    q, k = q.clone().requires_grad_(), k.clone().requires_grad_()
    with backend(name):
        scores = sddmm(adjacency(*graph), q, k)
        assert ran["sddmm"] == name
    return [scores.detach(), *torch.autograd.grad(scores, [q, k], features(scores.shape, scores.dtype, 9))]


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=50, deadline=None)
@given(graph=graphs(), heads=st.integers(1, 3), channels=st.integers(0, 20))
def test_score_is_the_inner_product_of_the_ends(name: str, graph: Graph, heads: int, channels: int) -> None:
    edge_index, (num_sources, num_targets) = graph
    q, k = features((num_targets, heads, channels)), features((num_sources, heads, channels), seed=1)
    with backend(name):
        scores = sddmm(adjacency(*graph), q, k)
    torch.testing.assert_close(scores, (q[edge_index[1]] * k[edge_index[0]]).sum(-1))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("heads", [None, 3])
@pytest.mark.parametrize("key", GRAPHS)
def test_backends_agree(key: str, heads: int | None, dtype: torch.dtype) -> None:
    num_sources, num_targets = GRAPHS[key][1]
    for channels in (1, 37):
        shape = (channels,) if heads is None else (heads, channels)
        q, k = features((num_targets, *shape), dtype), features((num_sources, *shape), dtype, 1)
        expected = computed("reference", GRAPHS[key], q, k)
        for name in EVERY[1:]:
            for a, b in zip(computed(name, GRAPHS[key], q, k), expected, strict=True):
                torch.testing.assert_close(a, b, rtol=TOLERANCE[dtype], atol=20 * TOLERANCE[dtype])


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("key", ["no edges", "duplicates", "bipartite"])
def test_gradients_are_right_in_float64(name: str, key: str) -> None:
    adj, (num_sources, num_targets) = adjacency(*GRAPHS[key]), GRAPHS[key][1]
    q, k = features((num_targets, 2, 3)).requires_grad_(), features((num_sources, 2, 3), seed=1).requires_grad_()
    with backend(name):
        assert torch.autograd.gradcheck(lambda q, k: sddmm(adj, q, k), (q, k))
        assert torch.autograd.gradgradcheck(lambda q, k: sddmm(adj, q, k), (q, k))


@pytest.mark.parametrize("name", EVERY)
def test_nan_stays_on_its_edges(name: str) -> None:
    q, k = torch.ones(2, 4), torch.ones(3, 4)
    k[2] = float("nan")
    with backend(name):
        scores = sddmm(adjacency(torch.tensor([[0, 2, 1], [1, 0, 1]]), (3, 2)), q, k)
    assert scores.isnan().tolist() == [False, True, False]


def test_half_precision_is_summed_in_single() -> None:
    adj = adjacency(torch.tensor([[0], [0]]), 1)
    for name in EVERY:
        with backend(name):
            assert sddmm(adj, *[torch.ones(1, 2048, dtype=torch.bfloat16)] * 2).item() == 2048


@pytest.mark.parametrize("name", EVERY)
def test_wide_indices_give_the_same(name: str) -> None:
    adj, q = adjacency(*GRAPHS["random"]), features((50, 2, 5))
    with backend(name):
        assert torch.equal(sddmm(int64(adj), q, q), sddmm(adj, q, q))


def test_inputs_need_not_be_contiguous() -> None:
    adj, q = adjacency(*GRAPHS["random"]), features((6, 50))
    torch.testing.assert_close(sddmm(adj, q.t(), q.t()), sddmm(adj, q.t().contiguous(), q.t().contiguous()))


@pytest.mark.parametrize(
    ("q", "k", "name"),
    [
        (torch.zeros(12, 4), torch.zeros(7, 5), "q, k"),
        (torch.zeros(12), torch.zeros(7), "q, k"),
        (torch.zeros(12, 2, 4), torch.zeros(7, 3, 4), "q, k"),
        (torch.zeros(12, 4, dtype=torch.int64), torch.zeros(7, 4, dtype=torch.int64), "q, k"),
        (torch.zeros(11, 4), torch.zeros(7, 4), "q"),
        (torch.zeros(12, 4), torch.zeros(8, 4), "adj"),
        (torch.zeros(12, 4), torch.zeros(7, 4, dtype=torch.float64), "q"),
        (torch.zeros(12, 4, device="meta"), torch.zeros(7, 4), "q"),
        (torch.zeros(()), torch.zeros(()), "q, k"),
    ],
)
def test_bad_input_is_named(q: Any, k: Any, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        sddmm(adjacency(*GRAPHS["bipartite"]), q, k)
