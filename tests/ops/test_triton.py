"""Triton's kernels in its interpreter, against the plain versions; on a GPU, ``test_cuda.py`` runs the same checks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from graphlab.ops import adjacency, available, ran, spmm, spmm_stats
from graphlab.ops.adjacency import pointer
from tests.ops import gpu_checks
from tests.ops.gpu_checks import DTYPES, GRAPHS

pytest.importorskip("triton", reason="Triton is not installed")
if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("Triton is not interpreted: there is a GPU, which test_cuda.py uses", allow_module_level=True)

from graphlab.ops.kernels import triton_rows

SUBJECTS = ("spmm", "segments", "statistics", "attention", "overlap")


@pytest.fixture(autouse=True)
def cut_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are cut into pieces of four: the hub of 40 edges takes three passes."""
    monkeypatch.setattr(triton_rows, "PIECE", 4)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_as_the_plain_versions(subject: str, dtype: torch.dtype) -> None:
    getattr(gpu_checks, f"check_{subject}")("hub", dtype, "cpu")


@pytest.mark.parametrize("name", [name for name in GRAPHS if name != "hub"])
@pytest.mark.parametrize("subject", SUBJECTS)
def test_small_graphs(subject: str, name: str) -> None:
    getattr(gpu_checks, f"check_{subject}")(name, torch.float32, "cpu")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_whole_rows(subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_rows, "PIECE", 128)
    getattr(gpu_checks, f"check_{subject}")("hub", torch.float32, "cpu")


def test_places_of_extrema() -> None:
    gpu_checks.check_places("cpu")


def test_heads_and_channels_in_several_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_rows.tile, "__defaults__", (4,))
    adj = gpu_checks.graph("hub", "cpu")
    x, weight = (gpu_checks.values(*shape, dtype=torch.float64, device="cpu") for shape in ((25, 3, 6), (120, 3)))
    for reduce in ("mean", "max"):
        gpu_checks.same(lambda x, w, by=reduce: spmm(adj, x, w, by), (), x, weight)
    gpu_checks.same(lambda x: spmm_stats(adj, x, ("std", "max")), ("stats", "stats_gradient"), x)


def test_pieces_of_rows() -> None:
    rowptr = pointer(torch.tensor([0] * 40 + [2] * 4 + [3] * 5), 5)
    first, second, third = triton_rows.pieces(rowptr, 4)
    assert first.start.tolist() == [*range(0, 40, 4), 40, 40, 44, 48, 49, 49][: first.number + 1]
    assert first.row is not None
    assert first.row.tolist() == [0] * 10 + [1, 2, 3, 3, 4]
    assert (first.partial, second.partial, third.partial) == (12, 3, 0)
    assert triton_rows.pieces(rowptr, 64)[0].start is rowptr


def test_it_runs_only_on_request() -> None:
    adj = adjacency(torch.tensor([[0, 1], [1, 0]]))
    spmm(adj, torch.ones(2, 3))
    assert ran["spmm"] != "triton"
    assert "triton" not in available("spmm")


@pytest.mark.slow
def test_kernels_compile_for_hopper_without_spilling_much() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.ops.compile_kernels"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    spilled = [line.split() for line in done.stdout.splitlines()]
    assert {name for name, _ in spilled} >= {
        "_add",
        "_products",
        "_extremum",
        "_stats",
        "_attention",
        "_of_sources",
        "_find",
    }
    assert [line for line in spilled if int(line[1]) > 64] == []
