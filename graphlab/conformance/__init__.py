"""Golden cases: recorded inputs and results of the published systems, run through graphlab and compared.

A *case* is a JSON document and a safetensors file beside it. :func:`run` hands each case, without its recorded results,
to the adapter of its ``(system, family)``; see :mod:`graphlab.conformance.adapters` for how to add one.
"""

from graphlab.conformance.answer import Answer, Results
from graphlab.conformance.case import Case, GoldenCase, find_cases, load_case
from graphlab.conformance.compare import Comparison, compare
from graphlab.conformance.errors import ConformanceError
from graphlab.conformance.registry import Adapter, adapter, find_adapter
from graphlab.conformance.report import Report, Row, Status
from graphlab.conformance.run import run
from graphlab.conformance.strip import strip_case

__all__ = [
    "Adapter",
    "Answer",
    "Case",
    "Comparison",
    "ConformanceError",
    "GoldenCase",
    "Report",
    "Results",
    "Row",
    "Status",
    "adapter",
    "compare",
    "find_adapter",
    "find_cases",
    "load_case",
    "run",
    "strip_case",
]
