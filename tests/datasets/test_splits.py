"""Random splits: their sizes, that they are disjoint, and the published error on request."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphlab.datasets import coauthor_split, largest_component, planetoid_split


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 5), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_sizes(classes: int, seed: int) -> None:
    y = torch.arange(classes * 400) % classes
    split = planetoid_split(y, seeded(seed), num_val=50, num_test=60)
    assert [int(mask.sum()) for mask in split] == [20 * classes, 50, 60]
    assert torch.bincount(y[split.train]).tolist() == [20] * classes
    split = coauthor_split(y, seeded(seed))
    assert torch.bincount(y[split.val]).tolist() == [30] * classes
    assert (split.train.int() + split.val.int() + split.test.int()).eq(1).all()
    again = coauthor_split(y, seeded(seed))
    assert all(torch.equal(a, b) for a, b in zip(split, again, strict=True))


def test_nodes_without_a_class_are_in_no_mask() -> None:
    y = torch.cat([torch.full((10,), -1), torch.arange(400) % 2])
    assert not any(mask[:10].any() for mask in coauthor_split(y, seeded(0)))


def test_a_component_and_the_published_error() -> None:
    y, nodes = torch.arange(600) % 3, torch.arange(200, 500)
    split = coauthor_split(y, seeded(0), nodes=nodes)
    assert [int(mask[200:500].sum()) for mask in split] == [60, 90, 150]
    assert torch.bincount(y[split.train]).tolist() == [20, 20, 20]
    wrong = coauthor_split(y, seeded(0), nodes=nodes, compat=True)
    assert [int(mask[:300].sum()) for mask in wrong] == [60, 90, 150]


def test_small_classes_are_named() -> None:
    y = torch.tensor([0] * 100 + [1] * 7)
    with pytest.warns(UserWarning, match="expected at least 50 nodes a class, but class 1 has 7"):
        split = coauthor_split(y, seeded(0))
    assert int(split.train[100:].sum()) == 7
    with pytest.warns(UserWarning, match="60 nodes are left for 500 validation and 1000 test nodes"):
        planetoid_split(torch.arange(100) % 2, seeded(0))


def test_largest_component() -> None:
    edge_index = torch.tensor([[0, 3, 5, 6], [1, 4, 4, 5]])
    assert largest_component(edge_index, 8).tolist() == [3, 4, 5, 6]
    assert largest_component(torch.empty(2, 0, dtype=torch.int64), 3).tolist() == [0]
