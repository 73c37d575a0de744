"""What rows of benchmarks have in common: ours against peers at their best, on the same inputs, outputs compared first.

A row builds its callables; :func:`measure` runs ours and the peers' by turns and keeps the least time of each, then the
growth of the peak memory in one run of each. :func:`table` measures rows that a JSON file does not hold yet, those of a
group in one fresh process, and writes the file after each: a run that was interrupted, or was asked for some rows, goes
on where it stopped. :func:`as_sections` is what a document shows of them.
"""

from __future__ import annotations

import ctypes
import datetime
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.process import ROOT, proc_status
from benchmarks.report import Section, Target

BOTH = "forward+backward"
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
        exceptions: The share of the entries that may be further apart.
        goals: How many times faster than a peer ours should be.
        judged: The pass that the goals are of.
        memory: The share of a peer's extra memory that ours may take.
        left_out: Peers that are not run, and why.
    """

    name: str
    ours: Call
    peers: dict[str, Call]
    inputs: tuple[Tensor, ...]
    gigabytes: float
    tolerance: float = 1e-4
    exceptions: float = 0.0
    goals: dict[str, float] = field(default_factory=dict)
    judged: str = BOTH
    memory: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def measure(row: Row, seconds: float = 1.5) -> dict[str, Any]:
    """Milliseconds and megabytes of forward and backward, and of forward, by callable.

    All run once to be compared, then by turns until ``seconds`` are over, three times if that is soon enough.
    """
    calls = {"ours": row.ours, **row.peers}
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M")
    result: dict[str, Any] = {"name": row.name, "date": now, "load": os.getloadavg()[0], "copy": copy_bandwidth()}
    result |= {"goals": row.goals, "judged": row.judged, "memory goals": row.memory, "left out": row.left_out}
    with torch.no_grad():
        gradient = torch.randn_like(row.ours(*row.inputs))
    for label, run in ((BOTH, _both), ("forward", _forward)):
        expected: tuple[Tensor, ...] | None = None
        for name, call in calls.items():
            found = run(call, row.inputs, gradient)
            if expected is None:
                expected = found
            for a, b in zip(found, expected, strict=True):
                if a.numel():
                    apart = (a - b).abs() > row.tolerance * (b.abs().max() + 1)
                    share = float(apart.double().mean())
                    assert share <= row.exceptions, f"{row.name}: {share:.1e} of {name} differs"
            del found
        del expected
        times = dict.fromkeys(calls, float("inf"))
        rounds, start = 0, time.perf_counter()
        while rounds == 0 or time.perf_counter() < start + (seconds if rounds >= 3 else 5 * seconds):
            rounds += 1
            for name, call in calls.items():
                begin = time.perf_counter()
                run(call, row.inputs, gradient)
                times[name] = min(times[name], 1e3 * (time.perf_counter() - begin))
        result[label] = times
        result[f"{label} MB"] = {name: _peak(lambda: run(call, row.inputs, gradient)) for name, call in calls.items()}  # noqa: B023
    result["share of copy"] = row.gigabytes / (result["forward"]["ours"] / 1e3) / result["copy"]
    return result


def _forward(call: Call, inputs: tuple[Tensor, ...], _gradient: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return (call(*inputs),)


def _both(call: Call, inputs: tuple[Tensor, ...], gradient: Tensor) -> tuple[Tensor, ...]:
    leaves = [tensor for tensor in inputs if tensor.requires_grad]
    y = call(*inputs)
    return y.detach(), *torch.autograd.grad(y, leaves, gradient)


def _peak(run: Callable[[], Any]) -> float:
    """By how many MB the peak of resident memory grows; what was freed before is given back first."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = proc_status()["VmRSS"]
    run()
    return max(proc_status()["VmHWM"] - before, 0.0)


def copy_bandwidth(megabytes: int = 256) -> float:
    """GB/s read and written by copying memory."""
    source = torch.ones(megabytes * 250_000)
    target, least = torch.empty_like(source), float("inf")
    for _ in range(5):
        start = time.perf_counter()
        target.copy_(source)
        least = min(least, time.perf_counter() - start)
    return 2 * source.nbytes / 1e9 / least


def table(module: str, groups: list[list[str]], path: Path, again: set[str]) -> list[dict[str, Any]]:
    """The measurements of all rows that there are.

    Those of the groups that the file lacks, and those that are wanted ``again``, are made by
    ``python -m MODULE --row NAME --row NAME ...``, a group in a process.
    """
    known = {row["name"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    for group in groups:
        missing = [name for name in group if name not in known or name in again]
        while missing:
            done = set()
            for row in _measured(module, missing):
                known[row["name"]] = row
                done.add(row["name"])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(list(known.values()), indent=1) + "\n")
                print(row["name"], flush=True)
            left = [name for name in missing if name not in done]
            if left:  # the process ended at the first of them
                print(f"not measured: {left[0]}", flush=True)
            missing = left[1:]
    return list(known.values())


def _measured(module: str, names: list[str]) -> Iterator[dict[str, Any]]:
    """Rows as a fresh process prints them, a JSON object a line."""
    given = [argument for name in names for argument in ("--row", name)]
    command = [sys.executable, "-W", "ignore", "-m", module, *given]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)


def as_sections(measured: list[dict[str, Any]]) -> list[Section]:
    """The goals, and a line for each callable of each row."""
    headings = ["what", "by", "forward ms", "+ backward ms", "forward MB", "+ backward MB", "forward", "both", "copy"]
    goals = [target.cells() for row in measured for target in _targets(row)]
    return [
        ("Goals", ["what", "measured", "goal", "met"], goals),
        ("Forward, and forward with backward", headings, [line for row in measured for line in _cells(row)]),
    ]


def _cells(row: dict[str, Any]) -> list[list[str]]:
    """A line for each callable."""
    lines = []
    for name in row["forward"]:
        figures = [f"{row[label][name]:.2f}" for label in ("forward", BOTH)]
        figures += [f"{row[f'{label} MB'][name]:.0f}" for label in ("forward", BOTH)]
        ratios = [f"{row[label][name] / row[label]['ours']:.1f}x" for label in ("forward", BOTH)]
        share = f"{row['share of copy']:.0%}" if name == "ours" else ""
        lines.append([row["name"], name, *figures, *ratios, share])
    for name, why in row["left out"].items():
        lines.append([row["name"], f"{name}: {why}", *[""] * 7])
    return lines


def _targets(row: dict[str, Any]) -> list[Target]:
    """The goals of a row."""
    found, times, memory = [], row[row["judged"]], row[f"{BOTH} MB"]
    what = row["name"] if row["judged"] == BOTH else f"{row['name']}, {row['judged']}"
    for peer, goal in row["goals"].items():
        if peer in times:
            ratio = times[peer] / times["ours"]
            found.append(Target(f"{what}: against {peer}", f"{ratio:.1f}x", f">= {goal:g}x", ratio >= goal))
    for peer, goal in row["memory goals"].items():
        share = memory["ours"] / max(memory[peer], 1e-3)
        found.append(Target(f"{row['name']}: memory of {peer}", f"{share:.0%}", f"<= {goal:.0%}", share <= goal))
    return found
