"""Layers of PyTorch Geometric, and the graphs, that the tests of accelerating share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import APPNP, GATConv, GATv2Conv, GCNConv, GINConv, MessagePassing, PNAConv, SAGEConv

import graphlab

NODES, TARGETS, CHANNELS = 40, 25, 6
Build = Callable[[], MessagePassing]


def edges(num_sources: int = NODES, num_targets: int = NODES, num_edges: int = 200) -> Tensor:
    """With a hub, repeated edges, self-loops (of node 2 several), nodes without edges; in no order."""
    generator = torch.Generator().manual_seed(0)
    ends = [torch.randint(size - 5, (num_edges,), generator=generator) for size in (num_sources, num_targets)]
    edge_index = torch.stack(ends)
    edge_index[1, : num_edges // 3] = 0
    edge_index[:, -20:] = edge_index[:, :20]
    edge_index[:, 100:103], edge_index[:, 103] = 2, 3
    return edge_index


def features(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def degrees() -> Tensor:
    return torch.bincount(torch.bincount(edges()[1], minlength=NODES))


EDGES = edges()
WEIGHT = features(EDGES.shape[1], seed=1).detach().abs().requires_grad_()
ATTRIBUTES = features(EDGES.shape[1], 3, seed=2)
PAIR = features(NODES, CHANNELS), features(TARGETS, 4, seed=1)
ACROSS = edges(NODES, TARGETS)
ALL = ["mean", "min", "max", "std", "var", "sum"]
SCALERS = ["identity", "amplification", "attenuation", "linear", "inverse_linear"]


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(CHANNELS, 7), nn.ReLU(), nn.Linear(7, 5))


def gcn(**options: Any) -> Build:
    return lambda: GCNConv(CHANNELS, 5, **options)


def gat(kind: Any, inputs: Any = CHANNELS, **options: Any) -> Build:
    return lambda: kind(inputs, 5, **{"heads": 3, **options})


def pna(**options: Any) -> Build:
    given = {"aggregators": ALL, "scalers": SCALERS, **options}
    return lambda: PNAConv(CHANNELS, 8, deg=degrees(), **given)


ONE = {
    "gcn": (gcn(),),
    "gcn improved": (gcn(improved=True),),
    "gcn without loops": (gcn(add_self_loops=False),),
    "gcn as given": (gcn(normalize=False, bias=False),),
    "gcn as given, weights": (gcn(normalize=False), WEIGHT),
    "gcn weights": (gcn(), WEIGHT),
    "gcn constant weights": (gcn(improved=True), WEIGHT.detach()),
    "gcn mean": (gcn(aggr="mean"), WEIGHT),
    "gcn max": (gcn(aggr="max"), WEIGHT),
    "gcn cached": (gcn(cached=True),),
    **{
        f"sage {aggr}": (lambda aggr=aggr: SAGEConv(CHANNELS, 5, aggr),)
        for aggr in ("mean", "max", "min", "add", "sum")
    },
    "sage normalised": (lambda: SAGEConv(CHANNELS, 5, normalize=True, project=True, bias=False),),
    "sage no root": (lambda: SAGEConv(CHANNELS, 5, root_weight=False),),
    "gin": (lambda: GINConv(mlp(), eps=0.3, train_eps=True),),
    "gin mean": (lambda: GINConv(mlp(), aggr="mean"),),
    "appnp": (lambda: APPNP(4, 0.1),),
    "appnp weights": (lambda: APPNP(3, 0.2), WEIGHT),
    "appnp without loops": (lambda: APPNP(3, 0.2, add_self_loops=False),),
    "appnp as given": (lambda: APPNP(2, 0.2, normalize=False), WEIGHT),
    "appnp cached": (lambda: APPNP(2, 0.2, cached=True), WEIGHT.detach()),
    "gat": (gat(GATConv),),
    "gat mean of heads": (gat(GATConv, concat=False, residual=True, negative_slope=0.1),),
    "gat without loops": (gat(GATConv, add_self_loops=False, bias=False, residual=True),),
    "gat edges": (gat(GATConv, edge_dim=3), ATTRIBUTES),
    "gat edges add": (gat(GATConv, edge_dim=3, fill_value="add"), ATTRIBUTES),
    "gat edges number": (gat(GATConv, edge_dim=3, fill_value=0.5), ATTRIBUTES),
    "gat edges tensor": (gat(GATConv, edge_dim=3, fill_value=torch.tensor([1.0, 2, 3]).double()), ATTRIBUTES),
    "gat edges without loops": (gat(GATConv, edge_dim=3, add_self_loops=False), ATTRIBUTES),
    "gat edges of one": (gat(GATConv, edge_dim=1), ATTRIBUTES.detach()[:, 0]),
    "gat edges not contiguous": (gat(GATConv, edge_dim=3), features(3, EDGES.shape[1]).detach().t()),
    "gat edges not given": (gat(GATConv, edge_dim=3),),
    "gat edges not used": (gat(GATConv), ATTRIBUTES),
    "gatv2": (gat(GATv2Conv),),
    "gatv2 shared": (gat(GATv2Conv, share_weights=True, concat=False),),
    "gatv2 without loops": (gat(GATv2Conv, add_self_loops=False, residual=True, negative_slope=0.1, bias=False),),
    "pna": (pna(),),
    "pna towers": (pna(towers=2, aggregators=["max", "std"]),),
    "pna of one": (pna(aggregators=["mean"], scalers=["identity"]),),
    "pna divided": (pna(towers=2, divide_input=True, post_layers=2, train_norm=True),),
}
BOTH = {
    "sage": (lambda: SAGEConv((CHANNELS, 4), 5), PAIR),
    "sage max": (lambda: SAGEConv((CHANNELS, 4), 5, "max"), PAIR),
    "sage sources": (lambda: SAGEConv((CHANNELS, 4), 5), (PAIR[0], None), (NODES, TARGETS)),
    "gin": (lambda: GINConv(mlp()), (PAIR[0], features(TARGETS, CHANNELS, seed=1))),
    "gin sources": (lambda: GINConv(mlp()), (PAIR[0], None), (NODES, TARGETS)),
    "gat": (gat(GATConv, (CHANNELS, 4), add_self_loops=False), PAIR),
    "gat residual": (gat(GATConv, (CHANNELS, 4), residual=True), PAIR, None, (NODES, TARGETS)),
    "gat same": (gat(GATConv, CHANNELS), (PAIR[0], features(TARGETS, CHANNELS, seed=1))),
    "gatv2": (gat(GATv2Conv, (CHANNELS, 4), add_self_loops=False), PAIR),
    "gatv2 residual": (gat(GATv2Conv, (CHANNELS, 4), residual=True), PAIR),
}


def flat(arguments: Any) -> list[Tensor]:
    """The tensors in the arguments of a call that require gradients."""
    parts = [part for given in arguments for part in (given if isinstance(given, tuple) else (given,))]
    return [part for part in parts if isinstance(part, Tensor) and part.requires_grad]


def results(conv: MessagePassing, arguments: Any) -> list[Tensor]:
    """The output, and the gradients of inputs and parameters."""
    torch.manual_seed(3)
    y = conv(*arguments)
    leaves = [*flat(arguments), *conv.parameters()]
    gradients = torch.autograd.grad(y, leaves, torch.randn_like(y), allow_unused=True)
    return [y, *(torch.zeros(()) if part is None else part for part in gradients)]


def compare(build: Build, arguments: Any, ours: Any = None) -> MessagePassing:
    """The same as PyTorch Geometric's, twice: the second time from what was remembered. Returns the swapped layer."""
    torch.manual_seed(0)
    plain = build().double()
    conv, report = graphlab.accelerate(copy.deepcopy(plain))
    assert report.swapped == ("",)
    assert list(conv.state_dict()) == list(plain.state_dict())
    expected = results(plain, arguments)
    for _ in range(2):
        for a, b in zip(results(conv, ours or arguments), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-8)
    return conv
