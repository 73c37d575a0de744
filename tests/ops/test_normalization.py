"""Symmetric normalisation: against its definition on dense matrices, with loops and repeated edges; bad input."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphlab.ops.normalization import normalized_adjacency, symmetric_normalization
from graphlab.ops.spmm import spmm


def dense(edge_index: Tensor, weight: Tensor, size: int) -> Tensor:
    """Row = target, column = source; repeated edges add."""
    return weight.new_zeros(size, size).index_put((edge_index[1], edge_index[0]), weight, accumulate=True)


@given(st.integers(1, 8), st.integers(0, 30), st.integers(0, 2**31), st.booleans())
@settings(max_examples=60, deadline=None)
def test_it_is_the_definition(size: int, edges: int, seed: int, weighted: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(size, (2, edges), generator=generator)
    weight = torch.rand(edges, dtype=torch.float64, generator=generator) if weighted else None
    values = torch.ones(edges, dtype=torch.float64) if weight is None else weight
    others = edge_index[0] != edge_index[1]
    matrix = dense(edge_index[:, others], values[others], size)
    loops = torch.ones(size, dtype=torch.float64)
    for node, value in zip(edge_index[0, ~others].tolist(), values[~others].tolist(), strict=True):
        loops[node] = value  # the last one counts
    matrix += loops.diag()
    degree = matrix.sum(dim=1)
    root = torch.where(degree > 0, degree, torch.inf).rsqrt()
    expected = root.view(-1, 1) * matrix * root
    edges_out, norm = symmetric_normalization(edge_index, size, weight, torch.float64)
    assert edges_out[:, -size:].eq(torch.arange(size)).all()
    torch.testing.assert_close(dense(edges_out, norm, size), expected)
    adj, sorted_norm = normalized_adjacency(edge_index, size, weight, torch.float64)
    x = torch.randn(size, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    y = spmm(adj, x, sorted_norm)
    torch.testing.assert_close(y, expected @ x)
    dy = torch.randn_like(y)
    torch.testing.assert_close(torch.autograd.grad(y, x, dy)[0], expected.t() @ dy)


def test_done_once_for_a_graph_and_its_weights() -> None:
    edge_index, weight = torch.tensor([[0, 1], [1, 0]]), torch.tensor([2.0, 2.0])
    first = normalized_adjacency(edge_index, 2, weight)
    assert normalized_adjacency(edge_index, 2, weight)[1] is first[1]
    weight.mul_(2)
    assert normalized_adjacency(edge_index, 2, weight)[1] is not first[1]
    assert normalized_adjacency(edge_index, 2)[1] is not first[1]
    before = normalized_adjacency(edge_index, 2)[1]
    edge_index[:, 0] = torch.tensor([0, 0])
    assert normalized_adjacency(edge_index, 2)[1].tolist() != before.tolist()


def test_weights_learn_through_it() -> None:
    edge_index = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 2]])
    weight = torch.rand(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: symmetric_normalization(edge_index, 3, w)[1], weight)
    with pytest.raises(ValueError, match="edge_weight: a constant here"):
        normalized_adjacency(edge_index, 3, weight)


def test_a_node_of_degree_zero_gets_and_sends_nothing() -> None:
    edges, norm = symmetric_normalization(torch.tensor([[0, 0], [0, 1]]), 2, torch.tensor([0.0, 1.0]))
    assert edges.tolist() == [[0, 0, 1], [1, 0, 1]]
    assert norm.tolist() == pytest.approx([0, 0, 0.5])


def test_what_does_not_fit() -> None:
    edge_index = torch.tensor([[0, 1], [1, 2]])
    with pytest.raises(ValueError, match=r"degrees of 2 nodes are negative.*: 1, 2"):
        symmetric_normalization(edge_index, 3, torch.tensor([-2.0, -2.0]))
    with pytest.raises(ValueError, match=r"a node must lie in 0 \.\. 1, found 2"):
        symmetric_normalization(edge_index, 2)
    with pytest.raises(ValueError, match=r"edge_weight: expected floating \[2\], got torch.float32 \[3\]"):
        symmetric_normalization(edge_index, 3, torch.ones(3))
    with pytest.raises(ValueError, match=r"edge_index: expected integers \[2, num_edges\], got torch.float32"):
        symmetric_normalization(edge_index.float(), 3)
