"""From which size a block is faster alone: ``python -m benchmarks.batch`` writes benchmarks/results/batch.md.

A batch of ``members`` networks has 16 blocks. One by one, a block costs a few calls however small it is; among flat
edges it costs no call, but a gather and a scatter for each edge. Three ways to use edges:

* *products*: messages are source states times the edge's value, summed at the targets of square blocks: a matrix
  product, or a gather, a product and a scatter;
* *states*: edges of square blocks have a state of as many channels as nodes, and messages are ``relu(source + target +
  edge)``, summed at the targets: broadcasting and a sum, or two gathers and a scatter;
* *diagonals*: products, with an edge for each target (as biases and norms have): slices, not matrix products.

Both ways give the same numbers, which is asserted. Alternating runs on one thread; the best of several of each is kept,
since other work on the machine only adds time.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Sequence
from math import prod

import torch
from rich.console import Console
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from benchmarks.process import ROOT
from benchmarks.report import Section, machine, show, write
from graphlab.weightgraph import WeightGraphBatch
from graphlab.weightgraph.data import to_data
from graphlab.weightgraph.layouts.neural_graph import neural_graph
from graphlab.weightgraph.layouts.parameter_graph import parameter_graph
from graphlab.weightgraph.parts import LARGE
from graphlab.weightgraph.wiring import Wiring

RESULTS = ROOT / "benchmarks" / "results" / "batch.md"
SIZES = (2, 4, 8, 16, 32, 64, 128, 256, 512)
MEMBERS = (1, 4, 16, 64)
CHANNELS = (16, 64)
BLOCKS = 16
MOST = 1 << 26
"""Numbers in the messages of all blocks: larger cases only say again what smaller ones have said."""
NETWORKS = (((2, 32, 32, 1), 64), ((784, 512, 512, 10), 8))
"""Widths and how many of them."""
SECONDS = 0.2
"""For each case; at least three runs."""


class Case:
    """Blocks in a chain: block ``k`` leads from range ``k`` of every member to range ``k + 1``."""

    def __init__(self, kind: str, shape: tuple[int, ...], members: int, channels: int) -> None:
        generator = torch.Generator().manual_seed(0)
        size, width = shape[-1], channels if kind == "states" else 1
        self.kind, self.size = kind, size
        self.x = torch.randn(members, (BLOCKS + 1) * size, channels, generator=generator)
        self.values = [torch.randn(members, *shape, width, generator=generator) for _ in range(BLOCKS)]
        self.flat = torch.stack(self.values).view(-1, width)
        rows = torch.arange(members).view(-1, 1, 1) * self.x.shape[1]
        first = torch.arange(BLOCKS).view(-1, 1, 1, 1) * size + rows
        own = torch.arange(size)
        full = (BLOCKS, members, size if len(shape) > 1 else 1, size)
        self.source = (first + (own.view(-1, 1) if len(shape) > 1 else own)).expand(full).flatten()
        self.target = (first + size + own).expand(full).flatten()

    def alone(self) -> Tensor:
        """``[members, nodes, channels]``: block by block."""
        result = torch.zeros_like(self.x)
        for place, values in enumerate(self.values):
            source = self.x[:, place * self.size : (place + 1) * self.size]
            target = self.x[:, (place + 1) * self.size : (place + 2) * self.size]
            if self.kind == "states":
                message = (values + source.unsqueeze(2)).add_(target.unsqueeze(1)).relu_().sum(1)
            elif self.kind == "products":
                message = torch.bmm(values[..., 0].transpose(1, 2), source)
            else:
                message = values * source
            result[:, (place + 1) * self.size : (place + 2) * self.size] += message
        return result

    def merged(self) -> Tensor:
        """``[members, nodes, channels]``: all edges at once."""
        x = self.x.flatten(end_dim=1)
        message = x.index_select(0, self.source)
        if self.kind == "states":
            message.add_(x.index_select(0, self.target)).add_(self.flat).relu_()
        else:
            message.mul_(self.flat)
        return torch.zeros_like(x).index_add_(0, self.target, message).view_as(self.x)


def best(*runs: Callable[[], object]) -> list[float]:
    """Seconds of each, alternating."""
    found = [float("inf")] * len(runs)
    started, count = time.perf_counter(), 0
    while count < 3 or time.perf_counter() - started < SECONDS:
        count += 1
        for place, run in enumerate(runs):
            start = time.perf_counter()
            run()
            found[place] = min(found[place], time.perf_counter() - start)
    return found


def measured(kind: str) -> list[list[str]]:
    """A row for each case: channels, members, block, its edges, microseconds a block, how much faster alone."""
    rows = []
    for channels, members, size in itertools.product(CHANNELS, MEMBERS, SIZES):
        shape = (size * size,) if kind == "diagonals" else (size, size)
        edges = members * prod(shape)
        if edges * BLOCKS * channels > MOST:
            continue
        case = Case(kind, shape, members, channels)
        torch.testing.assert_close(case.alone(), case.merged(), rtol=1e-3, atol=1e-3)
        alone, merged = best(case.alone, case.merged)
        times = [f"{seconds / BLOCKS * 1e6:.1f}" for seconds in (alone, merged)]
        rows.append([str(channels), str(members), str(list(shape)), f"{edges:,}", *times, f"{merged / alone:.2f}"])
    return rows


def making() -> list[list[str]]:
    """A row for each network and layout: milliseconds to make a batch, its explicit graph, its state dicts; PyG's."""
    rows = []
    layouts: tuple[Callable[[nn.Module], Wiring], ...] = (parameter_graph, neural_graph)
    for (widths, members), layout in itertools.product(NETWORKS, layouts):
        net = nn.Sequential(*(nn.Linear(a, b) for a, b in itertools.pairwise(widths)))
        wiring = layout(net)
        shapes = {name: parameter.shape for name, parameter in net.named_parameters()}
        pairs = [(wiring, {name: torch.randn(shape) for name, shape in shapes.items()}) for _ in range(members)]
        batch = WeightGraphBatch(pairs)

        def explicit(pairs: Sequence[tuple[Wiring, dict[str, Tensor]]] = pairs) -> Data:
            return Batch.from_data_list([to_data(wiring, tensors) for wiring, tensors in pairs])

        assert torch.equal(batch.to_data().edge_attr, explicit().edge_attr)
        runs = (functools.partial(WeightGraphBatch, pairs), explicit, batch.to_data, batch.state_dicts)
        name = "-".join(map(str, widths))
        times = [f"{seconds * 1e3:.2f}" for seconds in best(*runs)]
        rows.append([f"{members} x {name}", layout.__name__, f"{batch.num_edges:,}", *times])
    return rows


def main() -> None:
    torch.set_num_threads(1)
    about = machine()
    headings = ["channels", "members", "block", "edges", "alone us", "merged us", "merged / alone"]
    sections: list[Section] = [(kind, headings, measured(kind)) for kind in ("products", "states", "diagonals")]
    headings = ["networks", "layout", "edges", "batch ms", "PyG's batch ms", "to_data ms", "state_dicts ms"]
    sections.append(("making a batch", headings, making()))
    show(Console(width=140), sections)
    note = (
        "*edges* are those of one block in all members, times are for one block. Alone is faster where the last column "
        f"is above 1; `graphlab.weightgraph.parts.LARGE` is {LARGE} edges."
    )
    write(
        RESULTS, "From which size a block of edges is faster alone", "python -m benchmarks.batch", about, note, sections
    )


if __name__ == "__main__":
    main()
