"""Segment softmax and several statistics at once on a CPU: a row is read again while it is in the cache."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

from graphlab.ops.adjacency import Adjacency
from graphlab.ops.dispatch import implement
from graphlab.ops.kernels.compiled import FAST, array, on_cpu
from graphlab.ops.kernels.numba_exp import LANES, exponentials
from graphlab.ops.kernels.numba_spmm import add_to_sources
from graphlab.ops.kernels.threads import over_rows
from graphlab.ops.library import accumulated
from graphlab.ops.stats import FLOOR, STATS

# ---- softmax ------------------------------------------------------------------------------------------------------


@implement("softmax", "numba", on_cpu)
def softmax(adj: Adjacency, scores: Tensor) -> Tensor:
    given, p = array(scores), torch.empty(scores.shape, dtype=accumulated(scores[:0]).dtype)
    rowptr, out = adj.rowptr.numpy(), p.numpy()
    over_rows(rowptr, 8 * scores.shape[1], lambda first, last: _softmax(first, last, rowptr, given, out))
    return p.to(scores.dtype)


@njit(nogil=True, cache=True, fastmath=FAST)
def _softmax(first, last, rowptr, scores, p):  # type: ignore[no-untyped-def]
    heads = scores.shape[1]
    row = np.empty(LANES, p.dtype)
    for i in range(first, last):
        begin, end = rowptr[i], rowptr[i + 1]
        size = end - begin
        if size > len(row) - LANES:
            row = np.empty(2 * size + LANES, p.dtype)
        for h in range(heads):
            top = scores.dtype.type(-np.inf)
            for e in range(size):
                row[e] = scores[begin + e, h]
                top = max(top, row[e])
            total = exponentials(row, size, top if top > -np.inf else scores.dtype.type(0))
            share = p.dtype.type(0) if total == 0 else 1 / total
            for e in range(size):
                p[begin + e, h] = row[e] * share


@implement("softmax_gradient", "numba", on_cpu)
def softmax_gradient(adj: Adjacency, p: Tensor, dp: Tensor) -> Tensor:
    probability, given = array(p), array(dp)
    ds = torch.empty(p.shape, dtype=accumulated(p[:0]).dtype)
    rowptr, out = adj.rowptr.numpy(), ds.numpy()
    over_rows(
        rowptr, 4 * p.shape[1], lambda first, last: _softmax_gradient(first, last, rowptr, probability, given, out)
    )
    return ds.to(p.dtype)


@njit(nogil=True, cache=True, fastmath=FAST)
def _softmax_gradient(first, last, rowptr, p, dp, ds):  # type: ignore[no-untyped-def]
    mean = np.empty(p.shape[1], p.dtype)
    for i in range(first, last):
        mean[:] = 0
        for e in range(rowptr[i], rowptr[i + 1]):
            for h in range(p.shape[1]):
                mean[h] += p[e, h] * dp[e, h]
        for e in range(rowptr[i], rowptr[i + 1]):
            for h in range(p.shape[1]):
                ds[e, h] = p[e, h] * (dp[e, h] - mean[h])


# ---- statistics ---------------------------------------------------------------------------------------------------


@implement("stats", "numba", on_cpu)
def stats(adj: Adjacency, x: Tensor, stats: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    values, at = array(x), _places(stats)
    shape = (adj.num_targets, x.shape[1])
    y = torch.empty(shape[0], len(stats), shape[1], dtype=accumulated(x[:0]).dtype)
    mean = y.new_empty(shape if max(at["var"], at["std"]) >= 0 else (0, 0))
    least, most = (adj.rowptr.new_empty(shape if at[name] >= 0 else (0, 0)) for name in ("min", "max"))
    rowptr, col = adj.rowptr.numpy(), adj.col.numpy()
    out, centre, low, high = y.numpy(), mean.numpy(), least.numpy(), most.numpy()

    def loop(first: int, last: int) -> None:
        _stats(
            first, last, rowptr, col, values, at["sum"], at["mean"], at["min"], at["max"], at["var"], at["std"],
            out, centre, low, high
        )  # fmt: skip

    over_rows(rowptr, len(stats) * x.shape[1], loop)
    return y.to(x.dtype), mean, least, most


def _places(stats: list[int]) -> dict[str, int]:
    """Where each statistic, in the order of :data:`STATS`, stands among those asked for; -1 if it was not."""
    return {name: stats.index(number) if number in stats else -1 for number, name in enumerate(STATS)}


@njit(nogil=True, cache=True, fastmath=FAST)
def _stats(  # type: ignore[no-untyped-def]
    first, last, rowptr, col, x, at_sum, at_mean, at_min, at_max, at_var, at_std, y, mean, least, most
):
    channels = x.shape[1]
    total, centre, square = np.empty(channels, y.dtype), np.empty(channels, y.dtype), np.empty(channels, y.dtype)
    adds, deviates = at_sum >= 0 or at_mean >= 0, at_var >= 0 or at_std >= 0
    for i in range(first, last):
        begin, end = rowptr[i], rowptr[i + 1]
        if begin == end:
            y[i] = 0
            if deviates:
                mean[i] = 0
            if at_min >= 0:
                least[i] = -1
            if at_max >= 0:
                most[i] = -1
            continue
        if at_min >= 0:
            y[i, at_min], least[i] = x[col[begin]], begin
        if at_max >= 0:
            y[i, at_max], most[i] = x[col[begin]], begin
        total[:] = 0
        for e in range(begin, end):
            j = col[e]
            if adds or deviates:
                for c in range(channels):
                    total[c] += x[j, c]
            if at_min >= 0:
                _improve(y[i, at_min], least[i], x[j], e, False)
            if at_max >= 0:
                _improve(y[i, at_max], most[i], x[j], e, True)
        share = 1 / y.dtype.type(end - begin)
        for c in range(channels):
            centre[c] = total[c] * share
        if at_sum >= 0:
            y[i, at_sum] = total
        if at_mean >= 0:
            y[i, at_mean] = centre
        if deviates:
            mean[i] = centre
            square[:] = 0
            for e in range(begin, end):
                j = col[e]
                for c in range(channels):
                    square[c] += (x[j, c] - centre[c]) ** 2
            for c in range(channels):
                square[c] *= share
            if at_var >= 0:
                y[i, at_var] = square
            if at_std >= 0:
                for c in range(channels):
                    y[i, at_std, c] = y.dtype.type(0) if square[c] <= FLOOR else np.sqrt(square[c])


@njit(nogil=True, cache=True, fastmath=FAST)
def _improve(best, where, x, e, largest):  # type: ignore[no-untyped-def]
    """Takes what is beyond the best so far, and the first NaN."""
    for c in range(len(best)):
        value, old = x[c], best[c]
        within = value <= old if largest else value >= old
        takes = (not within) & (old == old)
        best[c] = value if takes else old
        where[c] = e if takes else where[c]


@implement("stats_gradient", "numba", on_cpu)
def stats_gradient(
    adj: Adjacency, x: Tensor, y: Tensor, mean: Tensor, least: Tensor, most: Tensor, dy: Tensor, stats: list[int]
) -> Tensor:
    r"""Of what is not an extremum, two rows of each target reach its sources: with any :math:`o` (here the features of
    the first node, so that a common offset does not cancel)

    .. math:: \sum_i a_i + b_i (x_j - \mu_i) = \sum_i (a_i - b_i (\mu_i - o)) + (x_j - o) \sum_i b_i
    """
    at, back, channels = _places(stats), adj.transposed, x.shape[1]
    values, given, results = array(x), array(dy), array(y)
    dx = torch.zeros(x.shape, dtype=accumulated(x[:0]).dtype)
    offset = np.nan_to_num(values[0], nan=0, posinf=0, neginf=0) if len(values) else np.zeros(channels, values.dtype)
    deviates = max(at["var"], at["std"]) >= 0
    rows = np.empty((adj.num_targets, (1 + deviates) * channels), values.dtype)
    rowptr, centre, out = adj.rowptr.numpy(), mean.numpy(), dx.numpy()

    def targets(first: int, last: int) -> None:
        _rows_of_targets(
            first, last, rowptr, results, given, centre, offset, at["sum"], at["mean"], at["var"], at["std"], rows
        )

    def sources(first: int, last: int) -> None:
        _gradient(first, last, back.rowptr.numpy(), back.col.numpy(), values, offset, rows, out)

    if deviates or max(at["sum"], at["mean"]) >= 0:
        over_rows(np.arange(adj.num_targets + 1), 4 * channels, targets)
        over_rows(back.rowptr.numpy(), rows.shape[1], sources)
    for name, place in (("min", least), ("max", most)):
        if at[name] >= 0:
            add_to_sources(adj, place.unsqueeze(1), dy[:, at[name]].unsqueeze(1), dx.unsqueeze(1))
    return dx.to(x.dtype)


@njit(nogil=True, cache=True, fastmath=FAST)
def _rows_of_targets(  # type: ignore[no-untyped-def]
    first, last, rowptr, y, dy, mean, offset, at_sum, at_mean, at_var, at_std, rows
):
    channels = offset.shape[0]
    one, nothing = rows.dtype.type(1), rows.dtype.type(0)
    for i in range(first, last):
        share = one / max(rowptr[i + 1] - rowptr[i], 1)
        for c in range(channels):
            level, steep = nothing, nothing
            if at_sum >= 0:
                level += dy[i, at_sum, c]
            if at_mean >= 0:
                level += dy[i, at_mean, c] * share
            if at_var >= 0:
                steep += dy[i, at_var, c] * 2 * share
            if at_std >= 0 and y[i, at_std, c] != 0:
                steep += dy[i, at_std, c] * share / y[i, at_std, c]
            if rows.shape[1] > channels:
                level -= steep * (mean[i, c] - offset[c])
                rows[i, channels + c] = steep
            rows[i, c] = level


@njit(nogil=True, cache=True, fastmath=FAST)
def _gradient(first, last, rowptr, col, x, offset, rows, dx):  # type: ignore[no-untyped-def]
    channels = x.shape[1]
    total = np.empty(rows.shape[1], rows.dtype)
    for j in range(first, last):
        total[:] = 0
        for t in range(rowptr[j], rowptr[j + 1]):
            i = col[t]
            for c in range(total.shape[0]):
                total[c] += rows[i, c]
        if rowptr[j] == rowptr[j + 1]:
            continue
        for c in range(channels):
            dx[j, c] = total[c]
            if total.shape[0] > channels:
                dx[j, c] += (x[j, c] - offset[c]) * total[channels + c]
