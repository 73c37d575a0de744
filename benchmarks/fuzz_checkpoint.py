"""Fuzzes `graphlab.checkpoint.open` with damaged and hostile weight files.

Every case takes a valid checkpoint of one format, mutates one of its files, opens it and reads all its tensors. Only a
`CheckpointError` may escape; nothing may be unpickled or run, no case may take long, and memory is limited.

    python -m benchmarks.fuzz_checkpoint --cases 20000 --seed 0

Case ``n`` of a seed is the same in every run: ``run_cases(range(n, n + 1), seed)`` repeats it.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import pickletools
import random
import resource
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import torch

import graphlab.checkpoint as checkpoints
from benchmarks.damage import MUTATIONS, Sample, samples

STAGES = ("refused before header", "header parsed, refused", "opened, read refused", "tensors read")
MAX_SECONDS = 5.0
MAX_GROWTH = 2**30
_BLOCK = 250
_CHOICE = ("flip", "payload", "truncate", "splice", *("structure",) * 4)
_FORBIDDEN_EVENTS = {"pickle.find_class", "os.system", "os.exec", "subprocess.Popen", "socket.connect", "os.remove"}


@dataclass
class Report:
    """What came of a number of cases."""

    stages: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    growth: int = 0

    def add(self, other: Report) -> None:
        self.stages += other.stages
        self.failures += other.failures
        self.slowest = max(self.slowest, other.slowest)
        self.growth = max(self.growth, other.growth)

    def count(self, stage: str) -> int:
        return sum(count for (_, reached), count in self.stages.items() if reached == stage)

    def table(self) -> str:
        """Returns the counts by mutation and stage."""
        widths = [max(len(stage), 9) for stage in STAGES]
        kinds = sorted({kind for kind, _ in self.stages})
        rows = [(kind, [self.stages[kind, stage] for stage in STAGES]) for kind in kinds]
        rows.append(("all", [self.count(stage) for stage in STAGES]))
        lines = [
            f"{'mutation':<12}" + "".join(f"  {stage:>{width}}" for stage, width in zip(STAGES, widths, strict=True))
        ]
        for kind, counts in rows:
            lines.append(f"{kind:<12}" + "".join(f"  {n:>{width}}" for n, width in zip(counts, widths, strict=True)))
        lines.append(f"slowest case {self.slowest * 1000:.0f} ms, peak memory growth {self.growth / 2**20:.0f} MiB")
        lines.append(f"{len(self.failures)} failures" + "".join(f"\n  {failure}" for failure in self.failures[:20]))
        return "\n".join(lines)


def header_parses(data: bytes) -> bool:
    """Whether the standard library finds a header in `data`: JSON, or a zip directory and a pickle's opcodes."""
    try:
        if data[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
                return all(opcode for opcode, _, _ in pickletools.genops(archive.read(name)))
        text = data[8 : 8 + int.from_bytes(data[:8], "little")] if data[8:9] == b"{" else data
        return isinstance(json.loads(text), dict)
    except Exception:
        return False


class Hang(BaseException):
    """A case took longer than it may."""


def run_cases(cases: range, seed: int) -> Report:
    """Runs the numbered cases in this process and reports how far each one got."""
    report = Report()
    before = _peak()
    with tempfile.TemporaryDirectory() as folder, _watched() as events:
        pool = samples()
        for number, sample in enumerate(pool):
            home = Path(folder, str(number))
            home.mkdir()
            for name, data in sample.files.items():
                (home / name).write_bytes(data)
        for case in cases:
            rng = random.Random(f"{seed}/{case}")
            number = rng.randrange(len(pool))
            kind = rng.choice(_CHOICE)
            _run_case(
                f"case {case}, {pool[number].name}, {kind}", pool[number], Path(folder, str(number)), kind, rng, report
            )
            if events:
                report.failures.append(f"case {case}: {events.pop()}")
    report.growth = _peak() - before
    return report


def _run_case(label: str, sample: Sample, home: Path, kind: str, rng: random.Random, report: Report) -> None:
    target = rng.choice(sample.targets)
    data = MUTATIONS[kind](sample.files[target], rng)
    (home / target).unlink()  # a mapped file must not be truncated in place
    (home / target).write_bytes(data)
    stage = STAGES[1] if header_parses(data) else STAGES[0]
    started = time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
    try:
        _Case.running = True
        checkpoint = checkpoints.open(home / sample.path)
        stage = STAGES[2]
        for name in checkpoint:
            checkpoint[name].reshape(-1)[:1].clone()
        checkpoint.nonfinite()
        repr(checkpoint)
        stage = STAGES[3]
        if sample.name == "safetensors":
            _compare(home / target, checkpoint)
    except checkpoints.CheckpointError as error:
        str(error).encode()
    except BaseException as error:
        report.failures.append(f"{label}: {type(error).__name__}: {error}"[:300])
    finally:
        _Case.running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        report.slowest = max(report.slowest, time.perf_counter() - started)
        report.stages[kind, stage] += 1
        (home / target).unlink()
        (home / target).write_bytes(sample.files[target])


def _compare(path: Path, checkpoint: checkpoints.Checkpoint) -> None:
    """What is opened here, the reference library must open too, with the same tensors."""
    with safetensors.safe_open(path, "pt") as reference:
        for name in reference.keys():  # noqa: SIM118
            ours, theirs = checkpoint[name], reference.get_tensor(name)
            assert ours.dtype == theirs.dtype, name
            assert ours.shape == theirs.shape, name
            same = ours.reshape(-1).view(torch.uint8).equal(theirs.reshape(-1).view(torch.uint8))
            assert same, name


class _Case:
    """Whether a case is running; audit hooks cannot be removed, so they ask."""

    running = False


@contextmanager
def _watched() -> Iterator[list[str]]:
    """Turns the alarm into `Hang`, and collects events that mean that a file had something run."""
    events: list[str] = []

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        if _Case.running and event in _FORBIDDEN_EVENTS:
            events.append(f"{event} {arguments}")

    def alarm(*_: object) -> None:
        raise Hang(f"more than {MAX_SECONDS} s")

    sys.addaudithook(audit)
    previous = signal.signal(signal.SIGALRM, alarm)
    yield events
    signal.signal(signal.SIGALRM, previous)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _limit_memory() -> None:
    torch.set_num_threads(1)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MAX_GROWTH, used + MAX_GROWTH))


def run(cases: int, seed: int) -> Report:
    """Runs `cases` cases in worker processes whose address space may grow by 1 GiB; a crash of one raises."""
    report = Report()
    context = multiprocessing.get_context("spawn")
    blocks = [range(start, min(start + _BLOCK, cases)) for start in range(0, cases, _BLOCK)]
    with ProcessPoolExecutor(os.cpu_count(), context, _limit_memory) as pool:
        for part in pool.map(run_cases, blocks, [seed] * len(blocks), timeout=MAX_SECONDS * _BLOCK * len(blocks)):
            report.add(part)
    return report


def main() -> None:
    """Runs from the command line; exits with 1 if any case failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started = time.perf_counter()
    report = run(arguments.cases, arguments.seed)
    print(report.table())
    print(f"{arguments.cases} cases in {time.perf_counter() - started:.0f} s")
    sys.exit(bool(report.failures))


if __name__ == "__main__":
    main()
