"""Reading golden cases: what an adapter may see of one, and what it is compared with."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from graphlab.conformance.answer import Answer
from graphlab.conformance.errors import ConformanceError
from graphlab.conformance.places import find_places, with_nulls
from graphlab.conformance.rules import ExpectedRule, TensorRule


@dataclass(frozen=True)
class Case:
    """A case as an adapter sees it: everything but the results.

    Attributes:
        system: ``dagnn``, ``nino``, ...; with ``family`` it picks the adapter.
        family: ``forward``, ``train_trace``, ...
        name: the file's stem, a label only.
        config: the settings, mostly an object; empty where the system keeps its settings beside it in ``document``.
        document: the whole JSON document, with null in place of every expected value.
        params: the state before, by the names of the reference's state dict.
        inputs: ``input/*`` without the prefix.
        given: the outputs that are really inputs (``also_given``), without ``output/``.
        outputs: the names of all wanted tensors, without ``output/``.
    """

    system: str
    family: str
    name: str
    config: Any
    document: dict[str, Any]
    params: dict[str, Tensor]
    inputs: dict[str, Tensor]
    given: dict[str, Tensor]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class GoldenCase:
    """A case with its recorded results.

    Attributes:
        path: the JSON file.
        case: what the adapter sees.
        rules: the rule of each output, by full name, that is compared; outputs skipped or given are not here.
        expected: the rules for JSON values.
        reference: the file's tensors, all of them, and its document; ``None`` for a stripped case.
    """

    path: Path
    case: Case
    rules: dict[str, TensorRule]
    expected: tuple[ExpectedRule, ...]
    reference: Answer | None


def find_cases(path: str | Path) -> list[Path]:
    """The JSON files of all cases under ``path``, sorted.

    Args:
        path: a system's folder, a folder of such folders, or one JSON file.

    Raises:
        ConformanceError: if there is none.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    found = sorted(path.rglob("*.json"))
    if not found:
        raise ConformanceError(f"{path}: {'no case (*.json) in it' if path.is_dir() else 'no such file or folder'}")
    return found


def load_case(path: str | Path) -> GoldenCase:
    """Read ``CASE.json`` and the ``CASE.safetensors`` beside it.

    Raises:
        ConformanceError: naming the file, if either cannot be read, a key is missing or of the wrong type, an output
            has no rule, or only some of the results are recorded.
    """
    path = Path(path)
    document, tensors = _read_document(path), _read_tensors(path.with_suffix(".safetensors"))
    try:
        return _build(path, document, tensors)
    except ConformanceError as error:
        raise ConformanceError(f"{path}: {error}") from error


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConformanceError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise ConformanceError(f"{path}: expected a JSON object, got {type(document).__name__}")
    return document


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConformanceError(f"{path}: {error}") from error


def _build(path: Path, document: dict[str, Any], tensors: dict[str, Tensor]) -> GoldenCase:
    expected = tuple(ExpectedRule.parse(source) for source in _list(document, "expected", default=[]))
    for expected_rule in expected:
        if not any(find_places(document, expected_rule.path[:1])):
            raise ConformanceError(f"expected values of {expected_rule.path[0]!r}, which the document lacks")
    outputs, given = _list(document, "outputs"), _list(document, "also_given", default=[])
    listed = [TensorRule.parse(source) for source in _list(document, "compare")]
    rules = {name: _first_fit(listed, name) for name in outputs if name not in given}
    rules = {name: rule for name, rule in rules.items() if rule.mode != "skip"}
    absent = [name for name in given if name not in tensors]
    if absent:
        raise ConformanceError(f"also_given tensors are missing: {', '.join(absent)}")
    case = Case(
        system=_text(document, "system"),
        family=_text(document, "family"),
        name=path.stem,
        config=document.get("config", {}),
        document=with_nulls(document, (rule.path for rule in expected)),
        params=_under(tensors, "param/"),
        inputs=_under(tensors, "input/"),
        given=_under({name: tensors[name] for name in given}, "output/"),
        outputs=tuple(name.removeprefix("output/") for name in outputs),
    )
    return GoldenCase(path, case, rules, expected, _reference(document, tensors, rules, expected))


def _reference(
    document: dict[str, Any],
    tensors: dict[str, Tensor],
    rules: dict[str, TensorRule],
    expected: tuple[ExpectedRule, ...],
) -> Answer | None:
    values = (value for rule in expected for _, value in find_places(document, rule.path))
    if not any(name in tensors for name in rules) and (rules or all(value is None for value in values)):
        return None
    needed = {needed for name, rule in rules.items() for needed in (name, *rule.partners(name))}
    absent = sorted(needed - tensors.keys())
    if absent:
        raise ConformanceError(f"only some results are recorded; missing: {', '.join(absent)}")
    return Answer(tensors, document)


def _first_fit(rules: list[TensorRule], name: Any) -> TensorRule:
    if not isinstance(name, str) or not name.startswith("output/"):
        raise ConformanceError(f"'outputs' must hold names that start with output/, got {name!r}")
    for rule in rules:
        if rule.fits(name):
            return rule
    raise ConformanceError(f"no compare rule fits {name}")


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _list(document: dict[str, Any], key: str, default: list[Any] | None = None) -> list[Any]:
    value = document.get(key, default)
    if not isinstance(value, list):
        raise ConformanceError(f"{key!r} must be a list, got {'nothing' if value is None else repr(value)}")
    return value


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise ConformanceError(f"{key!r} must be a string, got {'nothing' if value is None else repr(value)}")
    return value
