"""Choosing backends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from graphlab.ops import adjacency, available, backend, ran, spmm
from graphlab.ops.dispatch import ENVIRONMENT, ORDER
from tests.ops.graphs import GRAPHS, features

ADJ = adjacency(*GRAPHS["random"])
X = features((50, 4), torch.float32)


def test_plain_pytorch_is_always_there_and_the_last_choice() -> None:
    for operator in ("spmm", "spmm_extremum", "spmm_extremum_gradient", "sddmm"):
        assert available(operator)[-1] == "reference"
        assert set(available(operator)) <= set(ORDER)


def test_context_manager_chooses_and_gives_back() -> None:
    spmm(ADJ, X)
    usual = ran["spmm"]
    with backend("reference"):
        spmm(ADJ, X)
        assert ran["spmm"] == "reference"
    spmm(ADJ, X)
    assert ran["spmm"] == usual


def test_gradient_runs_on_the_backend_that_is_chosen_when_it_is_computed() -> None:
    x = X.clone().requires_grad_()
    spmm(ADJ, x).sum().backward()
    with backend("reference"):
        spmm(ADJ, x).sum().backward()
        assert ran["spmm"] == "reference"


def test_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "reference")
    spmm(ADJ, X)
    assert ran["spmm"] == "reference"
    monkeypatch.setenv(ENVIRONMENT, "cuda")
    with pytest.raises(ValueError, match="no backend 'cuda'; there are triton, numba"):
        spmm(ADJ, X)


def test_unknown_backend_is_named() -> None:
    with pytest.raises(ValueError, match="no backend 'fast'"), backend("fast"):
        pass


def test_backend_that_does_not_take_the_arguments_says_so() -> None:
    with backend("torch_sparse"), pytest.raises(ValueError, match="spmm: backend torch_sparse does not support"):
        spmm(ADJ, X.half())


PROGRAM = """
import torch
torch.backends.mkl.is_available = lambda: {mkl}
from graphlab.ops import adjacency, available, ran, spmm
adj = adjacency(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3)
for reduce in ("sum", "mean", "min", "max"):
    x = torch.randn(3, 2, requires_grad=True)
    assert torch.equal(spmm(adj, x, reduce=reduce), x[[2, 0, 1]])
    spmm(adj, x, reduce=reduce).sum().backward()
    assert torch.equal(x.grad, torch.ones(3, 2))
print(*available("spmm"), ran["spmm"])
"""


@pytest.mark.parametrize("mkl", [True, False])
@pytest.mark.parametrize("numba", [True, False])
def test_without_numba_or_mkl_other_backends_run(tmp_path: Path, numba: bool, mkl: bool) -> None:
    if not numba:
        (tmp_path / "numba.py").write_text("raise ImportError('not installed')")
    environment = {name: value for name, value in os.environ.items() if name not in (ENVIRONMENT, "TRITON_INTERPRET")}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent.parent)])
    command = [sys.executable, "-c", PROGRAM.format(mkl=mkl and torch.backends.mkl.is_available())]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    *installed, ran_last = result.stdout.split()
    expected = {"numba": numba, "csr": mkl and torch.backends.mkl.is_available(), "reference": True}
    assert {name: name in installed for name in expected} == expected
    assert ran_last == installed[0]


def test_operators_work_on_tensors_that_only_have_shapes() -> None:
    adj = type(ADJ)(*(None if part is None else part.to("meta") for part in ADJ))
    x = torch.empty(50, 1, 4, device="meta")
    assert torch.ops.graphlab.spmm(*adj, None, x, None, False).shape == (50, 1, 4)
    y, place = torch.ops.graphlab.spmm_extremum(*adj, None, x, True)
    assert (y.shape, place.shape, place.dtype) == (x.shape, x.shape, torch.int32)
