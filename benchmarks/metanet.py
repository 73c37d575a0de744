"""Metanetworks against plain formulations: ``python -m benchmarks.metanet`` writes benchmarks/results/metanet.*.

Each row runs in a fresh process on one thread; a step of ours and of the plain formulation, forward and backward, run
by turns and the least time of each is kept. Outputs and gradients are compared before. A row that the JSON file holds
is not measured again; ``--only TEXT`` measures the rows whose names contain the text, ``--again`` also those that are
there.
"""

from __future__ import annotations

import argparse
import json

import torch
from rich.console import Console

from benchmarks.harness import as_sections, measure, table
from benchmarks.metanet_rows import rows
from benchmarks.process import ROOT
from benchmarks.report import machine, show, write

RESULTS = ROOT / "benchmarks" / "results"
MODULE = "benchmarks.metanet"
NOTE = "Milliseconds: the least of several steps by turns. *MB* is the growth of the peak of resident memory in a step."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", metavar="NAME", action="append", help=argparse.SUPPRESS)
    parser.add_argument("--only", metavar="TEXT", default="", help="only rows whose names contain this")
    parser.add_argument("--again", action="store_true", help="measure rows that the file holds anew")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known = rows()
    if arguments.row:
        for name in arguments.row:
            print(json.dumps(measure(known[name]())), flush=True)
        return
    about = machine()
    wanted = [name for name in known if arguments.only in name]
    found = table(
        MODULE, [[name] for name in wanted], RESULTS / "metanet.json", set(wanted) if arguments.again else set()
    )
    order = list(known)
    sections = as_sections(sorted(found, key=lambda row: order.index(row["name"])))
    show(Console(width=180), sections)
    write(RESULTS / "metanet.md", "Metanetworks", f"python -m {MODULE}", about, NOTE, sections)


if __name__ == "__main__":
    main()
