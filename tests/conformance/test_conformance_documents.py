"""The rules for expected JSON values."""

import math

import pytest
from comparing import compare_all


def compare_values(mode, a, b, **keys):
    rule = {"path": "value", "mode": mode, **keys}
    (comparison,) = compare_all([], {}, {}, {"value": a}, {"value": b}, (rule,))
    return comparison


@pytest.mark.parametrize(
    ("a", "b", "passes"),
    [
        (1, 1.0, True),
        (True, 1, False),
        ("x", "y", False),
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        ([1, 2, 3], [1, 2], False),
        ({"a": 1, "further": 2}, {"a": 1}, True),
        ({"further": 2}, {"a": 1}, False),
        ({"a": [{"b": 1, "c": 0}]}, {"a": [{"b": 1}]}, True),
        ({"a": [{"b": 2}]}, {"a": [{"b": 1}]}, False),
        ({"a": "bn"}, {"a": None}, False),
        ({"a": None}, {"a": None}, True),
        ([], {}, False),
        (math.nan, math.nan, True),
    ],
)
def test_exact(a, b, passes):
    assert compare_values("exact", a, b).passed is passes


def test_exact_names_the_place():
    reason = compare_values("exact", {"a": [{"b": 2}]}, {"a": [{"b": 1}]}).reason
    assert reason == "at a[0].b: expected 1, got 2"
    assert "expected 1, got 'nothing'" in compare_values("exact", {"a": {}}, {"a": {"b": 1}}).reason


@pytest.mark.parametrize(
    ("a", "b", "passes"),
    [
        (1.05, 1.0, True),
        (1.2, 1.0, False),
        (11, 10.0, True),
        (math.inf, math.inf, True),
        (-math.inf, math.inf, False),
        (1.0, math.inf, False),
        (math.nan, math.nan, True),
        (math.nan, 1.0, False),
        (True, 1.0, False),
        ("1", 1.0, False),
        (None, 1.0, False),
    ],
)
def test_allclose(a, b, passes):
    assert compare_values("allclose", a, b, atol=0.01, rtol=0.1).passed is passes


@pytest.mark.parametrize(
    ("a", "b", "passes"),
    [
        (["x", "y"], ["y", "x"], True),
        (["x", "x"], ["x", "y"], False),
        (["x", "x", "y"], ["x", "y"], False),
        ([], [], True),
        ("xy", ["x", "y"], False),
        ([["a", 1]], [["a", 1]], True),
    ],
)
def test_set(a, b, passes):
    assert compare_values("set", a, b).passed is passes


@pytest.mark.parametrize(
    ("a", "passes"),
    [
        (["conv.weight", "input", "MeanBackward1", "bn.weight"], True),
        (["MulBackward0", "AddBackward", "bn.weight", "conv.weight"], True),
        (["input", "conv.weight", "bn.weight"], False),
        (["input", "conv.weight", "bn.weight", "bn.bias"], False),
        (["input", "conv.weight", "conv.weight", "AddBackward0"], False),
        (["input", "conv.weight", "bn.weight", "pool"], False),
        (4, False),
    ],
)
def test_names(a, passes):
    assert compare_values("names", a, ["input", "conv.weight", "bn.weight", "AddBackward0"]).passed is passes


def test_places_that_are_not_recorded_are_not_compared():
    document = {"nets": [{"count": 3}, {"count": None}]}
    rule = ({"path": "nets[*].count", "mode": "exact"},)
    outcome = compare_all([], {}, {}, {"nets": [{"count": 3}, {}]}, document, rule)
    assert [(comparison.name, comparison.passed) for comparison in outcome] == [("nets[0].count", True)]
    (missing,) = compare_all([], {}, {}, {"nets": []}, document, rule)
    assert (missing.passed, missing.reason) == (False, "missing in the document")
