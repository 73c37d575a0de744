"""Comparing without files: one rule, an answer and a reference."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphlab.conformance import Answer, Case, Comparison, GoldenCase, compare
from graphlab.conformance.rules import ExpectedRule, TensorRule


def compare_all(
    rules: list[dict[str, Any]],
    answer: dict[str, Any],
    reference: dict[str, Any],
    answer_document: dict[str, Any] | None = None,
    document: dict[str, Any] | None = None,
    expected: tuple[dict[str, Any], ...] = (),
) -> list[Comparison]:
    """Compare tensors given as nested lists by full name, and documents."""
    parsed = [TensorRule.parse(rule) for rule in rules]
    by_name = {
        name: next(rule for rule in parsed if rule.fits(name)) for name in reference if name.startswith("output/")
    }
    golden = GoldenCase(
        Path("case.json"),
        Case("system", "family", "case", {}, {}, {}, {}, {}, ()),
        {name: rule for name, rule in by_name.items() if rule.mode != "skip"},
        tuple(ExpectedRule.parse(rule) for rule in expected),
        Answer(_tensors(reference), document or {}),
    )
    return compare(golden, Answer(_tensors(answer), answer_document or {}))


def compare_one(mode: str, a: Any, b: Any, **keys: Any) -> Comparison:
    """Compare ``a`` with the reference ``b``."""
    (comparison,) = compare_all([{"match": "*", "mode": mode, **keys}], {"output/x": a}, {"output/x": b})
    return comparison


def _tensors(values: dict[str, Any]) -> dict[str, Tensor]:
    return {name: value if isinstance(value, Tensor) else _tensor(value) for name, value in values.items()}


def _tensor(value: Any) -> Tensor:
    tensor = torch.tensor(value)
    return torch.tensor(value, dtype=torch.float64) if tensor.is_floating_point() else tensor
