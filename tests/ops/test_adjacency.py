"""Sorting edges: what an adjacency is, what is remembered, and what is no adjacency."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from graphlab.ops import Adjacency, adjacency, sddmm, spmm
from tests.ops.graphs import GRAPHS, Graph, features, graphs


def edges(adj: Adjacency) -> list[tuple[int, int]]:
    """(source, target) of each edge in its order, read from the rows."""
    targets = torch.repeat_interleave(adj.rowptr.diff().long())
    order = torch.arange(adj.num_edges) if adj.perm is None else adj.perm.long()
    places = order.argsort()
    return list(zip(adj.col[places].tolist(), targets[places].tolist(), strict=True))


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_adjacency_holds_the_edges_in_both_directions(graph: Graph) -> None:
    edge_index, size = graph
    adj = adjacency(edge_index, size)
    given = [tuple(edge) for edge in edge_index.t().tolist()]
    assert edges(adj) == given
    assert edges(adj.transposed) == [(target, source) for source, target in given]
    assert (adj.transposed.num_targets, adj.num_targets) == size
    assert adj.num_edges == len(given)
    assert {part.dtype for part in adj if part is not None} == {torch.int32}


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_edges_of_a_row_keep_their_order(graph: Graph) -> None:
    adj = adjacency(*graph)
    for each in (adj, adj.transposed):
        for first, last in zip(each.rowptr[:-1].tolist(), each.rowptr[1:].tolist(), strict=True):
            order = list(range(first, last)) if each.perm is None else each.perm[first:last].tolist()
            assert order == sorted(order)


def test_sorted_edges_are_not_permuted() -> None:
    assert adjacency(*GRAPHS["sorted"]).perm is None
    assert adjacency(*GRAPHS["random"]).perm is not None


def test_size_is_that_of_an_edge_index_or_the_least_that_holds_the_edges() -> None:
    from torch_geometric import EdgeIndex

    edge_index = torch.tensor([[0, 3], [1, 1]])
    assert adjacency(edge_index).num_targets == 4
    assert adjacency(torch.empty(2, 0, dtype=torch.int64)).num_targets == 0
    adj = adjacency(EdgeIndex(edge_index, sparse_size=(5, 7)))
    assert (adj.num_targets, adj.transposed.num_targets) == (7, 5)
    x = torch.ones(5, 2)
    assert spmm(EdgeIndex(edge_index, sparse_size=(5, 7)), x).shape == (7, 2)


def test_same_edge_index_is_sorted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    edge_index, (nodes, _) = GRAPHS["random"][0].clone(), GRAPHS["random"][1]
    x, sorted_, argsort = features((nodes, 2)), [], Tensor.argsort
    monkeypatch.setattr(Tensor, "argsort", lambda *a, **k: sorted_.append(1) or argsort(*a, **k))
    first = spmm(edge_index, x)
    times = len(sorted_)
    assert times > 0
    assert torch.equal(spmm(edge_index, x), first)
    assert len(sorted_) == times
    edge_index[0, 0] = (edge_index[0, 0] + 1) % nodes
    assert not torch.equal(spmm(edge_index, x), first)
    assert len(sorted_) > times
    torch.testing.assert_close(spmm(edge_index, x), spmm(adjacency(edge_index, nodes), x))


def test_transpose_of_a_pair_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    adj = adjacency(*GRAPHS["random"])
    pair, x = (adj.rowptr, adj.col), features((50, 2)).requires_grad_()
    sorted_, argsort = [], Tensor.argsort
    monkeypatch.setattr(Tensor, "argsort", lambda *a, **k: sorted_.append(1) or argsort(*a, **k))
    for _ in range(3):
        spmm(pair, x).sum().backward()
    assert len(sorted_) == 1


def test_nothing_is_remembered_of_what_is_gone() -> None:
    adj = adjacency(*GRAPHS["random"])
    edge_index, pair = GRAPHS["random"][0].clone(), (adj.rowptr.clone(), adj.col.clone())
    x = features((50, 2)).requires_grad_()
    for graph in (edge_index, pair):
        spmm(graph, x).sum().backward()
    gone = [weakref.ref(tensor) for tensor in (edge_index, *pair)]
    del edge_index, pair, graph
    gc.collect()
    assert [reference() for reference in gone] == [None] * 3


def test_tensors_of_inference_mode_are_taken() -> None:
    with torch.inference_mode():
        edge_index, (nodes, _) = GRAPHS["random"][0].clone(), GRAPHS["random"][1]
        x = features((nodes, 2))
        torch.testing.assert_close(spmm(edge_index, x), spmm(adjacency(edge_index, nodes), x))


@pytest.mark.parametrize(
    ("edge_index", "nodes", "message"),
    [
        (torch.zeros(3, 4, dtype=torch.int64), None, r"edge_index: expected the shape \[2, num_edges\], got \[3, 4\]"),
        (torch.zeros(2, dtype=torch.int64), None, "edge_index: expected the shape"),
        (torch.zeros(2, 4), None, "edge_index: expected integers, got torch.float32"),
        (torch.zeros(2, 4, dtype=torch.bool), None, "edge_index: expected integers"),
        (torch.tensor([[0, -1], [0, 0]]), None, r"edge_index: source must lie in 0 \.\. 0, found -1"),
        (torch.tensor([[0, 1], [0, 5]]), 5, r"edge_index: target must lie in 0 \.\. 4, found 5"),
        (torch.tensor([[0, 3], [0, 1]]), (3, 9), r"edge_index: source must lie in 0 \.\. 2, found 3"),
        (torch.empty(2, 0, dtype=torch.int64), -1, "num_nodes: expected at least 0, got -1"),
    ],
)
def test_bad_edge_index_is_named(edge_index: Tensor, nodes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        adjacency(edge_index, nodes)


def _pairs() -> dict[str, tuple[Any, str]]:
    def ints(*values: int, dtype: torch.dtype = torch.int32) -> Tensor:
        return torch.tensor(values, dtype=dtype)

    long = torch.empty(1, dtype=torch.int32).expand(2**31)
    return {
        "falling": ((ints(0, 2, 1, 2), ints(0, 1)), "adj: rowptr must rise from 0 to the 2 entries of col"),
        "not from 0": ((ints(1, 1, 1, 2), ints(0, 1)), "adj: rowptr must rise from 0"),
        "not to the end": ((ints(0, 1, 1, 1), ints(0, 1)), "adj: rowptr must rise from 0"),
        "negative": ((ints(0, 1, 1, 2), ints(0, -1)), r"adj: col must lie in 0 \.\. 2, found -1"),
        "out of range": ((ints(0, 1, 1, 2), ints(0, 3)), r"adj: col must lie in 0 \.\. 2, found 3"),
        "no pointer": ((ints(), ints()), "adj: rowptr must have the shape"),
        "two axes": ((ints(0, 2), torch.zeros(2, 1, dtype=torch.int32)), "adj: col must have the shape"),
        "floating": ((torch.zeros(4), torch.zeros(0)), "adj: expected int32 or int64"),
        "mixed dtypes": ((ints(0, 1, 1, 2), ints(0, 1, dtype=torch.int64)), "adj: expected int32 or int64"),
        "mixed devices": ((ints(0, 1, 1, 2).to("meta"), ints(0, 1)), "adj: expected int32 or int64"),
        "too many edges": ((ints(0, 1, 1, 2), long), "adj: int32 cannot number 2147483648 edges"),
        "permutation of another length": (Adjacency(ints(0, 1, 1, 2), ints(0, 1), ints(0)), "adj: perm must have"),
        "permutation out of range": (Adjacency(ints(0, 1, 1, 2), ints(0, 1), ints(0, 2)), "adj: perm must lie in"),
        "no permutation": (Adjacency(ints(0, 1, 1, 2), ints(0, 1), ints(1, 1)), "adj: perm must name each"),
    }


@pytest.mark.parametrize("case", _pairs())
def test_bad_rows_are_named(case: str) -> None:
    adj, message = _pairs()[case]
    with pytest.raises(ValueError, match=f"^{message}"):
        spmm(adj, torch.zeros(3, 4))
    with pytest.raises(ValueError, match=f"^{message}"):
        sddmm(adj, torch.zeros(3, 4), torch.zeros(3, 4))


def test_a_pair_that_becomes_bad_is_noticed() -> None:
    rowptr, col = torch.tensor([0, 1, 2]), torch.tensor([1, 0])
    x = torch.ones(2, 1)
    spmm((rowptr, col), x)
    col[0] = 7
    with pytest.raises(ValueError, match="adj: col must lie in"):
        spmm((rowptr, col), x)
    col[0], rowptr[1] = 1, 5
    with pytest.raises(ValueError, match="adj: rowptr must rise"):
        spmm((rowptr, col), x)


def test_adjacency_without_transpose_says_so() -> None:
    adj = adjacency(*GRAPHS["random"])
    with pytest.raises(ValueError, match="adj: made of"):
        _ = Adjacency(adj.rowptr, adj.col).transposed
