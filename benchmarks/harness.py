"""What rows of benchmarks have in common: each in a fresh process, against peers at their best, outputs compared first.

A row builds its callables; :func:`measure` runs ours and the peers' by turns, keeps the least time of each, then the
growth of the peak memory of one run of each. :func:`table` measures every row that a JSON file does not hold yet, so
that a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.process import child, proc_status

Call = Callable[..., Tensor]


@dataclass(frozen=True)
class Row:
    """What is compared.

    Attributes:
        name: Of the row.
        ours, peers: From the ``inputs`` to a tensor.
        inputs: Tensors; backward passes differentiate by those that require gradients.
        gigabytes: That the forward pass reads and writes at least once, for the share of the copy bandwidth.
        tolerance: Of outputs and gradients, relative to the largest.
        goals, memory_goals: How many times the time, and the memory, of peers forward and backward should be ours.
    """

    name: str
    ours: Call
    peers: dict[str, Call]
    inputs: tuple[Tensor, ...]
    gigabytes: float
    tolerance: float = 1e-4
    goals: dict[str, float] = field(default_factory=dict)
    memory_goals: dict[str, float] = field(default_factory=dict)


def measure(row: Row, seconds: float = 8.0) -> dict[str, Any]:
    """Milliseconds and megabytes of forward, and of forward and backward, by callable."""
    calls = {"ours": row.ours, **row.peers}
    passes = {"forward": _forward, "forward+backward": _both}
    result: dict[str, Any] = {"name": row.name, "goals": row.goals, "memory goals": row.memory_goals, "copy": copy_bandwidth()}
    gradient = torch.randn_like(row.ours(*row.inputs))
    expected = _both(row.ours, row.inputs, gradient)
    for name, call in row.peers.items():
        for a, b in zip(_both(call, row.inputs, gradient), expected, strict=True):
            assert float((a - b).abs().max()) <= row.tolerance * float(b.abs().max() + 1), f"{row.name}: {name} differs"
    for label, run in passes.items():
        least, end = dict.fromkeys(calls, float("inf")), time.perf_counter() + seconds
        rounds = 0
        while rounds < 3 or time.perf_counter() < end:
            for name, call in calls.items():
                start = time.perf_counter()
                run(call, row.inputs, gradient)
                least[name] = min(least[name], time.perf_counter() - start)
            rounds += 1
        result[label] = {name: 1e3 * value for name, value in least.items()}
        result[f"{label} MB"] = {name: _peak(lambda: run(call, row.inputs, gradient)) for name, call in calls.items()}  # noqa: B023
    result["share of copy"] = row.gigabytes / (result["forward"]["ours"] / 1e3) / result["copy"]
    return result


def _forward(call: Call, inputs: tuple[Tensor, ...], _gradient: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return (call(*inputs),)


def _both(call: Call, inputs: tuple[Tensor, ...], gradient: Tensor) -> tuple[Tensor, ...]:
    leaves = [tensor for tensor in inputs if tensor.requires_grad]
    y = call(*inputs)
    return y.detach(), *torch.autograd.grad(y, leaves, gradient, materialize_grads=True)


def _peak(run: Callable[[], Any]) -> float:
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = proc_status()["VmRSS"]
    run()
    return proc_status()["VmHWM"] - before


def copy_bandwidth(megabytes: int = 256) -> float:
    """GB/s read and written by copying memory."""
    source = torch.ones(megabytes * 250_000)
    target, least = torch.empty_like(source), float("inf")
    for _ in range(5):
        start = time.perf_counter()
        target.copy_(source)
        least = min(least, time.perf_counter() - start)
    return 2 * source.nbytes / 1e9 / least


def table(module: str, names: list[str], path: Path) -> list[dict[str, Any]]:
    """The measurements of all rows; each that the file lacks is made by ``python -m MODULE --row NAME``."""
    known = {row["name"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    for name in names:
        if name not in known:
            row = child("-m", module, "--row", name)
            if "error" in row:
                print(f"{name}: {row['error']}")
                continue
            known[name] = row
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(list(known.values()), indent=1) + "\n")
    return [known[name] for name in names if name in known]
