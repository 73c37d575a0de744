"""DAGNN against the same model of plain PyTorch Geometric: ``python -m benchmarks.node`` writes results/node.md.

An epoch is a training step with Adam and one evaluation of three masks, as in the published protocol. The plain model
has dense features and ``MessagePassing`` on edges normalised once, as PyG's ``cached=True`` does, in two forms: over
``edge_index`` (gather and scatter) and over a ``torch.sparse`` CSR matrix (``message_and_aggregate``). Without dropout,
scores and gradients of all are asserted equal before anything is timed.

The last table is the least that an epoch can take however the rest is written: the products with the normalised
adjacency alone, ``K`` in training, ``K`` backward, ``K`` in evaluation, one at a time, since each needs the one before.

Processor time of one thread, the least of several interleaved runs: other work on the machine only adds to it.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import spmm, to_undirected

from benchmarks.process import ROOT
from benchmarks.report import Section, Target, machine, show, write
from graphlab import ops
from graphlab.datasets import load
from graphlab.datasets.transforms import rows_to_one
from graphlab.nn.models.dagnn import DAGNN
from graphlab.ops.normalization import normalized_adjacency

RESULTS = ROOT / "benchmarks" / "results" / "node.md"
NODES, PAIRS, FEATURES, CLASSES = 100_000, 500_000, 128, 40


@dataclass(frozen=True)
class Case:
    """A graph with the published settings, and the goal: how many times as fast as the best plain form."""

    name: str
    graph: Data
    dropout: float
    weight_decay: float
    goal: float
    hidden: int = 64
    K: int = 10


class PlainPropagation(MessagePassing):
    """Hops over ``edge_index`` with weights, or over a CSR matrix; then the gated sum."""

    def __init__(self, channels: int, K: int) -> None:
        super().__init__(aggr="add")
        self.K = K
        self.proj = nn.Linear(channels, 1)

    def forward(self, x: Tensor, edge_index: Tensor, weight: Tensor | None) -> Tensor:
        hops = [x]
        for _ in range(self.K):
            hops.append(self.propagate(edge_index, x=hops[-1], weight=weight))
        stacked = torch.stack(hops, dim=1)
        return (self.proj(stacked).sigmoid() * stacked).sum(dim=1)

    def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
        return weight.view(-1, 1) * x_j

    def message_and_aggregate(self, edge_index: Tensor, x: Tensor) -> Tensor:
        return spmm(edge_index, x, self.aggr)


class PlainDAGNN(nn.Module):
    """The same model and parameter names, of PyG and dense features."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        in_channels, out_channels = case.graph.x.shape[1], int(case.graph.y.max()) + 1
        self.dropout = case.dropout
        self.lin1 = nn.Linear(in_channels, case.hidden)
        self.lin2 = nn.Linear(case.hidden, out_channels)
        self.prop = PlainPropagation(out_channels, case.K)

    def forward(self, x: Tensor, edge_index: Tensor, weight: Tensor | None) -> Tensor:
        h = functional.relu(self.lin1(functional.dropout(x, self.dropout, self.training)))
        return self.prop(self.lin2(functional.dropout(h, self.dropout, self.training)), edge_index, weight)


class Contestant:
    """A model with what it is called with, and its own optimiser."""

    def __init__(self, case: Case, model: nn.Module, *inputs: Tensor | None) -> None:
        self.graph, self.model, self.inputs = case.graph, model, inputs
        self.adam = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=case.weight_decay)

    def train(self) -> None:
        self.model.train()
        self.adam.zero_grad()
        self.loss().backward()
        self.adam.step()

    def loss(self) -> Tensor:
        nodes = self.graph.train_mask
        return functional.cross_entropy(self.model(*self.inputs)[nodes], self.graph.y[nodes])

    @torch.no_grad()
    def evaluate(self) -> list[float]:
        self.model.eval()
        scores, y = self.model(*self.inputs), self.graph.y
        masks = (self.graph.train_mask, self.graph.val_mask, self.graph.test_mask)
        losses = [functional.cross_entropy(scores[mask], y[mask]).item() for mask in masks]
        return losses + [(scores[mask].argmax(dim=1) == y[mask]).float().mean().item() for mask in masks]


def contestants(case: Case) -> dict[str, Contestant]:
    """Equal parameters for all."""
    x, edge_index, y = case.graph.x, case.graph.edge_index, case.graph.y
    own = DAGNN(x.shape[1], case.hidden, int(y.max()) + 1, case.K, case.dropout)
    over_edges, over_matrix = PlainDAGNN(case), PlainDAGNN(case)
    for model in (over_edges, over_matrix):
        model.load_state_dict(own.state_dict())
    edges, weight = gcn_norm(edge_index, None, len(x))
    with warnings.catch_warnings(action="ignore"):
        matrix = torch.sparse_coo_tensor(edges.flip(0), weight, (len(x), len(x))).to_sparse_csr()
    return {
        "graphlab": Contestant(case, own, x, edge_index),
        "edge_index": Contestant(case, over_edges, x, edges, weight),
        "CSR": Contestant(case, over_matrix, x, matrix, None),
    }


def assert_equal(all_of_them: dict[str, Contestant]) -> float:
    """The largest difference of scores; scores and gradients agree but for rounding."""
    found = {}
    for name, contestant in all_of_them.items():
        contestant.model.eval()
        contestant.loss().backward()
        with torch.no_grad():
            scores = contestant.model(*contestant.inputs)
        found[name] = [scores, *(parameter.grad for parameter in contestant.model.parameters())]
    for name in ("edge_index", "CSR"):
        for own, plain in zip(found["graphlab"], found[name], strict=True):
            torch.testing.assert_close(own, plain, atol=1e-5, rtol=1e-4)
    return max(float((found["graphlab"][0] - found[name][0]).abs().max()) for name in ("edge_index", "CSR"))


def interleaved(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """The least processor time of each in milliseconds, taking turns for so long; five turns at least."""
    best = dict.fromkeys(calls, float("inf"))
    turns, end = 0, time.perf_counter() + seconds
    while turns < 5 or time.perf_counter() < end:
        for name, call in calls.items():
            start = time.process_time()
            call()
            best[name] = min(best[name], (time.process_time() - start) * 1e3)
        turns += 1
    return best


def products(case: Case) -> dict[str, Callable[[], object]]:
    """The products of an epoch, of graphlab and of torch's CSR matrix; their results are asserted equal."""
    x = torch.randn(len(case.graph.x), int(case.graph.y.max()) + 1)
    adj, weight = normalized_adjacency(case.graph.edge_index, len(x), dtype=x.dtype)
    with warnings.catch_warnings(action="ignore"):
        matrix = torch.sparse_csr_tensor(adj.rowptr, adj.col, weight, (len(x), len(x)))

    def repeated(product: Callable[[Tensor], Tensor]) -> Tensor:
        h = x
        for _ in range(3 * case.K):
            h = product(h)
        return h

    calls = {"graphlab": lambda: repeated(lambda h: ops.spmm(adj, h, weight)), "CSR": lambda: repeated(matrix.matmul)}
    torch.testing.assert_close(calls["graphlab"](), calls["CSR"](), atol=1e-5, rtol=1e-4)
    return calls


def power_law() -> Data:
    """Nodes are ends of an edge with probabilities that fall as their rank to the power of -0.6."""
    generator = torch.Generator().manual_seed(0)
    chance = torch.arange(1, NODES + 1).float() ** -0.6
    ends = torch.stack([torch.multinomial(chance, PAIRS, True, generator=generator) for _ in range(2)])
    edge_index = to_undirected(torch.randperm(NODES, generator=generator)[ends], num_nodes=NODES)
    x = torch.randn(NODES, FEATURES, generator=generator)
    y = torch.randint(CLASSES, (NODES,), generator=generator)
    part = torch.rand(NODES, generator=generator)
    masks = {"train_mask": part < 0.5, "val_mask": (part >= 0.5) & (part < 0.7), "test_mask": part >= 0.7}
    return Data(x, edge_index, y=y, **masks)


def planetoid(name: str) -> Data:
    graph = load(name)
    graph.x = rows_to_one(graph.x)
    return graph


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="for each graph and half of an epoch")
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    about = machine()
    rows, targets, alone = [], [], []
    for case in (
        Case("Cora", planetoid("cora"), 0.8, 0.005, 4),
        Case("CiteSeer", planetoid("citeseer"), 0.5, 0.02, 8),
        Case("power law", power_law(), 0.5, 0.0, 7),
    ):
        torch.manual_seed(0)
        models = contestants(case)
        difference = assert_equal(models)
        train = interleaved({name: model.train for name, model in models.items()}, seconds)
        evaluate = interleaved({name: model.evaluate for name, model in models.items()}, seconds)
        epoch = {name: train[name] + evaluate[name] for name in models}
        size = f"{case.name}, {len(case.graph.x):,} nodes, {case.graph.edge_index.shape[1]:,} edges"
        for name in models:
            times = [f"{part[name]:.1f}" for part in (train, evaluate, epoch)]
            rows.append([size, name, *times, f"{epoch[name] / epoch['graphlab']:.1f}", f"{difference:.1e}"])
        own, torchs = interleaved(products(case), seconds / 2).values()
        peers = min(epoch["edge_index"], epoch["CSR"])
        alone.append([size, f"{own:.1f}", f"{torchs:.1f}", f"{own / epoch['graphlab']:.0%}", f"{peers / own:.1f}"])
        least = min(epoch["edge_index"], epoch["CSR"]) / epoch["graphlab"]
        for what, ratio in (("edge_index", epoch["edge_index"] / epoch["graphlab"]), ("the better of both", least)):
            targets.append(
                Target(f"{case.name} against {what}", f"{ratio:.1f} times", f">= {case.goal:g}", ratio >= case.goal)
            )
    columns = ["graph", "model", "training, ms", "evaluation, ms", "epoch, ms", "times graphlab", "largest difference"]
    sections: list[Section] = [
        ("An epoch of DAGNN", columns, rows),
        (
            "The products alone",
            ["graph", "graphlab, ms", "CSR, ms", "share of graphlab's epoch", "best plain epoch / products, times"],
            alone,
        ),
        ("Goals", ["what", "measured", "goal", "met"], [target.cells() for target in targets]),
    ]
    show(Console(width=160), sections)
    note = f"The power-law graph has {FEATURES} dense features and {CLASSES} classes, as ogbn-arxiv has."
    write(RESULTS, "DAGNN against plain PyG", "python -m benchmarks.node", about, note, sections)


if __name__ == "__main__":
    main()
