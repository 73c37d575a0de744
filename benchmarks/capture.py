"""Measures what capture and structure cost, beside ``torch.export`` alone and ``import torch_geometric``.

    python -m benchmarks.capture           # about five minutes on two cores
    python -m benchmarks.capture --large   # also a network of the shape of Llama 8B
    python -m benchmarks.capture --only llama_8b

Every row is measured in a fresh process, after capturing one linear layer, so that what torch imports on the first
export is not counted (it has a row of its own). The first run of a row is what is compared with its target. The ratio
compares the best of several runs of capture and structure with the best of as many runs of ``torch.export``, in turn,
on the same module with the same settings. Writes ``benchmarks/results/capture.md``, unless rows were chosen.
"""

from __future__ import annotations

import argparse
import json

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.capture_rows import LARGE, ROWS, SMALL, Measurement, measure_here
from benchmarks.process import ROOT, child
from benchmarks.report import Section, Target, below, machine, show, write

RESULTS = ROOT / "benchmarks" / "results" / "capture.md"
IMPORTS = {
    "import graphlab": "import graphlab",
    "import graphlab and all subpackages": "import graphlab.capture, graphlab.checkpoint, graphlab.cli, "
    "graphlab.conformance, graphlab.interop, graphlab.weightgraph",
    "import torch": "import torch",
    "import torch_geometric": "import torch_geometric",
}
IMPORT_RUNS = 5
NETWORK_HEADINGS = [
    *("network", "parameters", "operators", "free groups", "capture s", "structure s", "CPU s"),
    *("best sum s", "torch.export s", "ratio", "peak MB"),
]
NOTE = (
    "*capture s* and *structure s* (wall) and *CPU s* (of both together) are of the first run, whose wall time is "
    "compared with the targets. Where the wall time is well above the CPU time, other processes held the machine. "
    "*best sum s* is the best of several runs; *ratio* is that over the best of as many runs of `torch.export` alone "
    "on the same module. "
    "*peak MB* is of the whole process after the first run, Python, torch and transformers included."
)


def import_seconds(statement: str) -> float:
    program = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    return float(child("-c", program))


def small_names() -> list[str]:
    program = "import json; from tests.architectures import ARCHITECTURES; print(json.dumps(list(ARCHITECTURES)))"
    found = child("-c", program)
    if isinstance(found, dict):
        raise SystemExit(f"tests/architectures.py cannot be read: {found['error']}")
    return [str(name) for name in found]


def total(row: Measurement) -> float | None:
    return row["capture"] + row["structure"] if "structure" in row else None


def targets(imports: dict[str, float], rows: dict[str, Measurement]) -> list[Target]:
    found = []
    if imports:
        geometric = imports["import torch_geometric"]
        for name in ("import graphlab", "import graphlab and all subpackages"):
            found.append(below(f"{name} / import torch_geometric", imports[name] / geometric, 1.3, ""))
    seconds = {name: total(row) for name, row in rows.items() if name.startswith(SMALL)}
    measured = {name: value for name, value in seconds.items() if value is not None}
    if measured:
        worst = max(measured, key=lambda name: measured[name])
        what = f"capture + structure, slowest of {len(measured)} small networks ({worst.removeprefix(SMALL)})"
        found.append(below(what, measured[worst], 2, "s"))
    if "minilm" in rows:
        found.append(below("MiniLM: capture + structure", total(rows["minilm"]), 3, "s"))
    if "minilm_weights" in rows:
        row = rows["minilm_weights"]
        found.append(below("MiniLM: open the file and attach it", row.get("attach"), 0.2, "s", 3))
        what = "MiniLM: peak memory of that beyond pages of the file"
        found.append(below(what, row.get("attach_beyond"), 30, "MB", 1))
        exact = row.get("bit_exact") and row.get("same_structure") and not row.get("left_out")
        what = "MiniLM: every tensor of the file saved and loaded again, bit for bit"
        found.append(Target(what, str(exact), "True", exact is True))
        passed = row.get("passed")
        what = f"MiniLM: verify, {row.get('groups', 0)} groups"
        found.append(Target(what, f"{passed} in {row.get('verify', 0):.1f} s", "True", passed is True))
    if "llama_8b" in rows:
        row = rows["llama_8b"]
        peak = row["peak"] / 1e3 if "peak" in row else None
        found.append(below("Llama 8B shape: capture + structure", total(row), 25, "s", 1))
        found.append(below("Llama 8B shape: peak memory of the process", peak, 1.5, "GB"))
    return found


def network_cells(name: str, row: Measurement) -> list[str]:
    if "error" in row:
        return [name, row["error"], *[""] * 9]
    size = f"{row['parameters']:,}" if row["parameters"] < 1e6 else f"{row['parameters'] / 1e6:,.1f} M"
    times = [f"{row[key]:.2f}" for key in ("capture", "structure", "processor", "best", "export", "ratio")]
    return [name, size, str(row["operators"]), f"{row['free']} of {row['groups']}", *times, f"{row['peak']:,.0f}"]


def sections(imports: dict[str, float], rows: dict[str, Measurement]) -> list[Section]:
    """Title, headings and rows of each table that there is something for."""
    found = [("Targets", ["what", "measured", "target", "met"], [t.cells() for t in targets(imports, rows)])]
    found.append(("Imports", ["statement", "seconds"], [[n, f"{seconds:.3f}"] for n, seconds in imports.items()]))
    once = {"first_capture": "first capture of a process (one linear layer)"}
    cells = [[once[n], f"{row['capture']:.2f}"] for n, row in rows.items() if n in once and "error" not in row]
    weights = rows.get("minilm_weights", {})
    labels = {
        "attach": "MiniLM: open, match names, attach (s)",
        "attach_beyond": "the same: peak memory beyond pages of the file (MB)",
        "attach_anonymous": "the same: anonymous memory kept (MB)",
        "attach_file": "the same: pages of files made resident (MB)",
        "save_and_load": "MiniLM: save the weight-graph and load it (s)",
        "verify": "MiniLM: verify, float64 (s)",
        "worst": "MiniLM: largest relative change by a symmetry",
    }
    cells += [[label, f"{weights[key]:.3g}"] for key, label in labels.items() if key in weights]
    cells += [[f"MiniLM weights: {weights['error']}", ""]] if "error" in weights else []
    found.append(("Other", ["what", "measured"], cells))
    networks = {name: row for name, row in rows.items() if name not in ("first_capture", "minilm_weights")}
    for title, is_small in (("Published shapes, on the meta device", False), ("Small networks", True)):
        chosen = {n.removeprefix(SMALL): row for n, row in networks.items() if n.startswith(SMALL) == is_small}
        if is_small:
            chosen = dict(sorted(chosen.items(), key=lambda item: -(total(item[1]) or 0)))
        found.append((title, NETWORK_HEADINGS, [network_cells(name, row) for name, row in chosen.items()]))
    return [section for section in found if section[2]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure capture and structure; write benchmarks/results/capture.md.")
    parser.add_argument("--large", action="store_true", help="also a network of the shape of Llama 8B")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="only these rows, and write no file")
    parser.add_argument("--measure", metavar="ROW", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure_here(arguments.measure)))
        return
    console = Console()
    console.width = max(console.width, 120)
    about = machine()
    names = [*ROWS, *(LARGE if arguments.large else ()), *(SMALL + name for name in small_names())]
    if arguments.only:
        known = {*ROWS, *LARGE, *names}
        unknown = [name for name in arguments.only if name not in known]
        if unknown:
            parser.error(f"no row {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        names = arguments.only
    imports: dict[str, float] = {}
    rows: dict[str, Measurement] = {}
    columns = (SpinnerColumn(), TextColumn("{task.description:<28}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        steps = IMPORT_RUNS * len(IMPORTS) if not arguments.only else 0
        task = progress.add_task("", total=steps + len(names))
        for _ in range(IMPORT_RUNS if steps else 0):
            for name, statement in IMPORTS.items():
                progress.update(task, description=name)
                imports[name] = min(import_seconds(statement), imports.get(name, float("inf")))
                progress.advance(task)
        for name in names:
            progress.update(task, description=name)
            rows[name] = child("-m", "benchmarks.capture", "--measure", name)
            progress.advance(task)
    tables = sections(imports, rows)
    show(console, tables)
    if not arguments.only:
        command = "python -m benchmarks.capture" + (" --large" if arguments.large else "")
        write(RESULTS, "What capture and structure cost", command, about, NOTE, tables)
        console.print(f"written to {RESULTS.relative_to(ROOT)}")
    failed = [name for name, row in rows.items() if "error" in row]
    missed = [target.what for target in targets(imports, rows) if target.met is False]
    if failed or missed:
        raise SystemExit("\n".join([*(f"failed: {n}" for n in failed), *(f"target missed: {w}" for w in missed)]))


if __name__ == "__main__":
    main()
