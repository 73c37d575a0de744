"""Names that differ in their numbers only, as one: ``layer.{0-5}.weight``."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NUMBER = re.compile(r"\d+")


def merged(facts: Mapping[str, tuple[str, ...]]) -> list[tuple[str, tuple[str, ...], int]]:
    """(pattern, facts, how many) of the names that have equal facts and differ in numbers only, in order."""
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, known in facts.items():
        alike.setdefault((_NUMBER.sub("#", name), known), []).append(name)
    return [(_pattern(names), known, len(names)) for (_, known), names in alike.items()]


def _pattern(names: list[str]) -> str:
    columns = zip(*map(_NUMBER.findall, names), strict=True)
    ranges = iter([_range(sorted(set(map(int, column)))) for column in columns])
    return _NUMBER.sub(lambda _: next(ranges), names[0])


def _range(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    consecutive = numbers[-1] - numbers[0] == len(numbers) - 1
    return f"{{{numbers[0]}-{numbers[-1]}}}" if consecutive else f"{{{','.join(map(str, numbers))}}}"
