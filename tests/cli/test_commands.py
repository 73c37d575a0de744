"""Every command on good and bad input: what it prints, how it ends, and never a bare stack trace."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from typer.testing import CliRunner

import graphlab
from graphlab import checkpoint
from graphlab.cli import app
from graphlab.weightgraph import WeightGraph, equal_bytes
from tests.architectures import ARCHITECTURES
from tests.cli import networks

FACTORY = "tests.cli.networks"
GOLDEN = "tests/golden"


def run(*arguments, code=0):
    """The result of a command, which must end with ``code`` and without a traceback."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def fail(*arguments):
    """The message of a command that must end with exit code 1, with nothing on stdout."""
    result = run(*arguments, code=1)
    assert result.stdout == ""
    return " ".join(result.stderr.split())


@pytest.fixture
def mlp(tmp_path):
    torch.save(networks.mlp()[0].state_dict(), tmp_path / "mlp.pt")
    return tmp_path / "mlp.pt"


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    ARCHITECTURES["bert_mlm"]().module.save_pretrained(folder)
    return folder


class Payload:
    def __reduce__(self):
        return os.system, ("touch harmed",)


@pytest.fixture(params=["missing", "empty", "truncated", "text", "pickle", "torch with code", "empty folder"])
def broken(request, tmp_path, mlp, monkeypatch):
    """A path that no command can open."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "broken.pt"
    match request.param:
        case "empty":
            path.touch()
        case "truncated":
            path.write_bytes(mlp.read_bytes()[:-200])
        case "text":
            path.write_text("not weights [red]at all[/red]")
        case "pickle":
            path.write_bytes(pickle.dumps(Payload()))
        case "torch with code":
            torch.save({"weight": Payload()}, path)
        case "empty folder":
            path.mkdir()
    yield path
    assert not (tmp_path / "harmed").exists()


# --- the whole program ------------------------------------------------------------------------------------------------


def test_help_does_not_import_torch():
    code = "import sys; sys.argv = ['graphlab', '--help']\nfrom graphlab.cli import main\n"
    code += "try:\n    main()\nfinally:\n    assert not {'torch', 'transformers', 'matplotlib'} & sys.modules.keys()\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in ("inspect", "convert", "verify", "conformance", "doctor"))


@pytest.mark.parametrize("command", ["inspect", "convert", "verify", "conformance", "doctor"])
def test_the_help_of_every_command_has_an_example(command):
    assert f"Example: graphlab {command}" in " ".join(run(command, "--help").output.split())


def test_version():
    assert run("--version").stdout.strip() == graphlab.__version__


@pytest.mark.parametrize("command", [["inspect"], ["verify"], ["convert", "-o", "out.safetensors"]])
def test_what_cannot_be_opened_is_named(broken, command):
    message = fail(*command, broken)
    assert message.startswith("error:")
    assert str(broken) in message


def test_an_unexpected_error_is_short_and_its_traceback_can_be_had(mlp, monkeypatch):
    def bug(_):
        raise ZeroDivisionError("a [bold]bug[/bold]")

    monkeypatch.setattr(checkpoint, "open", bug)
    message = fail("inspect", mlp)
    assert "unexpected error: ZeroDivisionError: a [bold]bug[/bold]" in message
    assert "GRAPHLAB_TRACEBACK=1" in message
    monkeypatch.setenv("GRAPHLAB_TRACEBACK", "1")
    assert isinstance(CliRunner().invoke(app, ["inspect", str(mlp)]).exception, ZeroDivisionError)


# --- inspect ----------------------------------------------------------------------------------------------------------


def test_inspect_a_file_of_tensors(mlp):
    output = run("inspect", mlp).stdout
    for said in (
        "torch",
        "float32 (4)",
        "all finite",
        "2.weight",
        "[3, 6]",
        "guessed from names and shapes",
        "--module",
    ):
        assert said in output
    document = json.loads(run("inspect", mlp, "--json").stdout)
    assert document["parameters"] == 4 * 6 + 6 + 6 * 3 + 3
    assert document["specs"]["0.weight"] == {"shape": [6, 4], "dtype": "float32"}
    assert document["guessed"]
    assert document["structure"]["axes"]["2.weight"] == ["2", "0"]


def test_inspect_a_hugging_face_folder(bert):
    output = run("inspect", bert).stdout
    assert "bert.encoder.layer.{0-1}.attention.self.query.weight" in output
    assert "may be permuted" in output
    document = json.loads(run("inspect", bert, "--json").stdout)
    assert len(document["structure"]["groups"]) > 5
    assert not document["guessed"]
    assert "guessed" not in output
    assert document["no_structure"] is None


def test_inspect_tells_of_values_that_are_no_numbers_and_of_tied_names(tmp_path):
    weight = torch.tensor([1.0, float("nan"), float("inf")])
    checkpoint.save({"a": weight, "b": weight}, tmp_path / "x.safetensors")
    output = run("inspect", tmp_path / "x.safetensors").stdout
    assert "NaN or infinite in a (2), b (2)" in output
    assert "a = b" in output
    assert json.loads(run("inspect", tmp_path / "x.safetensors", "--json").stdout)["nonfinite"] == {"a": 2, "b": 2}


def test_inspect_an_adapter(tmp_path):
    checkpoint.save({"base_model.model.layer.lora_A.weight": torch.ones(2, 3)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "someone/base"}')
    output = run("inspect", tmp_path).stdout
    assert "LORA of someone/base" in output
    assert "that of its base model" in output


def test_inspect_says_why_a_config_gives_no_structure(bert, tmp_path):
    for file in bert.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "nothing", "auto_map": {}}')
    output = " ".join(run("inspect", tmp_path).stdout.split())
    assert "No structure: " in output
    assert "has no model 'nothing'; it comes with code of its own (auto_map), which graphlab does not run" in output


def test_names_from_a_file_cannot_control_the_terminal(tmp_path):
    checkpoint.save({"\x1b[31mred": torch.ones(2), "[bold]x[/]": torch.ones(2)}, tmp_path / "x.safetensors")
    output = run("inspect", tmp_path / "x.safetensors").stdout
    assert "\x1b" not in output
    assert "[bold]x[/]" in output


# --- convert ----------------------------------------------------------------------------------------------------------


def test_convert_a_hugging_face_folder(bert, tmp_path):
    target = tmp_path / "graph.safetensors"
    output = run("convert", bert, "-o", target).stdout
    assert "bit for bit" in output
    graph = WeightGraph.load(target)
    assert equal_bytes(graph.state_dict(), transformers.BertForMaskedLM.from_pretrained(bert).state_dict())
    assert "may be permuted" in run("inspect", target).stdout
    assert "it is a weight-graph already" in fail("convert", target, "-o", tmp_path / "again.safetensors")


@pytest.mark.parametrize("function", ["mlp", "as_object"])
def test_convert_with_the_code_of_the_network(mlp, tmp_path, function):
    target = tmp_path / "graph.safetensors"
    report = json.loads(run("convert", mlp, "-o", target, "--module", f"{FACTORY}:{function}", "--json").stdout)
    assert report["parameters"] == 4 * 6 + 6 + 6 * 3 + 3
    assert (report["groups"], report["free_groups"], report["equal_bytes"]) == (3, 1, True)
    assert equal_bytes(WeightGraph.load(target).state_dict(), dict(checkpoint.open(mlp)))


def test_convert_without_code_guesses_and_says_so(mlp, tmp_path):
    target = tmp_path / "graph.safetensors"
    output = run("convert", mlp, "-o", target).stdout
    for said in ("3 groups", "0 may be permuted", "guessed from names and shapes", "--module", "bit for bit"):
        assert said in output
    report = json.loads(run("convert", mlp, "-o", target, "--json").stdout)
    assert (report["guessed"], report["groups"], report["free_groups"], report["equal_bytes"]) == (True, 3, 0, True)
    assert equal_bytes(WeightGraph.load(target).state_dict(), dict(checkpoint.open(mlp)))
    assert "guessed from names and shapes" in run("inspect", target).stdout
    assert json.loads(run("inspect", target, "--json").stdout)["guessed"]


def test_a_guess_from_a_file_of_everything_odd(tmp_path):
    tensors = {
        "[bold]x[/].weight": torch.randn(3, 0),
        "$e^{.weight": torch.randn(4, 2),
        "\x1b[31m red": torch.ones(5),
        "scalar": torch.tensor(2.0),
        "ids": torch.arange(6),
        "half.weight": torch.randn(2, 4).half(),
        "complex": torch.randn(2, 2, dtype=torch.complex64),
    }
    torch.save(tensors, tmp_path / "odd.pt")
    assert "\x1b" not in run("inspect", tmp_path / "odd.pt").stdout
    run("convert", tmp_path / "odd.pt", "-o", tmp_path / "graph.safetensors")
    assert equal_bytes(WeightGraph.load(tmp_path / "graph.safetensors").state_dict(), tensors)


def test_a_guess_of_tied_weights(tmp_path):
    weight = torch.randn(7, 4)
    torch.save({"embed.weight": weight, "head.weight": weight}, tmp_path / "tied.pt")
    run("convert", tmp_path / "tied.pt", "-o", tmp_path / "graph.safetensors")
    graph = WeightGraph.load(tmp_path / "graph.safetensors")
    assert graph.structure.tied == {"head.weight": "embed.weight"}
    assert equal_bytes(graph.state_dict(), {"embed.weight": weight, "head.weight": weight})


def test_what_is_not_guessed(bert, mlp, tmp_path):
    target = tmp_path / "graph.safetensors"
    assert f"give the folder, {bert}" in fail("convert", bert / "model.safetensors", "-o", target)
    assert f"give the folder, {bert}" in run("inspect", bert / "model.safetensors").stdout.replace("\n", "")
    report = json.loads(run("convert", mlp, "-o", target, "--module", f"{FACTORY}:mlp", "--json").stdout)
    assert not report["guessed"]
    checkpoint.save({"base_model.model.layer.lora_A.weight": torch.ones(2, 3)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "someone/base"}')
    assert "that of its base model" in fail("convert", tmp_path, "-o", target.with_name("adapter_graph.safetensors"))


def test_verify_does_not_guess(mlp, tmp_path):
    assert "give its code: graphlab verify package.module:function" in fail("verify", mlp)
    run("convert", mlp, "-o", tmp_path / "graph.safetensors")
    assert "give its code: graphlab verify package.module:function" in fail("verify", tmp_path / "graph.safetensors")


def test_convert_weights_of_another_network(mlp, tmp_path):
    message = fail("convert", mlp, "-o", tmp_path / "x.safetensors", "--module", f"{FACTORY}:two_outputs")
    assert "missing: 'one.weight'" in message
    assert not (tmp_path / "x.safetensors").exists()


def test_convert_into_a_folder_that_is_not_there(mlp, tmp_path):
    target = tmp_path / "nowhere" / "x.safetensors"
    assert "cannot be written" in fail("convert", mlp, "-o", target, "--module", f"{FACTORY}:mlp")


# --- verify -----------------------------------------------------------------------------------------------------------


def test_verify_a_factory_with_a_checkpoint(mlp):
    output = run("verify", f"{FACTORY}:mlp", "--checkpoint", mlp).stdout
    assert "symmetry" in output
    assert "passed" in output
    document = json.loads(run("verify", f"{FACTORY}:mlp", "--json").stdout)
    assert document["passed"]
    assert [check["verdict"] for check in document["checks"]] == ["symmetry", "fixed", "fixed"]


def test_verify_a_hugging_face_folder(bert):
    document = json.loads(run("verify", bert, "--json").stdout)
    assert document["passed"]
    assert document["outputs"] == ["logits"]


def test_verify_with_the_outputs_that_count():
    sizes = {}
    for outputs in (["logits"], ["hidden", "logits"]):
        options = [part for name in outputs for part in ("--output", name)]
        document = json.loads(run("verify", f"{FACTORY}:two_outputs", *options, "--json").stdout)
        sizes[len(outputs)] = sum(check["reason"] is None for check in document["checks"])
    assert sizes == {1: 1, 2: 0}
    message = fail("verify", f"{FACTORY}:two_outputs", "--output", "nothing")
    assert "no output nothing: this program has hidden, logits" in message
    assert "unexpected" not in message


def test_verify_ends_with_1_where_a_check_fails(monkeypatch):
    monkeypatch.setattr(sys.modules["graphlab.weightgraph.verify"], "CONTROL", 1e9)
    output = run("verify", f"{FACTORY}:mlp", code=1).stdout
    assert "control not felt" in output
    assert "failed" in output


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_package_of_mine:f", "cannot import no_such_package_of_mine"),
        (f"{FACTORY}:nothing", "has no nothing"),
        (f"{FACTORY}:fails", "it failed: RuntimeError: no such file in my project"),
        (f"{FACTORY}:no_tuple", "expected it to return (module, args, kwargs), got Linear"),
        (f"{FACTORY}:no_module", "got (str, tuple, dict)"),
        (f"{FACTORY}:not_a_function", "expected a function, got int"),
        (f"{FACTORY}:with_branch", "torch.export cannot follow"),
        ("a b c", "no such file"),
    ],
)
def test_verify_a_factory_that_is_none(target, message):
    said = fail("verify", target)
    assert "unexpected error" not in said
    assert message in said


def test_verify_weights_without_code(mlp, bert):
    assert "graphlab verify package.module:function --checkpoint" in fail("verify", mlp)
    assert "can be given to package.module:function only" in fail("verify", bert, "--checkpoint", mlp)


def test_convert_refuses_a_factory_of_the_wrong_form(mlp, tmp_path):
    message = fail("convert", mlp, "-o", tmp_path / "x.safetensors", "--module", "mlp.py")
    assert "expected package.module:function" in message


# --- conformance and doctor -------------------------------------------------------------------------------------------


def test_conformance_reports_with_its_exit_code(tmp_path, monkeypatch):
    from graphlab.conformance import Report, Row, Status

    for status, code in ((Status.PASS, 0), (Status.FAIL, 1), (Status.NOT_COVERED, 2)):
        report = Report((Row("system", "family", "case", status),))
        monkeypatch.setattr("graphlab.conformance.run", lambda *_, report=report: report)
        assert str(status) in run("conformance", tmp_path, code=code).stdout
        assert json.loads(run("conformance", tmp_path, "--json", code=code).stdout)["exit_code"] == code


def test_conformance_of_a_real_case(tmp_path):
    result = CliRunner().invoke(app, ["conformance", GOLDEN, "--dump", str(tmp_path), "--json"])
    cases = {path.stem for path in Path(GOLDEN).rglob("*.json")}
    assert {row["case"] for row in json.loads(result.stdout)["rows"]} == cases


def test_conformance_without_cases(tmp_path):
    assert str(tmp_path) in fail("conformance", tmp_path / "nowhere")


def test_doctor(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHLAB_DATA", str(tmp_path))
    (tmp_path / "planetoid").mkdir()
    assert f"{tmp_path}: planetoid" in run("doctor").stdout
    document = json.loads(run("doctor", "--json").stdout)
    assert document["packages"]["torch"] == importlib.metadata.version("torch")
    assert document["devices"][0]["device"] == "cpu"
    assert document["data"] == {"folder": str(tmp_path), "found": True, "holds": ["planetoid"]}
    monkeypatch.setenv("GRAPHLAB_DATA", str(tmp_path / "nowhere"))
    assert "which is no folder" in run("doctor").stdout
    monkeypatch.delenv("GRAPHLAB_DATA")
    assert "GRAPHLAB_DATA is not set" in run("doctor").stdout
