"""The modes allclose, exact, max_relative, columns_up_to_sign, skip, and what all modes share."""

import math

import pytest
import torch
from comparing import compare_all, compare_one

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("a", "b", "keys", "passes"),
    [
        ([1.0, 2.0], [1.0, 2.0], {}, True),
        ([1.0, 2.0], [1.0, 2.1], {"atol": 0.05}, False),
        ([1.0, 2.0], [1.0, 2.1], {"atol": 0.11}, True),
        ([110.0], [100.0], {"rtol": 0.1}, True),
        ([100.0], [90.0], {"rtol": 0.1}, False),
        ([[1.0, 2.0]], [1.0, 2.0], {"atol": 9.0}, False),
        ([[3.0]], 3.0, {}, True),
        ([], [], {}, True),
        ([INF, -INF, NAN], [INF, -INF, NAN], {}, True),
        ([INF], [-INF], {"atol": 1.0, "rtol": 1.0}, False),
        ([1.0], [INF], {"atol": 1.0, "rtol": 1.0}, False),
        ([INF], [1.0], {"atol": 1.0, "rtol": 1.0}, False),
        ([NAN], [1.0], {"atol": 1.0, "rtol": 1.0}, False),
        ([1.0], [NAN], {"atol": 1.0, "rtol": 1.0}, False),
        ([1.1, 2.0], [1.0, 2.0], {"atol": 0.0, "first_atol": 0.2}, True),
        ([1.0, 2.1], [1.0, 2.0], {"atol": 0.0, "first_atol": 0.2}, False),
        ([1.1, 2.1], [1.0, 2.0], {"atol": 0.2, "first_atol": 0.05}, False),
        (1.1, 1.0, {"first_atol": 0.2}, True),
    ],
)
def test_allclose(a, b, keys, passes):
    assert compare_one("allclose", a, b, **keys).passed is passes


def test_dtypes_are_compared_as_float64():
    assert compare_one("exact", torch.tensor([1, 2]), torch.tensor([1.0, 2.0])).passed
    assert not compare_one("exact", torch.tensor([0.1]), torch.tensor([0.1], dtype=torch.float64)).passed
    assert compare_one("exact", torch.tensor([True]), torch.tensor([1], dtype=torch.int32)).passed


def test_a_failure_tells_where_and_by_how_much():
    comparison = compare_one("allclose", [[0.0, 1.0], [2.0, 3.5]], [[0.0, 1.0], [2.0, 3.0]], atol=0.1)
    assert comparison.error == 0.5
    assert comparison.reason == "1 of 4 entries differ, most at [1, 1]: by 0.5 where 0.1 is allowed"


def test_exact():
    assert compare_one("exact", [1, 2], [1, 2]).passed
    assert not compare_one("exact", [1.0 + 1e-15], [1.0]).passed


@pytest.mark.parametrize(
    ("a", "b", "keys", "passes"),
    [
        ([0.1, 100.0], [0.0, 100.0], {"rtol": 1e-3}, True),
        ([0.2, 100.0], [0.0, 100.0], {"rtol": 1e-3}, False),
        ([0.2, 100.0], [0.0, 100.0], {"rtol": 1e-3, "atol": 0.1}, True),
        ([1.0, INF], [0.0, INF], {"rtol": 1.0}, False),
        ([], [], {}, True),
    ],
)
def test_max_relative(a, b, keys, passes):
    assert compare_one("max_relative", a, b, **keys).passed is passes


@pytest.mark.parametrize(
    ("a", "passes"),
    [
        ([[1.0, -2.0], [3.0, -4.0]], True),
        ([[-1.0, -2.0], [-3.0, -4.0]], True),
        ([[1.0, -2.0], [3.0, 4.0]], False),
        ([[2.0, 1.0], [4.0, 3.0]], False),
        ([[1.0], [3.0]], False),
    ],
)
def test_columns_up_to_sign(a, passes):
    assert compare_one("columns_up_to_sign", a, [[1.0, 2.0], [3.0, 4.0]], atol=1e-9).passed is passes


def test_one_dimensional_column_up_to_sign():
    assert compare_one("columns_up_to_sign", [-1.0, -2.0], [1.0, 2.0]).passed
    assert not compare_one("columns_up_to_sign", [-1.0, 2.0], [1.0, 2.0]).passed


def test_first_fitting_rule_applies_and_skipped_tensors_may_be_absent():
    rules = [
        {"match": "output/skipped*", "mode": "skip"},
        {"match": "output/a*", "mode": "allclose", "atol": 1.0},
        {"match": "*", "mode": "exact"},
    ]
    reference = {"output/skipped/x": [1.0], "output/a/b": [1.0], "output/c": [1.0]}
    answer = {"output/a/b": [1.5], "output/c": [1.5]}
    outcome = {comparison.name: comparison.passed for comparison in compare_all(rules, answer, reference)}
    assert outcome == {"output/a/b": True, "output/c": False}


def test_a_missing_tensor_fails():
    (comparison,) = compare_all([{"match": "*", "mode": "exact"}], {}, {"output/x": [1]})
    assert (comparison.passed, comparison.error, comparison.reason) == (False, INF, "missing")
