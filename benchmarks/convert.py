"""What an explicit graph of a network costs: ``python -m benchmarks.convert`` writes benchmarks/results/convert.md.

Every row runs in fresh interpreters, alternating with its peer; the best run of each in an interpreter is kept, and of
the interpreters the one with the median ratio. The peer is the plain construction: for each parameter the
``cartesian_prod`` of its two ranges of nodes, stacked and appended, and one ``cat`` at the end; with the same blocks,
order and dtypes. The results are compared, and must be equal. One interpreter is not enough: by how its heap reuses
memory, the peer at 5 M edges takes anything from 0.08 to 0.2 s.

The bound is what filling as much fresh memory with one number takes, in huge pages: the system clears each page before
it gives it away. All three run on one thread. That clearing is most of their time and a second thread makes it no
faster, but on a machine with other work the threads wait for one another.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

from benchmarks.process import ROOT, child, proc_status
from benchmarks.report import Section, Target, below, machine, show, write

RESULTS = ROOT / "benchmarks" / "results" / "convert.md"
WIDTHS = {"mlp_5m": (784, 1600, 1600, 784), "mlp_22m": (784, 3300, 3300, 2500, 10)}
RUNS, INTERPRETERS = 15, 5
GPT2 = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}


def plain(wiring: Any, tensors: Any) -> tuple[Any, Any, Any]:
    """(edge_index, edge_attr, edge_type) by the plain construction."""
    import torch

    from graphlab.weightgraph.wiring import View

    index, values, types = [], [], []
    for block in wiring.blocks:
        source, target = wiring.nodes[block.source], wiring.nodes[block.target]
        ends = torch.cartesian_prod(
            torch.arange(source.start, source.start + source.size),
            torch.arange(target.start, target.start + target.size),
        )
        index.append(torch.stack([ends[:, 0], ends[:, 1]]))
        assert isinstance(block.values, View)
        values.append(block.values.of(tensors[block.values.parameter]).reshape(-1, block.slots))
        types.append(torch.full((block.num_edges,), block.type))
    return torch.cat(index, 1), torch.cat(values), torch.cat(types)


def ours(wiring: Any, tensors: Any) -> tuple[Any, Any, Any]:
    """The same by the wiring."""
    return wiring.edge_index(), wiring.edge_values(tensors), wiring.edge_type


def bound(wiring: Any, tensors: Any) -> tuple[Any, Any, Any]:
    """Tensors of the same sizes, filled."""
    import torch

    from graphlab.ops.allocation import zeros

    edges, dtype = wiring.num_edges, next(iter(tensors.values())).dtype
    kinds = ((2, edges), torch.int64), ((edges, wiring.slots), dtype), ((edges,), torch.int64)
    index, values, types = (zeros(*kind).fill_(1) for kind in kinds)
    return index, values, types


def measure(name: str) -> dict[str, Any]:
    """Seconds and peak memory of all three, in this process."""
    import torch

    from graphlab.weightgraph import WeightGraph
    from graphlab.weightgraph.layouts.exact import exact

    torch.set_num_threads(1)
    widths = WIDTHS[name]
    layers = [torch.nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
    graph = WeightGraph.from_module(torch.nn.Sequential(*layers), (torch.zeros(2, widths[0]),))
    wiring = exact(graph.structure, graph.tensors)
    equal = all(
        torch.equal(a, b) for a, b in zip(ours(wiring, graph.tensors), plain(wiring, graph.tensors), strict=True)
    )
    figures: dict[str, Any] = {"parameters": graph.num_parameters, "edges": wiring.num_edges, "equal": equal}
    for _ in range(RUNS):
        for label, build in (("ours", ours), ("plain", plain), ("bound", bound)):
            seconds, peak, size = _once(lambda build=build: build(wiring, graph.tensors))  # type: ignore[misc]
            figures[label] = min(seconds, figures.get(label, float("inf")))
            figures[f"{label}_peak"] = max(peak, figures.get(f"{label}_peak", 0.0))
            figures["bytes"] = size
    return figures


def middle(name: str) -> dict[str, Any]:
    """The interpreter with the median ratio of several, and the ratios of all."""
    found = [child("-m", "benchmarks.convert", "--measure", name) for _ in range(INTERPRETERS)]
    found.sort(key=lambda row: row["plain"] / row["ours"])
    ratios = [row["plain"] / row["ours"] for row in found]
    return found[INTERPRETERS // 2] | {"least": ratios[0], "most": ratios[-1]}


def measure_gpt2() -> dict[str, Any]:
    """Seconds and peak memory of NiNo's drawing of GPT-2 small and its Laplacian positions."""
    import torch
    import transformers

    from graphlab.weightgraph.layouts.nino import nino
    from graphlab.weightgraph.positions import laplacian_positions

    torch.set_num_threads(1)
    with torch.device("meta"):
        module = transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2))
    shapes = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}

    def build() -> tuple[Any, ...]:
        return (laplacian_positions(nino(shapes, "gpt2", num_heads=GPT2["n_head"]), 8),)

    seconds, peak, _ = _once(build)
    return {"seconds": seconds, "peak": peak}


def measure_alignment() -> dict[str, Any]:
    """Seconds to align two networks of MiniLM's size: one shuffled, one of other random weights."""
    import torch
    import transformers

    from graphlab.weightgraph import WeightGraph, align, random_permutations

    config = transformers.BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    inputs = {"input_ids": torch.zeros(2, 8, dtype=torch.int64)}
    graphs = [WeightGraph.from_module(transformers.BertModel(config), (), inputs, ["pooler_output"]) for _ in range(2)]
    seconds = {}
    for label, other in (
        ("shuffled", graphs[0].permute(random_permutations(graphs[0].structure))),
        ("other", graphs[1]),
    ):
        start = time.perf_counter()
        align(graphs[0], other)
        seconds[label] = time.perf_counter() - start
    return seconds


EXTRA = {"gpt2_small": measure_gpt2, "alignment": measure_alignment}


def _once(build: Callable[[], tuple[Any, ...]]) -> tuple[float, float, float]:
    """Seconds, growth of the peak resident memory in MB, and MB returned."""
    from pathlib import Path

    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = proc_status()["VmRSS"]
    start = time.perf_counter()
    result = build()
    seconds = time.perf_counter() - start
    return seconds, proc_status()["VmHWM"] - before, sum(tensor.nbytes for tensor in result) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", metavar="ROW", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        row = EXTRA.get(arguments.measure)
        print(json.dumps(row() if row else measure(arguments.measure)))
        return
    about = machine()
    rows = {name: middle(name) for name in WIDTHS}
    targets, cells = [], []
    for name, row in rows.items():
        assert row["equal"], f"{name}: the two constructions differ"
        ratio, memory = row["plain"] / row["ours"], row["ours_peak"] / row["bytes"]
        spread = f"{ratio:.1f}x ({row['least']:.1f} to {row['most']:.1f})"
        targets.append(Target(f"{name}: edges/s against the plain construction", spread, ">= 5x", ratio >= 5))
        targets.append(Target(f"{name}: peak memory / bytes returned", f"{memory:.2f}", "<= 1.3", memory <= 1.3))
        figures = [f"{row[key]:.3f}" for key in ("ours", "plain", "bound")]
        figures += [f"{row[key]:,.0f}" for key in ("bytes", "ours_peak", "plain_peak")]
        cells.append([name, f"{row['edges']:,}", *figures, f"{row['edges'] / row['ours'] / 1e6:.0f} M"])
    extra = {name: child("-m", "benchmarks.convert", "--measure", name) for name in EXTRA}
    gpt2, alignment = extra["gpt2_small"], extra["alignment"]
    targets.append(below("GPT-2 small: NiNo's wiring and its positions", gpt2["seconds"], 2, "s"))
    targets.append(below("the same: growth of memory", gpt2["peak"], 300, "MB", 0))
    targets.append(below("aligning two networks of MiniLM's size: a shuffled copy", alignment["shuffled"], 120, "s", 1))
    targets.append(below("the same: another network", alignment["other"], 120, "s", 1))
    headings = ["network", "edges", "ours s", "plain s", "bound s", "MB returned", "ours peak", "plain peak", "edges/s"]
    sections: list[Section] = [
        ("Targets", ["what", "measured", "target", "met"], [target.cells() for target in targets]),
        ("Explicit graphs", headings, cells),
    ]
    show(Console(width=140), sections)
    note = (
        "*peak* is the growth of the process's resident memory, in MB, over what it held before the call; *bound* is "
        "what filling as much fresh memory takes."
    )
    write(RESULTS, "What an explicit graph costs", "python -m benchmarks.convert", about, note, sections)


if __name__ == "__main__":
    main()
