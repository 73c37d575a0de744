"""Gated sums of hops: against hops that are kept, with gradients, and what does not fit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphlab.ops import adjacency, available, backend, hops, ran
from graphlab.ops.gated_hops import gated_hops
from graphlab.ops.normalization import normalized_adjacency

SIZE, EDGES = 25, 110


@pytest.fixture
def edge_index() -> Tensor:
    return torch.randint(SIZE - 3, (2, EDGES), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", available("spmm"))
@pytest.mark.parametrize("channels", [1, 5, 16, 18])
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_the_gated_sum_of_the_hops(edge_index: Tensor, name: str, channels: int, steps: int) -> None:
    adj, weight = adjacency(edge_index, SIZE), torch.rand(EDGES, dtype=torch.float64)
    x = torch.randn(SIZE, channels, dtype=torch.float64, requires_grad=True)
    gate = torch.randn(channels, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(1, dtype=torch.float64, requires_grad=True)
    with backend(name):
        every = hops(adj, x, steps, weight)
        expected = (every * (every @ gate + bias).sigmoid().unsqueeze(-1)).sum(dim=0)
        y = gated_hops(adj, x, steps, gate, bias, weight)
        torch.testing.assert_close(y, expected)
        with torch.no_grad():
            torch.testing.assert_close(gated_hops(adj, x, steps, gate, bias, weight), expected)
        dy = torch.randn_like(y)
        for own, plain in zip(
            torch.autograd.grad(y, (x, gate, bias), dy), torch.autograd.grad(expected, (x, gate, bias), dy), strict=True
        ):
            torch.testing.assert_close(own, plain)


def test_gradients_without_bias_and_weight(edge_index: Tensor) -> None:
    x = torch.randn(SIZE, 2, dtype=torch.float64, requires_grad=True)
    gate = torch.randn(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, gate: gated_hops(edge_index, x, 2, gate), (x, gate))


def test_what_does_not_fit(edge_index: Tensor) -> None:
    x, gate = torch.randn(SIZE, 3), torch.randn(3)
    with pytest.raises(ValueError, match="steps: expected 0 or more, got -1"):
        gated_hops(edge_index, x, -1, gate)
    with pytest.raises(ValueError, match=r"gate: expected torch.float32 \[3\], got torch.float32 \[4\]"):
        gated_hops(edge_index, x, 1, torch.randn(4))
    with pytest.raises(ValueError, match=r"bias: expected torch.float32 \[1\], got torch.float64"):
        gated_hops(edge_index, x, 1, gate, torch.zeros(1, dtype=torch.float64))
    with pytest.raises(ValueError, match="weight: a constant here"):
        gated_hops(edge_index, x, 1, gate, None, torch.ones(EDGES, requires_grad=True))
    with pytest.raises(ValueError, match=r"x: expected \[num_nodes, channels\]"):
        gated_hops(edge_index, torch.randn(SIZE, 2, 3), 1, gate)
    with pytest.raises(ValueError, match="as many targets as sources, got 7 and 25"):
        gated_hops(adjacency(torch.tensor([[20], [2]]), (SIZE, 7)), x, 1, gate)


@pytest.mark.parametrize("channels", [3, 16, 17, 40, 64, 70, 130])
@pytest.mark.parametrize("steps", [0, 1, 2, 5])
@pytest.mark.parametrize("undirected", [False, True])
def test_the_implementation_of_its_own(edge_index: Tensor, channels: int, steps: int, undirected: bool) -> None:
    edge_index = torch.cat([edge_index, edge_index.flip(0)], dim=1) if undirected else edge_index
    adj, weight = normalized_adjacency(edge_index, SIZE, dtype=torch.float64)
    inputs = [
        torch.randn(*shape, dtype=torch.float64).requires_grad_() for shape in ((SIZE, channels), (channels,), (1,))
    ]
    x, gate, bias = inputs
    dy = torch.randn(SIZE, channels, dtype=torch.float64)
    y = gated_hops(adj, x, steps, gate, bias, weight)
    gradients = torch.autograd.grad(y, inputs, dy)
    assert ran["gated_hops"] == "numba"
    assert ran["gated_hops_gradient"] == ("numba" if undirected else "reference")
    with backend("reference"):
        expected = gated_hops(adj, x, steps, gate, bias, weight)
        for own, plain in zip((y, *gradients), (expected, *torch.autograd.grad(expected, inputs, dy)), strict=True):
            torch.testing.assert_close(own, plain)
    with torch.no_grad():
        torch.testing.assert_close(gated_hops(adj, x, steps, gate, bias, weight), expected)
