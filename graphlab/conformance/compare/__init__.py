"""Comparing an answer with the recorded results of a case, rule by rule.

Everywhere ``a`` is the answer and ``b`` the reference, and numbers are compared as float64. The modes:

* :mod:`~graphlab.conformance.compare.elementwise`: entry by entry;
* :mod:`~graphlab.conformance.compare.unordered`: rows or columns in any order;
* :mod:`~graphlab.conformance.compare.sparse`: sparse matrices;
* :mod:`~graphlab.conformance.compare.eigenvectors`: eigenvectors of a graph's Laplacian;
* :mod:`~graphlab.conformance.compare.graph`: graphs up to a relabelling of their nodes;
* :mod:`~graphlab.conformance.compare.documents`: JSON values.
"""

from graphlab.conformance.compare.dispatch import Comparison, compare

__all__ = ["Comparison", "compare"]
