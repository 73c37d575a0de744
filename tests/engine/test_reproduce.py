"""Tables in resumable pieces."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import reproduce
from graphlab.engine import EngineError
from graphlab.presets import Preset, Published
from tests.engine import toy  # noqa: F401 (registers the small protocol)

SAID = {"test_accuracy": Published(0.5, "a paper", 0.01, 100)}
PRESET = Preset("toy", "toy-mlp", "line", {"epochs": 3}, {"epochs": "here"}, SAID)
ROWS = [reproduce.Row(PRESET), reproduce.Row(PRESET, {"lr": 0.02})]
HEADING = reproduce.Heading("A table", seeds=2, note="Of nothing.")


def lines_of(runs):
    text = reproduce.report(HEADING, ROWS, runs)
    return [line.split(" | ") for line in text.splitlines() if line.startswith("| toy")]


def test_a_table_without_time_is_empty_and_partial(tmp_path):
    reproduce.run_table(HEADING, ROWS, tmp_path, 0, None)
    assert [line[1] for line in lines_of(tmp_path)] == ["0 of 2, partial"] * 2


def test_a_table_goes_on_until_it_is_complete(tmp_path):
    reproduce.run_table(replace(HEADING, seeds=1), ROWS[:1], tmp_path, 600, None)
    assert [line[1] for line in lines_of(tmp_path)] == ["1 of 2, partial", "0 of 2, partial"]
    reproduce.run_table(HEADING, ROWS, tmp_path, 600, None)
    first, second = lines_of(tmp_path)
    assert first[1] == second[1] == "2"
    assert "±" in first[2]
    assert first[-1] == "test_accuracy 50.00 ± 1.00 |"
    assert second[-1] == " |"  # nobody reported that learning rate
    started = (tmp_path / "toy" / "environment.json").read_text()
    reproduce.run_table(HEADING, ROWS, tmp_path, 600, None)
    assert (tmp_path / "toy" / "environment.json").read_text() == started


@pytest.mark.parametrize("name", [path.stem for path in (reproduce.HERE / "tables").glob("*.yaml")])
def test_the_tables_that_there_are_can_be_read(name):
    heading, rows = reproduce.read_table(reproduce.HERE / "tables" / f"{name}.yaml")
    assert heading.seeds > 1
    assert len(rows) > 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "expected a mapping"),
        ("{title: a, seeds: 2, rows: [{preset: nothing}]}", "no preset 'nothing'"),
        ("{title: a, seeds: 2, rows: [{preset: dagnn-cora}, {preset: dagnn-cora}]}", "comes twice"),
        ("{title: a, seeds: 2, rows: [{preset: dagnn-cora, set: {KK: 3}}]}", "no setting KK"),
        ("{title: a, seeds: 2, rows: [{name: dagnn-cora}]}", "expected preset"),
        ("{title: a, seeds: many, rows: []}", "seeds must be a whole number"),
        ("{title: a, runs: 3, rows: []}", "no setting runs"),
    ],
)
def test_a_table_with_a_mistake_is_refused(tmp_path, text, said):
    (tmp_path / "table.yaml").write_text(text)
    with pytest.raises(EngineError, match=said):
        reproduce.read_table(tmp_path / "table.yaml")


def test_an_unknown_table_is_refused(tmp_path):
    (tmp_path / "known.yaml").touch()
    with pytest.raises(EngineError, match="no table unknown; there are known"):
        reproduce.read_table(tmp_path / "unknown.yaml")
