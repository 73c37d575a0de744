"""Running adapters: statuses, dumps, reports and exit codes."""

import json
import math
import sys

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from graphlab.conformance import ConformanceError, Results, Status, adapter, find_adapter, registry, run, strip_case


@pytest.fixture(autouse=True)
def _no_adapters(monkeypatch):
    monkeypatch.setattr(registry, "_adapters", {})


@pytest.fixture
def golden(tmp_path):
    """Three cases of two families: twice/a, twice/b and other/c."""
    folder = tmp_path / "toy"
    folder.mkdir()
    for name, family in (("a", "twice"), ("b", "twice"), ("c", "other")):
        x = torch.arange(3.0) + ord(name)
        save_file({"input/x": x, "output/y": 2 * x, "output/row": torch.tensor([1])}, folder / f"{name}.safetensors")
        document = {
            "system": "toy",
            "family": family,
            "case": name,
            "config": {},
            "outputs": ["output/y", "output/row"],
            "also_given": ["output/row"],
            "compare": [{"match": "*", "mode": "allclose", "atol": 1e-6}],
            "names": ["p", "q"],
            "expected": [{"path": "names", "mode": "set"}] if family == "twice" else [],
        }
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


def twice(case):
    assert "y" not in case.given
    assert case.document["names"] is None
    return Results({"y": 2 * case.inputs["x"]}, {"names": ("q", "p")})


def copy(case):
    return Results({"y": 2 * case.inputs["x"]})


def statuses(report):
    return [str(row.status) for row in report.rows]


def test_everything_passes(golden):
    adapter("toy", "twice")(twice)
    adapter("toy", "other")(copy)
    seen = []
    report = run(golden, progress=seen.append)
    assert statuses(report) == ["pass", "pass", "pass"]
    assert (report.exit_code, report.summary) == (0, "3 pass")
    assert seen == list(report.rows)
    assert report.rows[0].error == 0.0
    assert [comparison.name for comparison in report.rows[0].comparisons] == ["output/y", "names"]
    assert [row.case for row in run(golden / "b.json").rows] == ["b"]


def test_a_case_without_adapter_is_not_covered_and_writes_nothing(golden, tmp_path):
    adapter("toy", "twice")(twice)
    report = run(golden, dump=tmp_path / "out")
    assert statuses(report) == ["pass", "pass", "not covered"]
    assert report.exit_code == 2
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "a.json",
        "a.safetensors",
        "b.json",
        "b.safetensors",
    ]
    dumped = load_file(tmp_path / "out" / "a.safetensors")
    assert dumped["output/y"].tolist() == [194.0, 196.0, 198.0]
    assert dumped["output/row"].tolist() == [1]
    assert json.loads((tmp_path / "out" / "a.json").read_text()) == {"names": ["q", "p"]}


def test_a_failing_adapter_does_not_stop_the_run(golden):
    @adapter("toy", "twice")
    def wrong(case):
        if case.name == "a":
            raise RuntimeError("no such thing")
        return Results({"y": 2 * case.inputs["x"] + 0.5}, {"names": ["p"]})

    report = run(golden)
    assert statuses(report) == ["fail", "fail", "not covered"]
    assert report.exit_code == 1
    raised, differs, _ = report.rows
    assert raised.reason == "RuntimeError: no such thing"
    assert 'raise RuntimeError("no such thing")' in raised.traceback
    assert differs.reason.startswith("output/y: 3 of 3 entries differ")
    assert differs.reason.endswith("(and 1 more)")
    assert differs.error == math.inf


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ({"y": torch.ones(3)}, "must return Results, got dict"),
        (Results({"y": [1.0]}), "output/y: expected a Tensor, got list"),
        (Results({"y": torch.ones(3)}, {"names": torch.ones(3)}), "not JSON serializable"),
        (Results(), "output/y: missing"),
    ],
)
def test_what_an_adapter_must_return(golden, results, reason):
    adapter("toy", "twice")(lambda _: results)
    row = run(golden / "a.json").rows[0]
    assert row.status is Status.FAIL
    assert reason in row.reason


def test_results_may_share_memory_and_need_gradients(golden, tmp_path):
    @adapter("toy", "other")
    def shared(case):
        y = (2 * case.inputs["x"]).requires_grad_()
        return Results({"y": y, "again": y, "view": y[::2]})

    assert statuses(run(golden / "c.json", dump=tmp_path)) == ["pass"]
    assert load_file(tmp_path / "c.safetensors")["output/view"].tolist() == [198.0, 202.0]


def test_stripped_cases_are_dumped(golden, tmp_path):
    adapter("toy", "twice")(twice)
    stripped = tmp_path / "stripped"
    for name in "ab":
        strip_case(golden / f"{name}.json", stripped)
    report = run(stripped, dump=tmp_path / "out")
    assert statuses(report) == ["dumped", "dumped"]
    assert (report.exit_code, report.rows[0].error) == (0, None)
    assert run(golden / "a.json", dump=tmp_path / "full").exit_code == 0
    assert (tmp_path / "out" / "a.safetensors").read_bytes() == (tmp_path / "full" / "a.safetensors").read_bytes()


def test_stripped_cases_tell_what_is_missing(golden, tmp_path):
    adapter("toy", "twice")(lambda _: Results())
    strip_case(golden / "a.json", tmp_path / "stripped")
    (row,) = run(tmp_path / "stripped").rows
    assert (row.status, row.reason) == (Status.FAIL, "output/y: missing (and 1 more)")


def test_an_unreadable_case_fails_alone(golden):
    adapter("toy", "twice")(twice)
    (golden / "b.json").write_text("{}")
    report = run(golden)
    assert statuses(report) == ["pass", "fail", "not covered"]
    assert (report.rows[1].system, report.rows[1].family) == ("toy", "?")
    assert "b.json" in report.rows[1].reason


def test_two_cases_may_not_share_a_dump(golden, tmp_path):
    golden.rename(tmp_path / "all")
    other = tmp_path / "all" / "other"
    other.mkdir()
    for suffix in ("json", "safetensors"):
        (other / f"a.{suffix}").write_bytes((tmp_path / "all" / f"a.{suffix}").read_bytes())
    assert len(run(tmp_path / "all").rows) == 4
    with pytest.raises(ConformanceError, match="2 cases are named a"):
        run(tmp_path / "all", dump=tmp_path / "out")
    with pytest.raises(ConformanceError, match="absent"):
        run(tmp_path / "absent")


def test_report_as_json_and_table(golden):
    adapter("toy", "twice")(lambda _: Results({"y": torch.full((2,), torch.nan)}))
    report = run(golden)
    document = json.loads(report.to_json())
    assert document["exit_code"] == 1
    assert document["summary"] == {"fail": 2, "not covered": 1}
    first = document["rows"][0]
    assert (first["case"], first["status"], first["error"]) == ("a", "fail", None)
    assert first["comparisons"][0]["reason"] == "shape [2], expected [3]"
    console = Console(width=200)
    with console.capture() as capture:
        console.print(report.to_table())
    text = capture.get()
    assert "shape [2], expected [3]" in text
    assert "2 fail, 1 not covered" in text


def test_one_adapter_for_several_families_and_none_twice():
    adapter("toy", "one")(adapter("toy", "two")(copy))
    assert find_adapter("toy", "one") is find_adapter("toy", "two") is copy
    assert find_adapter("toy", "three") is None
    with pytest.raises(ValueError, match="already has the adapter"):
        adapter("toy", "one")(twice)


def test_adapter_modules_are_imported_when_their_system_is_met(tmp_path, monkeypatch):
    source = "from graphlab.conformance import Results, adapter\nadapter({!r}, 'f')(lambda case: Results())\n"
    for module, system in (("zoo", "zoo"), ("zoo_more", "zoo2"), ("zoology", "zoology")):
        (tmp_path / f"{module}.py").write_text(source.format(system))
        monkeypatch.delitem(sys.modules, f"graphlab.conformance.adapters.{module}", raising=False)
    monkeypatch.setattr(registry.adapters, "__path__", [str(tmp_path)])
    assert find_adapter("zoo", "f") is not None
    assert ("zoo2", "f") in registry._adapters
    assert ("zoology", "f") not in registry._adapters
