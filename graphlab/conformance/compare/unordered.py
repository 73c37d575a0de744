"""Tables whose rows may stand in any order.

A row of a table is a *key* and the *values* carried with it. Two tables are the same if their rows can be paired so
that integer keys are equal and everything else agrees within tolerance. The integer keys, and gaps wider than the
tolerance in the other columns, split the rows into groups. Inside a group the rows are first paired in lexicographic
order, which settles all but near-ties; what is left is a bipartite matching on the pairs within tolerance.
"""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from graphlab.conformance.answer import Answer
from graphlab.conformance.compare.verdict import (
    Array,
    Indices,
    Verdict,
    allowance,
    difference,
    failed,
    finite,
    to_arrays,
)
from graphlab.conformance.rules import TensorRule, expand

_PAIRS_AT_ONCE = 1 << 16


def rows_any_order(name: str, rule: TensorRule, answer: Answer, reference: Answer) -> Verdict:
    """The rows of ``name`` and of the carried tensors, all ``[n, ...]``, are the reference's in some order."""
    return _compare(name, rule, answer, reference, by_column=False)


def columns_any_order(name: str, rule: TensorRule, answer: Answer, reference: Answer) -> Verdict:
    """The columns of ``name`` ``[2, n]`` with the rows of the carried tensors ``[n, ...]`` are so too."""
    return _compare(name, rule, answer, reference, by_column=True)


def _compare(name: str, rule: TensorRule, answer: Answer, reference: Answer, by_column: bool) -> Verdict:
    keys: list[tuple[Array, Array]] = []
    values: list[tuple[Array, Array]] = []
    for part in (name, *(expand(carried, name) for carried in rule.carry)):
        if part not in answer.tensors:
            return failed(f"{part}, which is carried along, is missing")
        a, b = answer.tensors[part], reference.tensors[part]
        sides = to_arrays(a, b)
        if sides is None:
            return failed(f"{part} has shape {list(a.shape)}, expected {list(b.shape)}")
        if part == name and by_column:
            sides = sides[0].T, sides[1].T
        (keys if part == name and not b.is_floating_point() else values).append(sides)
    count = len((keys + values)[0][1])
    if any(len(b) != count for _, b in values):
        return failed(f"carried tensors must have {count} rows, as {name} has")
    (keys_a, keys_b), (values_a, values_b) = _table(keys, count), _table(values, count)
    groups = _groups(keys_a, keys_b)
    if isinstance(groups, str):
        return failed(groups)
    return _match(*groups, values_a, values_b, allowance(values_b, rule.atol, rule.rtol))


def _table(parts: list[tuple[Array, Array]], count: int) -> tuple[Array, Array]:
    """The parts side by side, for either side: ``[count, width]``."""
    flat = [tuple(side.reshape(count, side.size // max(count, 1)) for side in part) for part in parts]
    empty = np.empty((count, 0))
    return np.hstack([empty, *(a for a, _ in flat)]), np.hstack([empty, *(b for _, b in flat)])


def _groups(a: Array, b: Array) -> tuple[Indices, Indices] | str:
    """A number for the integer key of each row, the same on both sides; or what keeps the keys from being the same."""
    if not np.isfinite(a).all():
        return "integer keys must be finite"
    groups_a, groups_b = _number(a, b)
    surplus = _surplus(groups_a, groups_b)
    if not surplus.any():
        return groups_a, groups_b
    strange = (surplus[groups_a] > 0).argmax()
    example = ", ".join(f"{entry:g}" for entry in a[strange])
    return f"{int(surplus.clip(0).sum())} of {len(b)} keys differ, e.g. ({example}) occurs too often"


def _surplus(numbers_a: Indices, numbers_b: Indices) -> Indices:
    """How many times more each number occurs in the first than in the second."""
    counts = np.bincount(np.concatenate([numbers_a, numbers_b]))
    surplus: Indices = 2 * np.bincount(numbers_a, minlength=len(counts)) - counts
    return surplus


def _number(a: Array, b: Array) -> tuple[Indices, Indices]:
    """A number for each row of ``a`` and ``b``; equal rows have equal numbers."""
    rows = np.vstack([a, b])
    order = np.lexsort(rows.T) if rows.size else np.arange(len(rows))
    is_new = np.ones(len(rows), dtype=bool)
    is_new[1:] = (rows[order[1:]] != rows[order[:-1]]).any(axis=1)
    number = np.empty(len(rows), dtype=np.int64)
    number[order] = is_new.cumsum() - 1
    return number[: len(a)], number[len(a) :]


def _clusters(a: Array, b: Array, allowed: Array) -> tuple[Array, Array]:
    """For each entry ``[n, width]`` a cluster in its column; entries that may match always share one."""
    values = np.vstack([a, b])
    order = values.argsort(axis=0)
    with np.errstate(invalid="ignore"):
        gaps = np.diff(np.take_along_axis(values, order, axis=0), axis=0, prepend=-np.inf)
    labels = np.empty_like(values)
    np.put_along_axis(labels, order, (gaps > _widen(allowed, b).max(axis=0, initial=0.0)).cumsum(axis=0), axis=0)
    return labels[: len(a)], labels[len(a) :]


def _widen(allowed: Array, b: Array) -> Array:
    """``allowed`` and a little more, so that rounding in ``b - allowed`` loses no pair."""
    widened: Array = allowed * (1 + 1e-9) + 4 * np.spacing(np.abs(finite(b)))
    return widened


def _match(groups_a: Indices, groups_b: Indices, a: Array, b: Array, allowed: Array) -> Verdict:
    """Pair the rows of ``a`` and ``b`` ``[n, width]`` inside their groups."""
    labels_a, labels_b = _clusters(a, b, allowed)
    fine_a, fine_b = _number(np.column_stack([groups_a, labels_a]), np.column_stack([groups_b, labels_b]))
    lonely = int(_surplus(fine_a, fine_b).clip(0).sum())
    if not lonely:
        order_a, order_b = _sorted(fine_a, a), _sorted(fine_b, b)
        error = difference(a[order_a], b[order_b])
        astray = (error > allowed[order_b]).any(axis=1)
        sorted_groups = fine_b[order_b]
        unsettled = np.isin(sorted_groups, sorted_groups[astray])
        rows_a, rows_b = order_a[unsettled], order_b[unsettled]
        partners = _matching(
            np.column_stack([fine_a[rows_a], a[rows_a]]),
            np.column_stack([fine_b[rows_b], b[rows_b]]),
            np.column_stack([np.zeros(len(rows_b)), allowed[rows_b]]),
        )
        lonely = int((partners < 0).sum())
        if not lonely:
            error[unsettled] = difference(a[rows_a[partners]], b[rows_b])
            return Verdict(True, float(error.max(initial=0.0)), "")
    worst = float(difference(a[_sorted(groups_a, a)], b[_sorted(groups_b, b)]).max())
    return Verdict(
        False, worst, f"{lonely} of {len(b)} rows have no partner; in sorted order they differ by {worst:.3g}"
    )


def _sorted(groups: Indices, rows: Array) -> Indices:
    """The order of the rows by group, then by their entries from left to right."""
    order: Indices = np.lexsort((*rows.T[::-1], groups))
    return order


def _matching(a: Array, b: Array, allowed: Array) -> Indices:
    """For each row of ``b`` its own row of ``a`` with ``|a - b| <= allowed`` throughout, or -1 for those left over."""
    if not len(b):
        return np.empty(0, dtype=np.int64)
    column, low, high = _narrowest_windows(a, b, allowed)
    order = a[:, column].argsort(kind="stable")
    matches: list[tuple[Indices, Indices]] = []
    counts = (high - low).cumsum()
    for rows in np.split(
        np.arange(len(b)), np.unique(np.searchsorted(counts, np.arange(0, counts[-1], _PAIRS_AT_ONCE)))
    ):
        sizes = high[rows] - low[rows]
        row = rows.repeat(sizes)
        offset = np.arange(len(row)) - (sizes.cumsum() - sizes).repeat(sizes)
        candidate = order[low[row] + offset]
        close = (difference(a[candidate], b[row]) <= allowed[row]).all(axis=1)
        matches.append((row[close], candidate[close]))
    row, candidate = (np.concatenate(side) for side in zip(*matches, strict=True))
    pairs = csr_array((np.ones(len(row), dtype=np.int8), (row, candidate)), shape=(len(b), len(a)))
    partners: Indices = maximum_bipartite_matching(pairs, perm_type="column").astype(np.int64)
    return partners


def _narrowest_windows(a: Array, b: Array, allowed: Array) -> tuple[int, Indices, Indices]:
    """The column that leaves the fewest candidates; in its sorted order, the window ``[low, high)`` of each ``b``."""
    windows: list[tuple[int, Indices, Indices]] = []
    slack = _widen(allowed, b)
    for column in range(a.shape[1]):
        values = np.sort(a[:, column])
        low = np.searchsorted(values, b[:, column] - slack[:, column], side="left")
        high = np.searchsorted(values, b[:, column] + slack[:, column], side="right")
        windows.append((column, low, high))
    return min(windows, key=lambda window: int((window[2] - window[1]).sum()))
