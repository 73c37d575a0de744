"""Sparse matrices in coordinate form."""

import numpy as np

from graphlab.conformance.answer import Answer
from graphlab.conformance.compare.verdict import Verdict, allowance, difference, failed, judge, to_array
from graphlab.conformance.rules import TensorRule, expand


def coo(name: str, rule: TensorRule, answer: Answer, reference: Answer) -> Verdict:
    """Values ``[nnz]`` at ``rule.index`` ``[2, nnz]`` are the same matrix, entry by entry within tolerance.

    Entries come in any order, duplicates add, and an absent entry is 0.
    """
    assert rule.index is not None
    index_name = expand(rule.index, name)
    if index_name not in answer.tensors:
        return failed(f"its index {index_name} is missing")
    indices, values = zip(
        *((to_array(side.tensors[index_name]), to_array(side.tensors[name])) for side in (answer, reference)),
        strict=True,
    )
    for index, value in zip(indices, values, strict=True):
        if index.shape != (2, value.size) or not np.isfinite(index).all():
            return failed(f"{index_name} must be finite of shape [2, {value.size}], got {list(index.shape)}")
    entries, where = np.unique(np.hstack(indices), axis=1, return_inverse=True)
    split = values[0].size
    a, b = np.zeros((2, entries.shape[1]))
    for total, places, value in zip((a, b), np.split(where.reshape(-1), [split]), values, strict=True):
        np.add.at(total, places, value.reshape(-1))
    return judge(difference(a, b), allowance(b, rule.atol, rule.rtol), lambda at: entries[:, at].astype(int).tolist())
