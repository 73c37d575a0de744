"""Message passing against its peers: ``python -m benchmarks.ops`` writes benchmarks/results/ops.{md,json,png}.

Each row runs in a fresh process on two threads; ours and the peers' run by turns and the least time of each is kept.
Outputs and gradients are compared before. A row that the JSON file holds is not measured again; ``--again`` starts
anew. ``--large`` adds the graph of a million nodes. torch-sparse is measured where it is installed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.harness import measure, table
from benchmarks.ops_rows import rows
from benchmarks.process import ROOT
from benchmarks.report import Section, Target, machine, show, write

RESULTS = ROOT / "benchmarks" / "results"
NOTE = (
    "Milliseconds: the least of several runs by turns. *MB* is the growth of the peak of resident memory. *copy* is "
    "what forward reads and writes at least, by its time, as a share of the measured bandwidth of copying."
)


def cells(row: dict[str, Any]) -> list[list[str]]:
    """A line for each callable."""
    lines = []
    for name in row["forward"]:
        figures = [f"{row[label][name]:.2f}" for label in ("forward", "forward+backward")]
        figures += [f"{row[f'{label} MB'][name]:.0f}" for label in ("forward", "forward+backward")]
        ratio = row["forward+backward"][name] / row["forward+backward"]["ours"]
        share = f"{row['share of copy']:.0%}" if name == "ours" else ""
        lines.append([row["name"], name, *figures, f"{ratio:.1f}x", share])
    return lines


def targets(row: dict[str, Any]) -> list[Target]:
    """The goals of a row, forward and backward."""
    found = []
    for peer, goal in row["goals"].items():
        if peer in row["forward"]:
            ratio = row["forward+backward"][peer] / row["forward+backward"]["ours"]
            found.append(Target(f"{row['name']}: against {peer}", f"{ratio:.1f}x", f">= {goal:g}x", ratio >= goal))
    return found


def plot(measured: list[dict[str, Any]], path: Path) -> None:
    """How many times faster than each peer, forward and backward."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    peers = sorted({name for row in measured for name in row["forward"]} - {"ours"})
    figure, axes = plt.subplots(figsize=(9, 1 + 0.3 * len(measured)), layout="constrained")
    for peer in peers:
        those = [(i, row["forward+backward"]) for i, row in enumerate(measured) if peer in row["forward"]]
        axes.scatter([times[peer] / times["ours"] for _, times in those], [i for i, _ in those], label=peer)
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set(xscale="log", xlabel="times faster, forward and backward")
    axes.set_yticks(range(len(measured)), [row["name"] for row in measured])
    axes.invert_yaxis()
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--large", action="store_true", help="also the graph of a million nodes")
    parser.add_argument("--again", action="store_true", help="measure every row anew")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    known = rows()
    if arguments.row:
        print(json.dumps(measure(known[arguments.row]())))
        return
    about, path = machine(), RESULTS / "ops.json"
    if arguments.again:
        path.unlink(missing_ok=True)
    names = [name for name in known if arguments.large or "1M/10M" not in name]
    measured = table("benchmarks.ops", names, path)
    headings = ["what", "by", "forward ms", "+ backward ms", "forward MB", "+ backward MB", "ours is faster", "copy"]
    sections: list[Section] = [
        ("Goals", ["what", "measured", "goal", "met"], [t.cells() for row in measured for t in targets(row)]),
        ("Forward, and forward with backward", headings, [line for row in measured for line in cells(row)]),
    ]
    show(Console(width=160), sections)
    write(RESULTS / "ops.md", "Message passing against its peers", "python -m benchmarks.ops", about, NOTE, sections)
    plot(measured, RESULTS / "ops.png")


if __name__ == "__main__":
    main()
