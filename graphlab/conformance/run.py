"""Running golden cases through their adapters."""

import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from graphlab.conformance.answer import Answer, Results
from graphlab.conformance.case import GoldenCase, find_cases, load_case
from graphlab.conformance.compare import Comparison, compare
from graphlab.conformance.errors import ConformanceError
from graphlab.conformance.files import write_document, write_tensors
from graphlab.conformance.registry import find_adapter
from graphlab.conformance.report import Report, Row, Status


def run(path: str | Path, dump: str | Path | None = None, progress: Callable[[Row], None] | None = None) -> Report:
    """Run every case under ``path`` and compare it with its recorded results, if it has them.

    An adapter that raises, or a case that cannot be read, fails; the cases after it still run.

    Args:
        path: a system's folder, a folder of such folders, or one JSON file.
        dump: a folder for what the adapters computed: ``CASE.safetensors``, and ``CASE.json`` if the case expects JSON
            values.
        progress: called with the row of each case as it ends.

    Raises:
        ConformanceError: if there is no case, or two cases would be dumped to the same file.
    """
    paths = find_cases(path)
    if dump is not None:
        _check_distinct(paths)
    rows: list[Row] = []
    for case_path in paths:
        rows.append(_run_case(case_path, None if dump is None else Path(dump)))
        if progress is not None:
            progress(rows[-1])
    return Report(tuple(rows))


def _check_distinct(paths: list[Path]) -> None:
    stem, count = Counter(path.stem for path in paths).most_common(1)[0]
    if count > 1:
        raise ConformanceError(
            f"{count} cases are named {stem} and would share a dump; run one system's folder at a time"
        )


def _run_case(path: Path, dump: Path | None) -> Row:
    start = time.perf_counter()
    row = Row(path.parent.name, "?", path.stem, Status.FAIL)
    try:
        golden = load_case(path)
    except ConformanceError as error:
        return replace(row, reason=str(error))
    row = replace(row, system=golden.case.system, family=golden.case.family)
    try:
        answer = _answer(golden)
        if answer is None:
            return replace(row, status=Status.NOT_COVERED, reason="no adapter")
        if dump is not None:
            _dump(golden, answer, dump)
        row = _judged(row, golden, compare(golden, answer))
    except Exception as error:  # whatever an adapter raises is that case's failure, not the run's
        row = replace(row, reason=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
    return replace(row, seconds=time.perf_counter() - start)


def _answer(golden: GoldenCase) -> Answer | None:
    adapter = find_adapter(golden.case.system, golden.case.family)
    if adapter is None:
        return None
    results: object = adapter(golden.case)
    if not isinstance(results, Results):
        raise TypeError(f"the adapter must return Results, got {type(results).__name__}")
    return Answer.from_results(results, golden.case.given)


def _dump(golden: GoldenCase, answer: Answer, folder: Path) -> None:
    write_tensors(folder / f"{golden.case.name}.safetensors", answer.tensors)
    if golden.expected:
        write_document(folder / f"{golden.case.name}.json", answer.document)


def _judged(row: Row, golden: GoldenCase, comparisons: list[Comparison]) -> Row:
    wrong = [comparison for comparison in comparisons if not comparison.passed]
    done = Status.DUMPED if golden.reference is None else Status.PASS
    first = f"{wrong[0].name}: {wrong[0].reason}" if wrong else ""
    others = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    error = None if golden.reference is None else max((comparison.error for comparison in comparisons), default=0.0)
    return replace(
        row, status=Status.FAIL if wrong else done, error=error, reason=first + others, comparisons=tuple(comparisons)
    )
