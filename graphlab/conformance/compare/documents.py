"""Comparisons of JSON values."""

import math
from typing import Any

from graphlab.conformance.compare.graph import parameter_name
from graphlab.conformance.compare.verdict import SAME, Verdict, failed
from graphlab.conformance.places import Location, spell
from graphlab.conformance.rules import ExpectedRule


def exact(a: Any, b: Any, _: ExpectedRule) -> Verdict:
    """Equal JSON; objects of ``a`` may have further keys."""
    at = _first_difference(a, b)
    return SAME if at is None else failed(f"{_there(at)}expected {_short(_value(b, at))}, got {_short(_value(a, at))}")


def allclose(a: Any, b: Any, rule: ExpectedRule) -> Verdict:
    """Numbers with ``|a - b| <= atol + rtol |b|``; infinities match in sign, NaN matches NaN."""
    if not (_is_number(a) and _is_number(b)):
        return failed(f"expected the number {_short(b)}, got {_short(a)}")
    if a == b or (math.isnan(a) and math.isnan(b)):
        return SAME
    error = abs(a - b)
    allowed = rule.atol + rule.rtol * abs(b)
    if math.isfinite(error) and error <= allowed:
        return Verdict(True, error, "")
    return Verdict(
        False, error if math.isfinite(error) else math.inf, f"expected {b!r} within {allowed:.3g}, got {a!r}"
    )


def as_set(a: Any, b: Any, _: ExpectedRule) -> Verdict:
    """The same list in any order."""
    if not isinstance(a, list):
        return failed(f"expected a list, got {_short(a)}")
    return _same_entries(a, b)


def names(a: Any, b: Any, _: ExpectedRule) -> Verdict:
    """Node names: as many, and the same parameter names in any order; the names of other nodes are free."""
    if not isinstance(a, list) or len(a) != len(b):
        return failed(f"expected {len(b)} names, got {len(a) if isinstance(a, list) else _short(a)}")
    return _same_entries(*([name for name in side if parameter_name(name) is not None] for side in (a, b)))


def _same_entries(a: list[Any], b: list[Any]) -> Verdict:
    extra, lost = list(a), []
    for entry in b:
        if entry in extra:
            extra.remove(entry)
        else:
            lost.append(entry)
    return failed(f"too many: {_short(extra)}; missing: {_short(lost)}") if extra or lost else SAME


def _first_difference(a: Any, b: Any) -> Location | None:
    """Where ``a`` first fails to hold what ``b`` holds; a list of another length differs as a whole."""
    keys: list[Any]
    if isinstance(b, dict) and isinstance(a, dict):
        keys = list(b)
    elif isinstance(b, list) and isinstance(a, list) and len(a) == len(b):
        keys = list(range(len(b)))
    else:
        same = a == b and isinstance(a, bool) == isinstance(b, bool)
        return None if same or (_is_nan(a) and _is_nan(b)) else ()
    for key in keys:
        if isinstance(a, dict) and key not in a:
            return (key,)
        at = _first_difference(a[key], b[key])
        if at is not None:
            return (key, *at)
    return None


def _value(document: Any, at: Location) -> Any:
    for key in at:
        if isinstance(document, dict) and key not in document:
            return "nothing"
        document = document[key]
    return document


def _there(at: Location) -> str:
    return f"at {spell(at)}: " if at else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
