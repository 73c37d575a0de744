"""Finding, reading and stripping cases."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from graphlab.conformance import ConformanceError, find_cases, load_case, strip_case
from graphlab.conformance.places import find_places, parse_path, spell, value_at, with_nulls
from graphlab.conformance.rules import ExpectedRule, TensorRule, expand

DOCUMENT = {
    "system": "toy",
    "family": "sum",
    "case": "any label",
    "config": {"n": 2},
    "outputs": ["output/total", "output/rows", "output/noise"],
    "also_given": ["output/rows"],
    "compare": [
        {"match": "output/noise", "mode": "skip", "why": "for readers"},
        {"match": "*", "mode": "allclose", "atol": 1e-6},
    ],
    "nets": [{"args": {"a": 1}, "names": ["x", "y"]}, {"args": None}],
    "expected": [{"path": "nets[*].names", "mode": "set"}, {"path": "nets[*].args", "mode": "exact"}],
}
TENSORS = {
    "param/w": torch.ones(2),
    "input/x": torch.zeros(3),
    "output/total": torch.tensor(1.0),
    "output/rows": torch.tensor([0, 1]),
    "output/noise": torch.tensor(0.5),
}


def write(folder, document=DOCUMENT, tensors=TENSORS, name="first"):
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), folder / f"{name}.safetensors")
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document))
    return path


def test_cases_are_found_in_a_file_a_folder_and_a_folder_of_folders(tmp_path):
    paths = [write(tmp_path / "a", name="one"), write(tmp_path / "a", name="two"), write(tmp_path / "b", name="one")]
    assert find_cases(paths[0]) == [paths[0]]
    assert find_cases(str(tmp_path / "a")) == paths[:2]
    assert find_cases(tmp_path) == paths
    (tmp_path / "empty").mkdir()
    for nothing in ("empty", "absent"):
        with pytest.raises(ConformanceError, match=nothing):
            find_cases(tmp_path / nothing)


def test_an_adapter_sees_no_result(tmp_path):
    golden = load_case(write(tmp_path))
    case = golden.case
    assert (case.system, case.family, case.name, case.config) == ("toy", "sum", "first", {"n": 2})
    assert list(case.params) == ["w"]
    assert list(case.inputs) == ["x"]
    assert list(case.given) == ["rows"]
    assert case.outputs == ("total", "rows", "noise")
    assert case.document["nets"] == [{"args": None, "names": None}, {"args": None}]
    assert list(golden.rules) == ["output/total"]
    assert golden.reference is not None
    assert golden.reference.document["nets"] == DOCUMENT["nets"]


def test_stripped_copy(tmp_path):
    path = write(tmp_path / "toy")
    copy = strip_case(path, tmp_path / "out")
    assert copy == tmp_path / "out" / "first.json"
    assert set(load_file(copy.with_suffix(".safetensors"))) == {"param/w", "input/x", "output/rows"}
    stripped, golden = load_case(copy), load_case(path)
    assert stripped.reference is None
    assert stripped.case.document == golden.case.document
    assert sorted(file.name for file in copy.parent.iterdir()) == ["first.json", "first.safetensors"]


def test_case_with_json_results_only(tmp_path):
    document = {**DOCUMENT, "outputs": [], "also_given": []}
    assert load_case(write(tmp_path, document)).reference is not None
    assert load_case(strip_case(write(tmp_path, document), tmp_path / "out")).reference is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"system": None}, "'system' must be a string, got nothing"),
        ({"family": 3}, "'family' must be a string, got 3"),
        ({"outputs": None}, "'outputs' must be a list"),
        ({"outputs": ["total"]}, "start with output/"),
        ({"compare": [{"match": "output/n*", "mode": "skip"}]}, "no compare rule fits output/total"),
        ({"compare": [{"match": "*", "mode": "close"}]}, "must be one of allclose"),
        ({"compare": [{"mode": "exact"}]}, "lacks 'match'"),
        ({"compare": [{"match": "*", "mode": "allclose", "atol": "1"}]}, "must be a number"),
        ({"compare": [{"match": "*", "mode": "coo"}]}, "lacks 'index'"),
        ({"compare": [{"match": "*", "mode": "rows_any_order", "carry": "output/x"}]}, "must be a list of str"),
        ({"compare": [{"match": "*", "mode": "rows_any_order", "carry": ["output/x"]}]}, "missing: output/x"),
        ({"compare": ["exact"]}, "a rule is an object"),
        ({"expected": [{"path": "networks[*].names", "mode": "set"}]}, "'networks', which the document lacks"),
        ({"expected": [{"path": "nets[x]", "mode": "set"}]}, "path 'nets\\[x\\]'"),
        ({"also_given": ["output/other"]}, "output/other"),
    ],
)
def test_wrong_document(tmp_path, change, message):
    path = write(tmp_path, {**DOCUMENT, **change})
    with pytest.raises(ConformanceError, match=message) as raised:
        load_case(path)
    assert str(path) in str(raised.value)


def test_wrong_files(tmp_path):
    path = write(tmp_path)
    for text, message in (("[1]", "expected a JSON object, got list"), ("{", "Expecting"), ("\xff", "first.json")):
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(ConformanceError, match=message):
            load_case(path)
    write(tmp_path)
    tensors = path.with_suffix(".safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-4])
    with pytest.raises(ConformanceError, match=r"first\.safetensors"):
        load_case(path)
    tensors.unlink()
    with pytest.raises(ConformanceError, match=r"first\.safetensors"):
        load_case(path)
    with pytest.raises(ConformanceError, match=r"absent\.json"):
        load_case(tmp_path / "absent.json")


def test_results_recorded_in_part(tmp_path):
    document = {**DOCUMENT, "outputs": ["output/total", "output/more"]}
    with pytest.raises(ConformanceError, match="missing: output/more"):
        load_case(write(tmp_path, document))


def test_templates():
    assert expand("{dir}/index", "output/a/b/value") == "output/a/b/index"
    assert expand("networks[{1}].names", "output/3/graph/edges") == "networks[3].names"
    with pytest.raises(ConformanceError, match="2 components"):
        expand("{2}", "output/x")


def test_rules_ignore_keys_for_readers():
    assert TensorRule.parse({"match": "*", "mode": "exact", "why": "x"}) == TensorRule("*", "exact")
    assert ExpectedRule.parse({"path": "a", "mode": "set", "note": 1}) == ExpectedRule(("a",), "set")
    assert TensorRule("output/*", "exact").fits("output/a/b")
    assert not TensorRule("output/[ab]", "exact").fits("output/c")


def test_paths():
    document = {"a": [{"b": {"x": 1, "y z": 2}}, {"b": None}, {}], "c": [[1, 2], [3]]}

    def places(path):
        return {spell(location): value for location, value in find_places(document, parse_path(path))}

    assert places("a[*].b") == {"a[0].b": document["a"][0]["b"], "a[1].b": None}
    assert places("a[*].b.*") == {"a[0].b.x": 1, "a[0].b.y z": 2}
    assert places("c[*][*]") == {"c[0][0]": 1, "c[0][1]": 2, "c[1][0]": 3}
    assert places("c[1]") == {"c[1]": [3]}
    assert places("c[2]") == places("d") == places("a.b") == places("c[0].x") == {}
    assert value_at(document, ("a", 0, "b", "x")) == 1
    for absent in (("a", 5), ("a", "b"), ("d",), ("c", 0, 0, "x")):
        with pytest.raises(LookupError):
            value_at(document, absent)
    assert with_nulls(document, [parse_path("c[*][*]")])["c"] == [[None, None], [None]]
    assert document["c"] == [[1, 2], [3]]
