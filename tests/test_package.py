"""The package as its users meet it: what importing it costs, and whether what the documents show is true."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import graphlab

ROOT = Path(__file__).parent.parent
OPTIONAL = ("torch_scatter", "torch_sparse", "triton", "transformers", "ogb", "tensorboard")
SUBPACKAGES = (
    "capture",
    "checkpoint",
    "cli",
    "conformance",
    "datasets",
    "engine",
    "interop",
    "metrics",
    "nn",
    "ops",
    "presets",
    "protocols",
    "weightgraph",
)

GEOMETRIC = "`torch.jit.script` is deprecated"
"""What importing torch_geometric warns of."""


def _python(program: str, path: Path | None = None) -> str:
    """What the program prints, run in a fresh interpreter in the folder ``path``."""
    command = [sys.executable, "-W", "error", "-W", f"ignore:{GEOMETRIC}:DeprecationWarning", "-c", program]
    result = subprocess.run(command, cwd=path or ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def _imported(module: str, *before: str) -> set[str]:
    """Top-level packages in memory after importing the module that ``before`` did not bring."""
    program = f"""
import json, sys
for name in {before!r}:
    __import__(name)
known = set(sys.modules)
__import__({module!r})
print(json.dumps(sorted({{name.partition(".")[0] for name in set(sys.modules) - known}})))
"""
    return set(json.loads(_python(program)))


def _blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / document).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_subpackages_are_all_covered() -> None:
    found = {path.parent.name for path in (ROOT / "graphlab").glob("*/__init__.py")}
    assert found == set(SUBPACKAGES)


def test_importing_graphlab_imports_no_dependency() -> None:
    imported = _imported("graphlab")
    assert "graphlab" in imported
    assert imported.isdisjoint({*OPTIONAL, "torch", "torch_geometric", "numpy"})


@pytest.mark.parametrize("name", SUBPACKAGES)
def test_importing_a_subpackage_imports_no_optional_package(name: str) -> None:
    imported = _imported(f"graphlab.{name}", "torch", "torch.export")  # a CUDA build of torch may bring triton itself
    assert "graphlab" in imported
    assert imported.isdisjoint(OPTIONAL)


def test_importing_the_command_line_does_not_import_torch() -> None:
    assert "torch" not in _imported("graphlab.cli")


def test_version_is_the_one_in_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert graphlab.__version__ == project["version"]
    assert importlib.metadata.version(project["name"]) == project["version"]


def test_readme_example_runs_and_prints_what_the_readme_says() -> None:
    example = "".join(_blocks("README.md", "python"))
    printed, _snippet = _blocks("README.md", "text")
    assert _python(example).strip() == printed.strip()


def test_readme_shows_each_public_function_of_ops() -> None:
    from graphlab import ops

    example = "".join(_blocks("README.md", "python"))
    functions = [name for name in ops.__all__ if inspect.isfunction(getattr(ops, name))]
    assert [name for name in functions if f"ops.{name}(" not in example] == []


EXTENSION = """
import torch


@torch.library.custom_op("mylib::scale_channels", mutates_args=())
def scale_channels(input: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return input * scale[:, None]


@scale_channels.register_fake
def _(input, scale):
    return torch.empty_like(input)


scale_channels.register_autograd(
    lambda ctx, grad: (grad * ctx.saved_tensors[1][:, None], (grad * ctx.saved_tensors[0]).sum((0, 2))),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv1d(3, 6, 3)
        self.scale = torch.nn.Parameter(torch.randn(6))
        self.last = torch.nn.Conv1d(6, 4, 3)

    def forward(self, x):
        return self.last(scale_channels(self.first(x), self.scale))
"""

USE = """
import mylib, torch
from graphlab.weightgraph import verify

torch.manual_seed(0)
result = verify(mylib.Network(), (torch.randn(2, 3, 20),))
print(result.passed, len(result.structure.without_rule), [group.size for group in result.structure.free])
"""


@pytest.mark.parametrize(("installed", "expected"), [(False, "True 1 []"), (True, "True 0 [6]")])
def test_rule_of_the_contributing_guide_works_as_an_extension(installed: bool, expected: str, tmp_path: Path) -> None:
    (package := tmp_path / "mylib").mkdir()
    (package / "__init__.py").write_text(EXTENSION)
    rule = next(block for block in _blocks("CONTRIBUTING.md", "python") if "@rule" in block)
    (package / "graphlab_rules.py").write_text(rule)
    if installed:
        (entry,) = _blocks("CONTRIBUTING.md", "toml")
        ((group, names),) = tomllib.loads(entry)["project"]["entry-points"].items()
        (information := tmp_path / "mylib-1.0.dist-info").mkdir()
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: mylib\nVersion: 1.0\n")
        lines = [f"[{group}]", *(f"{name} = {module}" for name, module in names.items())]
        (information / "entry_points.txt").write_text("\n".join(lines) + "\n")
    assert _python(USE, tmp_path).strip() == expected
