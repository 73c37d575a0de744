"""Messages over dense blocks against gathers, concatenation, one Linear and scatters on the same edges."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.harness import Call, Row

NETWORKS = {
    "MLP 784-512-512-10": ((784, 512), (512, 512), (512, 10)),
    "transformer layer of width 256": ((256, 256),) * 4 + ((256, 1024), (1024, 256)),
}
CASES = ((1, 16), (8, 16), (1, 64))
"""Networks in a batch, and channels; eight networks of 64 channels make the explicit form larger than the machine."""
KINDS: dict[str, tuple[str, ...]] = {"mean": ("mean",), "PNA": ("mean", "min", "max", "std"), "update": ()}
EXPLICIT = "explicit edges"


def row(name: str, kind: str, network: str, batch: int, channels: int) -> Row:
    """Inputs: a modulation's or an update's weights, a pair map, then states of sources, targets, edges by block."""
    blocks, aggregators = NETWORKS[network], KINDS[kind]
    width = channels if kind == "update" else 2 * channels
    weights = [torch.randn(width, channels), torch.randn(width), torch.randn(channels, 2 * channels)]
    states = [
        torch.randn(batch, *nodes, channels)
        for source, target in blocks
        for nodes in ((source,), (target,), (source, target))
    ]
    inputs = tuple(value.div_(value.shape[-1] ** 0.25).requires_grad_() for value in (*weights, *states))
    edges = batch * sum(source * target for source, target in blocks)
    one, other = (
        (_updates(), _explicit_update) if kind == "update" else (_messages(aggregators), _explicit(aggregators))
    )
    size = edges * channels * 4e-9 * (2 if kind == "update" else 1)
    messages = kind != "update"
    return Row(
        name,
        _each(one),
        {EXPLICIT: _each(other)},
        inputs,
        size,
        goals={EXPLICIT: 3.0} if messages else {},
        memory={EXPLICIT: 1 / 3} if messages else {},
    )


def _each(function: Callable[..., Tensor]) -> Call:
    """All blocks, one after the other."""

    def call(weight: Tensor, bias: Tensor, pair: Tensor, *states: Tensor) -> Tensor:
        triples = zip(states[::3], states[1::3], states[2::3], strict=True)
        return torch.cat([function(weight, bias, pair, *triple).flatten() for triple in triples])

    return call


def _messages(aggregators: Any) -> Callable[..., Tensor]:
    from graphlab.ops import block_messages

    def block(weight: Tensor, bias: Tensor, pair: Tensor, source: Tensor, target: Tensor, edge: Tensor) -> Tensor:
        a, b = pair.chunk(2, dim=1)
        ends = {"source": source @ b.t(), "target": target @ a.t()}
        return block_messages(edge, weight, bias, **ends, aggregators=aggregators).reduce(aggregators)

    return block


def _updates() -> Callable[..., Tensor]:
    from graphlab.ops import block_edge_update

    def block(weight: Tensor, bias: Tensor, pair: Tensor, source: Tensor, target: Tensor, edge: Tensor) -> Tensor:
        a, b = pair.chunk(2, dim=1)
        ends = {"source": source @ b.t(), "target": target @ a.t()}
        return block_edge_update(edge, weight, bias, **ends, out_weight=weight, out_bias=bias)

    return block


@functools.cache
def _ends(batch: int, source: int, target: int) -> tuple[Tensor, Tensor]:
    """int64: the source and the target of each edge, numbered through the batch."""
    network = torch.arange(batch).view(-1, 1, 1)
    shape = (batch, source, target)
    sources = (network * source + torch.arange(source).view(-1, 1)).expand(shape).flatten()
    return sources, (network * target + torch.arange(target)).expand(shape).flatten()


def _pairs(pair: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """``Lin([x_target, x_source])`` of each edge, and the edges' targets."""
    sources, targets = _ends(len(source), source.shape[1], target.shape[1])
    both = torch.cat([target.flatten(0, 1)[targets], source.flatten(0, 1)[sources]], dim=1)
    return both @ pair.t(), targets


def _explicit(aggregators: Any) -> Callable[..., Tensor]:
    from torch_geometric.nn.aggr import MultiAggregation

    reduce = MultiAggregation(list(aggregators))

    def block(weight: Tensor, bias: Tensor, pair: Tensor, source: Tensor, target: Tensor, edge: Tensor) -> Tensor:
        both, targets = _pairs(pair, source, target)
        scale, shift = functional.linear(edge.flatten(0, 2), weight, bias).chunk(2, dim=1)
        y: Tensor = reduce(scale * both + shift, targets, dim_size=len(target) * target.shape[1])
        return y

    return block


def _explicit_update(
    weight: Tensor, bias: Tensor, pair: Tensor, source: Tensor, target: Tensor, edge: Tensor
) -> Tensor:
    both, _ = _pairs(pair, source, target)
    h = functional.silu(functional.linear(edge.flatten(0, 2), weight, bias) + both)
    return functional.linear(h, weight, bias)


def _group(network: str) -> dict[str, functools.partial[Row]]:
    cases = [(kind, *sizes) for sizes in CASES for kind in KINDS]
    names = {f"block {kind}, {network}, batch {batch}, {width}": (kind, batch, width) for kind, batch, width in cases}
    return {
        name: functools.partial(row, name, kind, network, batch, width) for name, (kind, batch, width) in names.items()
    }


GROUPS = [_group(network) for network in NETWORKS]
