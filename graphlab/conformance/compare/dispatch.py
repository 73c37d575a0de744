"""Which comparison each rule asks for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphlab.conformance.answer import Answer
from graphlab.conformance.case import GoldenCase
from graphlab.conformance.compare import documents, elementwise
from graphlab.conformance.compare.eigenvectors import laplacian_eigenvectors
from graphlab.conformance.compare.graph import graph
from graphlab.conformance.compare.sparse import coo
from graphlab.conformance.compare.unordered import columns_any_order, rows_any_order
from graphlab.conformance.compare.verdict import SAME, Array, Verdict, failed, to_arrays
from graphlab.conformance.places import find_places, spell, value_at
from graphlab.conformance.rules import ExpectedRule, TensorRule

_ENTRY_BY_ENTRY: Mapping[str, Callable[[Array, Array, TensorRule], Verdict]] = {
    "allclose": elementwise.allclose,
    "exact": elementwise.exact,
    "max_relative": elementwise.max_relative,
    "columns_up_to_sign": elementwise.columns_up_to_sign,
}
_WITH_PARTNERS: Mapping[str, Callable[[str, TensorRule, Answer, Answer], Verdict]] = {
    "rows_any_order": rows_any_order,
    "columns_any_order": columns_any_order,
    "laplacian_eigenvectors": laplacian_eigenvectors,
    "coo": coo,
    "graph": graph,
}
_OF_DOCUMENTS: Mapping[str, Callable[[Any, Any, ExpectedRule], Verdict]] = {
    "exact": documents.exact,
    "allclose": documents.allclose,
    "set": documents.as_set,
    "names": documents.names,
}


@dataclass(frozen=True)
class Comparison:
    """The outcome for one output tensor or one place of the document.

    Attributes:
        name: ``output/log_probs``, or ``networks[0].node_names``.
        mode: the rule's mode.
        passed: whether the rule is met.
        error: the largest absolute difference; infinite where a difference is no number.
        reason: why it failed, else empty.
    """

    name: str
    mode: str
    passed: bool
    error: float
    reason: str


def compare(golden: GoldenCase, answer: Answer) -> list[Comparison]:
    """Compare everything that a case asks for; in a stripped case, only whether it is there.

    Raises:
        ConformanceError: if the reference itself does not make sense.
    """
    tensors = [
        Comparison(name, rule.mode, *_compare_tensor(name, rule, answer, golden.reference))
        for name, rule in golden.rules.items()
    ]
    return [*tensors, *_compare_documents(golden, answer)]


def _compare_tensor(name: str, rule: TensorRule, answer: Answer, reference: Answer | None) -> Verdict:
    if name not in answer.tensors:
        return failed("missing")
    if reference is None or rule.mode == "carried":
        return SAME
    if rule.mode in _WITH_PARTNERS:
        return _WITH_PARTNERS[rule.mode](name, rule, answer, reference)
    a, b = answer.tensors[name], reference.tensors[name]
    sides = to_arrays(a, b)
    if sides is None:
        return failed(f"shape {list(a.shape)}, expected {list(b.shape)}")
    return _ENTRY_BY_ENTRY[rule.mode](*sides, rule)


def _compare_documents(golden: GoldenCase, answer: Answer) -> Iterator[Comparison]:
    document = golden.case.document if golden.reference is None else golden.reference.document
    for rule in golden.expected:
        for location, value in find_places(document, rule.path):
            if golden.reference is not None and value is None:
                continue
            try:
                found = value_at(answer.document, location)
            except LookupError:
                verdict = failed("missing in the document")
            else:
                verdict = SAME if golden.reference is None else _OF_DOCUMENTS[rule.mode](found, value, rule)
            yield Comparison(spell(location), rule.mode, *verdict)
