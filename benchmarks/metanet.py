"""Metanetworks against plain ones: ``python -m benchmarks.metanet`` writes benchmarks/results/metanet.{md,json}.

Each row runs in a fresh process on one thread; ours and the plain formulation's step, forward and backward, run by
turns and the least time of each is kept. Outputs and gradients are compared before. Memory is the growth of the peak of
resident memory in one step, in a process of its own. A row that the JSON file holds is not measured again; ``--again``
starts anew.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.harness import measure, peak, table
from benchmarks.metanet_rows import rows
from benchmarks.process import ROOT, child
from benchmarks.report import Section, Target, machine, show, write

RESULTS = ROOT / "benchmarks" / "results"
MODULE = "benchmarks.metanet"
NOTE = "Milliseconds: the least of several steps by turns. *MB* is the growth of the peak of resident memory in a step."


def measured(name: str) -> dict[str, Any]:
    """The times of a row, and the memory of each callable, measured apart."""
    result = measure(rows()[name]())
    for label in ("forward", "forward+backward"):
        result[f"{label} MB"] = {who: child("-m", MODULE, "--memory", name, who, label)["MB"] for who in result[label]}
    return result


def cells(row: dict[str, Any]) -> list[list[str]]:
    """A line for each callable."""
    lines = []
    for name in row["forward"]:
        figures = [f"{row[label][name]:.1f}" for label in ("forward", "forward+backward")]
        figures += [f"{row[f'{label} MB'][name]:.0f}" for label in ("forward", "forward+backward")]
        ratio = row["forward+backward"][name] / row["forward+backward"]["ours"]
        lines.append([row["name"], name, *figures, f"{ratio:.1f}x"])
    return lines


def targets(row: dict[str, Any]) -> list[Target]:
    """The goals of a row, forward and backward."""
    found = []
    for key, label in (("goals", "forward+backward"), ("memory goals", "forward+backward MB")):
        for peer, goal in row[key].items():
            ratio = row[label][peer] / row[label]["ours"]
            what = f"{row['name']}: {'memory' if 'MB' in label else 'time'} against {peer}"
            found.append(Target(what, f"{ratio:.1f}x", f">= {goal:g}x", ratio >= goal))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--memory", nargs=3, metavar=("NAME", "WHO", "PASS"), help=argparse.SUPPRESS)
    parser.add_argument("--again", action="store_true", help="measure every row anew")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known = rows()
    if arguments.row:
        print(json.dumps(measured(arguments.row)))
        return
    if arguments.memory:
        name, who, label = arguments.memory
        print(json.dumps({"MB": peak(known[name](), who, label)}))
        return
    about, path = machine(), Path(RESULTS / "metanet.json")
    if arguments.again:
        path.unlink(missing_ok=True)
    found = table(MODULE, list(known), path)
    headings = ["what", "by", "forward ms", "+ backward ms", "forward MB", "+ backward MB", "ours is faster"]
    sections: list[Section] = [
        ("Goals", ["what", "measured", "goal", "met"], [t.cells() for row in found for t in targets(row)]),
        ("Forward, and forward with backward", headings, [line for row in found for line in cells(row)]),
    ]
    show(Console(width=160), sections)
    write(RESULTS / "metanet.md", "Metanetworks", f"python -m {MODULE}", about, NOTE, sections)


if __name__ == "__main__":
    main()
