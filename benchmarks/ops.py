"""Message passing against its peers: ``python -m benchmarks.ops`` writes benchmarks/results/ops.{md,json,png}.

Ours and the peers' run by turns on two threads, and the least time of each is kept; outputs and gradients are compared
before. A row that the JSON file holds is not measured again. ``--only TEXT`` measures the rows whose names contain the
text, ``--again`` also those that are there; the table shows all that the file holds. torch-sparse and torch-scatter are
measured where they are installed, Cora where ``$GRAPHLAB_DATA`` has it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.harness import BOTH, as_sections, measure, table
from benchmarks.ops_rows import groups
from benchmarks.ops_rows.peers import installed
from benchmarks.process import ROOT
from benchmarks.report import machine, show, write

RESULTS = ROOT / "benchmarks" / "results"
NOTE = (
    "Milliseconds: the least of several runs by turns. *MB* is the growth of the peak of resident memory. *copy* is "
    "what forward reads and writes at least, by its time, as a share of the measured bandwidth of copying; above 100 % "
    "where the graph fits into the cache. Peers whose tensors of edges times channels this machine cannot hold are "
    "not run."
)


def plot(measured: list[dict[str, Any]], path: Path) -> None:
    """How many times faster than each peer, forward and backward."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    peers = sorted({name for row in measured for name in row["forward"]} - {"ours"})
    figure, axes = plt.subplots(figsize=(10, 1 + 0.25 * len(measured)), layout="constrained")
    for peer in peers:
        those = [(i, row[BOTH]) for i, row in enumerate(measured) if peer in row["forward"]]
        axes.scatter([times[peer] / times["ours"] for _, times in those], [i for i, _ in those], label=peer, s=16)
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set(xscale="log", xlabel="times faster, forward and backward")
    axes.set_yticks(range(len(measured)), [row["name"] for row in measured], fontsize=8)
    axes.set_ylim(len(measured), -1)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", metavar="NAME", action="append", help=argparse.SUPPRESS)
    parser.add_argument("--only", metavar="TEXT", default="", help="only rows whose names contain this")
    parser.add_argument("--again", action="store_true", help="measure rows that the file holds anew")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    known = groups()
    if arguments.row:
        every = {name: make for group in known for name, make in group.items()}
        for name in arguments.row:
            print(json.dumps(measure(every[name]())), flush=True)
        return
    about, path = machine(), RESULTS / "ops.json"
    names = {"torch-scatter": "torch_scatter", "torch-sparse": "torch_sparse"}
    there = [f"{name} {importlib.metadata.version(name)}" for name, module in names.items() if installed(module)]
    about.append(("peers beside torch and PyG", ", ".join(there) or "none installed"))
    wanted = [[name for name in group if arguments.only in name] for group in known]
    again = {name for group in wanted for name in group} if arguments.again else set()
    by_name = {row["name"]: row for row in table("benchmarks.ops", wanted, path, again)}
    measured = [by_name[name] for group in known for name in group if name in by_name]
    sections = as_sections(measured)
    show(Console(width=180), sections)
    write(RESULTS / "ops.md", "Message passing against its peers", "python -m benchmarks.ops", about, NOTE, sections)
    plot(measured, RESULTS / "ops.png")


if __name__ == "__main__":
    main()
