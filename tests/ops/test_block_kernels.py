"""Blocks in processes of their own: peak memory, and the Triton kernel in its interpreter."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def child(code: str, **environment: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


PEAK = """
import resource, torch
from graphlab.ops import block_messages
torch.set_num_threads(1)
def step(n, aggregators, over):
    e = torch.ones(1, n, n, {edge_channels})
    w = torch.ones(128, {edge_channels}, requires_grad=True)
    q, p = (torch.ones(1, n, 64, requires_grad=True) for _ in range(2))
    block_messages(e, w, source=q, target=p, aggregators=aggregators, over=over).reduce(aggregators).sum().backward()
for n in (64, 768):  # the first call loads what there is to load
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for over in ("source", "target"):
        step(n, ("mean",), over)
        step(n, ("mean", "min", "max", "std"), over)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / (n * n * 64 * 4 / 1024))
"""


@pytest.mark.slow
def test_memory_of_aggregation_stays_below_one_tensor_of_edges_times_channels() -> None:
    """Of 64 channels, from edge states of 8, forward and backward: the edge states themselves are an eighth."""
    assert float(child(PEAK.format(edge_channels=8))) < 0.75


INTERPRETED = """
import torch
from graphlab.ops import backend, block_messages, ran
torch.manual_seed(0)
wanted = ("mean", "min", "max", "std")
messages = ("film", "gate", "linear", "relu", "silu")
cases = [(torch.float32, 1e-5, message, over, (66, 2, 5, 20)) for message in messages for over in ("source", "target")]
cases += [(torch.float32, 1e-5, "film", "target", (2, 66, 17, 3))]
cases += [(torch.bfloat16, 2e-3, "film", "source", (66, 2, 17, 3))]
cases += [(torch.float32, 1e-5, "relu", over, (1, 0, 1, 1)) for over in ("source", "target")]
for dtype, tolerance, message, over, (n_source, n_target, edge_channels, channels) in cases:
    width = channels * (2 if message == "film" else 1)
    shapes = ((1, n_source, n_target, edge_channels), (width, edge_channels), (width,),
              (1, n_source, channels), (1, n_target, channels))
    edge, w, b, q, p = (torch.randn(shape).to(dtype) for shape in shapes)
    if n_source == 66:
        edge[0, 65, 1, 0] = torch.nan
    found = []
    for name in ("triton", "reference"):
        with backend(name):
            given = dict(source=q, target=p, message=message, over=over)
            found.append(block_messages(edge, w, b, **given, aggregators=wanted))
            assert ran["block_statistics"] == name
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)
edge = torch.randn(1, 70, 2, 3, requires_grad=True)
w = torch.randn(8, 3)
gradients = []
for name in ("triton", "reference"):
    with backend(name):
        y = block_messages(edge, w, aggregators=wanted, source=torch.ones(1, 70, 4)).reduce(wanted)
        gradients.append(torch.autograd.grad(y.square().sum(), edge)[0])
torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
print("equal")
"""


@pytest.mark.slow
def test_triton_in_its_interpreter() -> None:
    pytest.importorskip("triton")
    assert child(INTERPRETED, TRITON_INTERPRET="1").strip() == "equal"
