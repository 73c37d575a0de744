"""Networks of three layers with their loss, before and after ``graphlab.accelerate``, on a plain ``edge_index``."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from benchmarks.graphs import gigabytes, graph
from benchmarks.harness import Call, Row

SIZE, CHANNELS, HEADS, CLASSES = "power 100k/1M", 64, 4, 16
GOAL = 4.0


def layer(kind: str, out_channels: int) -> nn.Module:
    from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, SAGEConv

    if kind in ("GAT", "GATv2"):
        heads = HEADS if out_channels == CHANNELS else 1
        return {"GAT": GATConv, "GATv2": GATv2Conv}[kind](CHANNELS, out_channels // heads, heads)
    return {"GCN": GCNConv, "SAGE": SAGEConv}[kind](CHANNELS, out_channels)


class Network(nn.Module):
    """Three layers with ReLU between them, and the cross-entropy of the scores, ``[1]``."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer(kind, channels) for channels in (CHANNELS, CHANNELS, CLASSES))

    def forward(self, x: Tensor, edge_index: Tensor, labels: Tensor) -> Tensor:
        *hidden, last = self.layers
        for conv in hidden:
            x = conv(x, edge_index).relu()
        return functional.cross_entropy(last(x, edge_index), labels).view(1)


def row(name: str, kind: str, again: bool) -> Row:
    import graphlab

    edge_index, nodes = graph(SIZE)
    x, labels = torch.randn(nodes, CHANNELS), torch.randint(CLASSES, (nodes,))
    plain = Network(kind)
    ours, _ = graphlab.accelerate(copy.deepcopy(plain))
    names = [name for name, _ in plain.named_parameters()]

    def run(model: nn.Module) -> Call:
        def call(*parameters: Tensor) -> Tensor:
            edges = edge_index if again else edge_index.clone()
            state = dict(zip(names, parameters, strict=True))
            loss: Tensor = functional_call(model, state, (x, edges, labels))
            return loss

        return call

    inputs = tuple(parameter.detach().requires_grad_() for parameter in plain.parameters())
    size = 3 * gigabytes(nodes, edge_index.shape[1], CHANNELS)
    return Row(name, run(ours), {"PyG": run(plain)}, inputs, size, goals={"PyG": GOAL} if again else {})


CASES = [(kind, True) for kind in ("GCN", "GAT", "GATv2", "SAGE")] + [("GCN", False), ("GAT", False)]
ROWS: dict[str, Callable[[], Row]] = {
    f"three layers of {kind}, {SIZE}, {CHANNELS}{'' if again else ', new edge_index'}": functools.partial(
        row, f"three layers of {kind}, {SIZE}, {CHANNELS}{'' if again else ', new edge_index'}", kind, again
    )
    for kind, again in CASES
}
