"""Networks of three layers with their loss before and after ``graphlab.accelerate``: a plain ``edge_index``, GCN's
weights cached."""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from benchmarks.graphs import MIDDLE, gigabytes, graph
from benchmarks.harness import Call, Row
from benchmarks.ops_rows.peers import installed, sparse_tensor

CHANNELS, HEADS, CLASSES = 64, 4, 16
GOALS = {"GCN": 4.0, "GAT": 4.0}


def layer(kind: str, out_channels: int) -> nn.Module:
    from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, SAGEConv

    if kind in ("GAT", "GATv2"):
        heads = HEADS if out_channels == CHANNELS else 1
        return {"GAT": GATConv, "GATv2": GATv2Conv}[kind](CHANNELS, out_channels // heads, heads)
    return GCNConv(CHANNELS, out_channels, cached=True) if kind == "GCN" else SAGEConv(CHANNELS, out_channels)


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


def row(name: str, kind: str) -> Row:
    import graphlab

    edge_index, nodes = graph(MIDDLE)
    x, labels = torch.randn(nodes, CHANNELS), torch.randint(CLASSES, (nodes,))
    plain = Network(kind)
    ours, _ = graphlab.accelerate(copy.deepcopy(plain))
    names = [name for name, _ in plain.named_parameters()]

    def run(model: nn.Module, edges: Any) -> Call:
        def call(*parameters: Tensor) -> Tensor:
            state = dict(zip(names, parameters, strict=True))
            loss: Tensor = functional_call(model, state, (x, edges, labels))
            return loss

        return call

    peers = {"PyG": run(plain, edge_index)}
    if installed("torch_sparse"):
        peers["PyG on torch-sparse"] = run(copy.deepcopy(plain), sparse_tensor(edge_index, nodes))
    inputs = tuple(parameter.detach().requires_grad_() for parameter in plain.parameters())
    size = 3 * gigabytes(nodes, edge_index.shape[1], CHANNELS)
    goals = {"PyG": GOALS[kind]} if kind in GOALS else {}
    return Row(name, run(ours, edge_index), peers, inputs, size, goals=goals)


NAMES = {f"three layers of {kind}, {MIDDLE}, {CHANNELS}": kind for kind in ("GCN", "GAT", "GATv2", "SAGE")}
GROUPS = [{name: functools.partial(row, name, kind) for name, kind in NAMES.items()}]
