"""Rows that differ in the numbers of their names only, as one row: ``layer.{0-5}.weight``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Row:
    """``names`` may hold numbers in which rows may differ; rows of other ``facts`` stay apart."""

    names: tuple[str, ...]
    facts: tuple[str, ...]
    count: int = 1


def merged(rows: Iterable[Row]) -> list[Row]:
    """Rows of equal facts, and of names equal but for numbers, as one; in order of first appearance."""
    alike: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        alike.setdefault((tuple(_NUMBER.sub("#", name) for name in row.names), row.facts), []).append(row)
    return [
        Row(tuple(map(_pattern, zip(*(row.names for row in same), strict=True))), same[0].facts, len(same))
        for same in alike.values()
    ]


def _pattern(names: tuple[str, ...]) -> str:
    columns = zip(*map(_NUMBER.findall, names), strict=True)
    ranges = iter([_range(sorted(set(map(int, column)))) for column in columns])
    return _NUMBER.sub(lambda _: next(ranges), names[0])


def _range(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    consecutive = numbers[-1] - numbers[0] == len(numbers) - 1
    return f"{{{numbers[0]}-{numbers[-1]}}}" if consecutive else f"{{{','.join(map(str, numbers))}}}"
