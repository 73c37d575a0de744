"""The modes rows_any_order, columns_any_order and carried."""

import itertools

import numpy as np
import pytest
import torch
from comparing import compare_all, compare_one
from hypothesis import given
from hypothesis import strategies as st

CARRY = [
    {"match": "output/x", "mode": "columns_any_order", "carry": ["{dir}/value"], "atol": 0.1},
    {"match": "output/value", "mode": "carried"},
]


def compare_carried(keys_a, values_a, keys_b, values_b):
    both = compare_all(
        CARRY, {"output/x": keys_a, "output/value": values_a}, {"output/x": keys_b, "output/value": values_b}
    )
    return both[0]


def test_columns_with_what_they_carry():
    keys, values = [[0, 1, 2], [3, 4, 5]], [0.5, 1.5, 2.5]
    assert compare_carried([[2, 0, 1], [5, 3, 4]], [2.5, 0.5, 1.5], keys, values).passed
    assert compare_carried([[2, 0, 1], [5, 3, 4]], [[2.5], [0.5], [1.5]], keys, [[0.5], [1.5], [2.5]]).passed
    assert not compare_carried([[2, 0, 1], [5, 3, 4]], values, keys, values).passed
    wrong_key = compare_carried([[2, 0, 2], [5, 3, 5]], values, keys, values)
    assert "1 of 3 keys differ, e.g. (2, 5) occurs too often" in wrong_key.reason


def test_missing_or_misshaped_carried_tensor_fails():
    keys = [[0, 1], [1, 0]]
    assert "shape" in compare_carried(keys, [1.0], keys, [1.0, 2.0]).reason
    outcome = compare_all(CARRY, {"output/x": keys}, {"output/x": keys, "output/value": [1.0, 2.0]})
    assert [comparison.passed for comparison in outcome] == [False, False]


def test_equal_keys_may_be_matched_in_any_way():
    keys = [[7, 7, 7], [7, 7, 7]]
    assert compare_carried(keys, [0.0, 2.0, 1.0], keys, [1.05, 0.05, 2.05]).passed
    assert not compare_carried(keys, [0.0, 2.0, 2.0], keys, [1.05, 0.05, 2.05]).passed


def test_matching_is_needed_where_sorting_misleads():
    """In sorted order the first columns pair up, the second columns do not."""
    a, b = [[0.00, 5.0], [0.02, 9.0]], [[0.01, 9.0], [0.03, 5.0]]
    assert compare_one("rows_any_order", a, b, atol=0.05).passed
    assert not compare_one("rows_any_order", a, b, atol=0.025).passed


def test_a_greedy_matching_would_fail():
    """Row 0.00 fits only -0.04, which 0.05 fits as well."""
    assert compare_one("rows_any_order", [[0.0, 1.0], [0.05, 1.0]], [[0.14, 1.0], [-0.04, 1.0]], atol=0.1).passed


def test_float_keys_may_be_special():
    a, b = [[np.nan, 1.0], [np.inf, 2.0], [-np.inf, 2.0]], [[np.inf, 2.0], [-np.inf, 2.0], [np.nan, 1.0]]
    assert compare_one("rows_any_order", a, b, atol=0.1).passed
    assert not compare_one("rows_any_order", a, [[np.inf, 2.0], [np.inf, 2.0], [np.nan, 1.0]], atol=0.1).passed


def test_empty_tables_and_one_dimensional_rows():
    assert compare_one(
        "columns_any_order", torch.empty(2, 0, dtype=torch.long), torch.empty(2, 0, dtype=torch.long)
    ).passed
    assert compare_one("rows_any_order", torch.empty(0, 3), torch.empty(0, 3)).passed
    assert compare_one("rows_any_order", [3, 1, 2], [1, 2, 3]).passed
    assert not compare_one("rows_any_order", [3, 1, 1], [1, 2, 3]).passed
    assert not compare_one("rows_any_order", [3, 1], [1, 2, 3]).passed


def test_integer_keys_ignore_the_tolerance():
    assert not compare_one("rows_any_order", [[1], [2]], [[1], [3]], atol=5.0).passed
    assert "finite" in compare_one("rows_any_order", [[1.0], [np.nan]], [[1], [3]]).reason


def passes_by_brute_force(keys_a, values_a, keys_b, values_b, atol):
    rows = range(len(keys_b))
    return any(
        all(keys_a[p[i]] == keys_b[i] and abs(values_a[p[i]] - values_b[i]) <= atol for i in rows)
        for p in itertools.permutations(rows)
    )


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(0, 1), min_size=n, max_size=n),
            st.lists(st.integers(0, 6), min_size=n, max_size=n),
            st.lists(st.integers(0, 1), min_size=n, max_size=n),
            st.lists(st.integers(0, 6), min_size=n, max_size=n),
        )
    )
)
def test_agrees_with_trying_every_permutation(table):
    keys_a, values_a, keys_b, values_b = table
    expected = passes_by_brute_force(keys_a, values_a, keys_b, values_b, 1)
    outcome = compare_all(
        [
            {"match": "output/x", "mode": "rows_any_order", "carry": ["output/y"], "atol": 1},
            {"match": "*", "mode": "carried"},
        ],
        {"output/x": keys_a, "output/y": values_a},
        {"output/x": keys_b, "output/y": values_b},
    )
    assert outcome[0].passed is expected


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.tuples(*[st.lists(st.tuples(*[st.integers(0, 4)] * 2), min_size=n, max_size=n)] * 2)
    )
)
def test_float_rows_agree_with_trying_every_permutation(sides):
    a, b = (torch.tensor(side, dtype=torch.float64) for side in sides)
    expected = any(((a[list(p)] - b).abs() <= 1).all() for p in itertools.permutations(range(len(b))))
    assert compare_one("rows_any_order", a, b, atol=1).passed is expected


@pytest.mark.parametrize("width", [1, 30])
def test_many_rows_with_noise_are_matched_fast(width):
    generator = torch.Generator().manual_seed(0)
    b = torch.randint(0, 2, (20_000, width), generator=generator).double()
    order = torch.randperm(len(b), generator=generator)
    noise = torch.rand(b.shape, generator=generator, dtype=torch.float64) * 1e-7
    assert compare_one("rows_any_order", (b + noise)[order], b, atol=1e-6).passed
    moved = (b + noise)[order]
    moved[17, 0] += 0.5
    assert not compare_one("rows_any_order", moved, b, atol=1e-6).passed
