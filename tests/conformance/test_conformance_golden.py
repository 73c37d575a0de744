"""The recorded cases, compared with themselves: as they are, in another order, and slightly changed.

The small cases in tests/golden are always there; all others are read from the folder ``golden`` beside
``$GRAPHLAB_DATA``.
"""

import copy
import os
from dataclasses import replace
from pathlib import Path

import networkx as nx
import pytest
import torch

from graphlab.conformance import Answer, ConformanceError, compare, find_cases, load_case, strip_case
from graphlab.conformance.places import find_places, value_at
from graphlab.conformance.rules import expand

REPOSITORY = Path(__file__).parents[2]
SMALL = REPOSITORY / "tests" / "golden"
DATA = os.environ.get("GRAPHLAB_DATA")
ALL = (Path(DATA) if DATA else REPOSITORY.parent / "shared" / "data").parent / "golden"


def collect():
    paths = find_cases(SMALL)
    try:
        paths += find_cases(ALL)
    except ConformanceError:
        yield pytest.param(ALL, marks=pytest.mark.skip(reason=f"no golden cases in {ALL}"), id="all")
    for path in paths:
        origin = "small" if path.is_relative_to(SMALL) else "all"
        yield pytest.param(path, id=f"{origin}/{path.parent.name}/{path.stem}")


each_case = pytest.mark.parametrize("path", list(collect()))


def failures(golden, answer):
    return [comparison for comparison in compare(golden, answer) if not comparison.passed]


@each_case
def test_equals_itself(path):
    golden = load_case(path)
    assert golden.reference is not None
    assert compare(golden, golden.reference)
    assert failures(golden, golden.reference) == []


@each_case
def test_equals_itself_in_another_order(path):
    golden = load_case(path)
    assert failures(golden, shuffled(golden, torch.Generator().manual_seed(0))) == []


@each_case
def test_differs_when_changed(path):
    golden = load_case(path)
    first_of_mode = {
        rule.mode: name for name, rule in reversed(golden.rules.items()) if golden.reference.tensors[name].numel()
    }
    for name in first_of_mode.values():
        assert failures(golden, with_tensors(golden.reference, {name: changed(golden, name)})), name
        assert failures(golden, without(golden.reference, name)), name
    for rule in golden.expected:
        recorded = [(at, value) for at, value in find_places(golden.reference.document, rule.path) if value is not None]
        for location, value in recorded[:3]:
            document = copy.deepcopy(golden.reference.document)
            value_at(document, location[:-1])[location[-1]] = value + 1 if isinstance(value, int | float) else None
            assert failures(golden, replace(golden.reference, document=document)), location


@each_case
def test_stripped_case_has_no_results(path, tmp_path):
    golden, stripped = load_case(path), load_case(strip_case(path, tmp_path))
    assert stripped.reference is None
    assert stripped.case.document == golden.case.document
    assert stripped.case.outputs == golden.case.outputs
    for part in ("params", "inputs", "given"):
        kept, original = getattr(stripped.case, part), getattr(golden.case, part)
        assert kept.keys() == original.keys()
        assert all(kept[name].equal(original[name]) or original[name].isnan().any() for name in kept)


def with_tensors(answer, tensors):
    return replace(answer, tensors={**answer.tensors, **tensors})


def without(answer, name):
    return replace(answer, tensors={other: value for other, value in answer.tensors.items() if other != name})


def changed(golden, name):
    """The tensor with its largest finite entry increased well beyond any tolerance."""
    rule = golden.rules[name]
    tensor = golden.reference.tensors[name].double().clone()
    magnitude = tensor.nan_to_num(0.0, 0.0, 0.0).abs().max()
    at = tensor.nan_to_num(-torch.inf, -torch.inf, -torch.inf).argmax()
    tensor.view(-1)[at] += 1 + 10 * (max(rule.atol, rule.first_atol or 0.0) + rule.rtol * magnitude)
    return tensor


def shuffled(golden, generator):
    """The reference in another order, as far as the rules leave the order free."""
    answer = Answer(dict(golden.reference.tensors), copy.deepcopy(golden.reference.document))
    indices = set()
    for name, rule in golden.rules.items():
        tensor = answer.tensors[name]
        match rule.mode:
            case "rows_any_order" | "columns_any_order":
                axis = 1 if rule.mode == "columns_any_order" else 0
                order = torch.randperm(tensor.shape[axis], generator=generator)
                answer.tensors[name] = tensor.index_select(axis, order)
                for carried in rule.partners(name):
                    answer.tensors[carried] = answer.tensors[carried][order]
            case "columns_up_to_sign" | "laplacian_eigenvectors":
                answer.tensors[name] = tensor * (2 * torch.randint(0, 2, tensor.shape[1:], generator=generator) - 1)
            case "coo":
                indices.add(expand(rule.index, name))
            case "graph" if name.endswith("/edges"):
                relabel(answer, name, rule, generator)
    for index in indices:
        halve_and_shuffle(answer, golden.rules, index, generator)
    return answer


def halve_and_shuffle(answer, rules, index, generator):
    """Store a sparse matrix as twice as many entries of half the value, and a zero."""
    entries = torch.cat([answer.tensors[index]] * 2 + [torch.zeros(2, 1, dtype=torch.long)], dim=1)
    order = torch.randperm(entries.shape[1], generator=generator)
    answer.tensors[index] = entries[:, order]
    for name, rule in rules.items():
        if rule.mode == "coo" and expand(rule.index, name) == index:
            halves = answer.tensors[name] / 2
            answer.tensors[name] = torch.cat([halves, halves, torch.zeros(1)])[order]


def relabel(answer, name, rule, generator):
    """List the nodes of a graph in a random topological order and its edges in any."""
    folder = name.rpartition("/")[0]
    edges = answer.tensors[name]
    count = len(answer.tensors[f"{folder}/node_type"])
    priority = torch.rand(count, generator=generator).tolist()
    links = nx.DiGraph(edges[edges[:, 2] == 1, :2].tolist())
    links.add_nodes_from(range(count))
    order = list(nx.lexicographical_topological_sort(links, key=lambda node: priority[node]))
    place = torch.empty(count, dtype=torch.long)
    place[order] = torch.arange(count)
    moved = torch.cat([place[edges[:, :2]], edges[:, 2:]], dim=1)
    answer.tensors[name] = moved[torch.randperm(len(moved), generator=generator)]
    for part in ("node_type", "param_shape"):
        answer.tensors[f"{folder}/{part}"] = answer.tensors[f"{folder}/{part}"][order]
    ((location, names),) = find_places(answer.document, rule.names_path(name))
    value_at(answer.document, location[:-1])[location[-1]] = [names[node] for node in order]
