"""Eigenvectors of a graph's Laplacian, which are unique only up to sign and only in simple eigenspaces."""

from dataclasses import replace

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array, eye_array

from graphlab.conformance.answer import Answer
from graphlab.conformance.compare.elementwise import columns_up_to_sign
from graphlab.conformance.compare.verdict import Array, Verdict, failed, judge, to_array, to_arrays
from graphlab.conformance.rules import TensorRule, expand

_TOLERANCE = 1e-4


def laplacian_eigenvectors(name: str, rule: TensorRule, answer: Answer, reference: Answer) -> Verdict:
    r"""``name`` ``[num_nodes, k]`` holds eigenvectors of the graph ``rule.edges`` ``[2, num_edges]`` of the reference.

    The columns ``rule.columns`` are the reference's up to sign. All columns are orthonormal and
    :math:`\max |L v - (v^T L v) v| \le 10^{-4}`.
    """
    assert rule.edges is not None
    sides = to_arrays(answer.tensors[name], reference.tensors[name])
    if sides is None or sides[1].ndim != 2:
        return failed(f"expected shape {list(reference.tensors[name].shape)}, got {list(answer.tensors[name].shape)}")
    vectors, recorded = sides
    if not np.isfinite(vectors).all():
        return failed("some entries are not finite")
    columns = list(rule.columns)
    verdict = columns_up_to_sign(vectors[:, columns], recorded[:, columns], replace(rule, rtol=0.0))
    if not verdict.passed:
        return verdict._replace(reason=f"columns {columns} up to sign: {verdict.reason}")
    gram = vectors.T @ vectors
    orthonormal = judge(np.abs(gram - np.eye(len(gram))), np.full_like(gram, _TOLERANCE))
    if not orthonormal.passed:
        return orthonormal._replace(reason=f"not orthonormal: v'v - 1: {orthonormal.reason}")
    image = _normalised_laplacian(to_array(reference.tensors[expand(rule.edges, name)]), len(vectors)) @ vectors
    residual = np.abs(image - (vectors * image).sum(axis=0) * vectors)
    eigen = judge(residual, np.full_like(residual, _TOLERANCE))
    if not eigen.passed:
        return eigen._replace(reason=f"not eigenvectors: L v - (v'Lv) v: {eigen.reason}")
    return verdict


def _normalised_laplacian(edges: Array, num_nodes: int) -> csr_array:
    """``1 - D^-1/2 A D^-1/2`` of the undirected, de-duplicated, loop-free graph."""
    source, target = edges.astype(np.int64)
    proper = source != target
    source, target = source[proper], target[proper]
    both = np.r_[source, target], np.r_[target, source]
    adjacency = coo_array((np.ones(len(both[0])), both), shape=(num_nodes, num_nodes)).tocsr()
    adjacency.data[:] = 1.0
    degree = adjacency.sum(axis=1)
    scale = diags_array(np.divide(1.0, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0))
    return csr_array(eye_array(num_nodes) - scale @ adjacency @ scale)
