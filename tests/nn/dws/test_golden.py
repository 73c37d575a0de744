"""The recorded cases of DWSNets and augmentations, with and without their results."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from graphlab.conformance import ConformanceError, compare, find_cases, load_case, run, strip_case
from graphlab.conformance.answer import Answer
from graphlab.conformance.registry import find_adapter
from graphlab.conformance.report import Status

REPOSITORY = Path(__file__).parents[3]
DATA = os.environ.get("GRAPHLAB_DATA")
ALL = (Path(DATA) if DATA else REPOSITORY.parent / "shared" / "data").parent / "golden" / "metanetworks"
SMALL = REPOSITORY / "tests" / "golden" / "metanetworks"
FAMILIES = ("dws_", "aug_", "inr_")


def cases() -> list[Path]:
    found = find_cases(SMALL)
    with contextlib.suppress(ConformanceError):
        found += find_cases(ALL)
    return [path for path in found if path.stem.startswith(FAMILIES)]


@pytest.mark.parametrize("path", cases(), ids=lambda path: f"{path.parent.parent.name}/{path.stem}")
def test_recorded_results_are_reached_without_seeing_them(path: Path, tmp_path: Path) -> None:
    (row,) = run(path).rows
    assert row.status is Status.PASS, row.reason
    stripped = load_case(strip_case(path, tmp_path))
    assert stripped.reference is None
    adapter = find_adapter("metanetworks", stripped.case.family)
    assert adapter is not None
    answer = Answer.from_results(adapter(stripped.case), stripped.case.given)
    assert [found.name for found in compare(load_case(path), answer) if not found.passed] == []
