"""Sums over common neighbours against intersections of sorted keys, and gathered rows of them."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from benchmarks.graphs import CHANNELS, CORA, MIDDLE, graph
from benchmarks.harness import Row

PAIRS = 1 << 15
"""Half of them edges, half drawn at random, as a link predictor's batch."""
GOAL = 5.0


def row(name: str, size: str, channels: int) -> Row:
    from graphlab.ops import adjacency, overlap_pool

    edge_index, nodes = graph(size)
    keys = torch.unique(edge_index[1] * nodes + edge_index[0])
    edge_index = torch.stack([keys % nodes, keys // nodes])
    adj = adjacency(edge_index, nodes)
    rowptr, col = adj.rowptr.long(), adj.col.long()
    generator = torch.Generator().manual_seed(0)
    links = edge_index[:, torch.randint(edge_index.shape[1], (PAIRS // 2,), generator=generator)]
    pairs = torch.cat([links, torch.randint(nodes, (2, PAIRS // 2), generator=generator)], dim=1)

    def neighbours(ends: Tensor) -> Tensor:
        counts = rowptr[ends + 1] - rowptr[ends]
        pair = torch.repeat_interleave(counts)
        place = torch.arange(pair.numel()) + (rowptr[ends] - (counts.cumsum(0) - counts))[pair]
        return pair * nodes + col[place]

    def sorted_keys(x: Tensor) -> Tensor:
        first, second = neighbours(pairs[0]), neighbours(pairs[1])
        place = torch.searchsorted(second, first).clamp(max=max(second.numel() - 1, 0))
        common = first[second[place] == first]
        return x.new_zeros(PAIRS, channels).index_add(0, common // nodes, x.index_select(0, common % nodes))

    degrees = rowptr.diff()[pairs].min(dim=0).values
    return Row(
        name,
        lambda x: overlap_pool(adj, pairs, x),
        {"sorted keys": sorted_keys},
        (torch.randn(nodes, channels, requires_grad=True),),
        (4 * PAIRS * channels + 4 * int(degrees.sum())) / 1e9,
        goals={"sorted keys": GOAL} if size == MIDDLE else {},
        judged="forward",  # of the overlap; its gradient is as large as the features for either
    )


def _group(size: str, widths: tuple[int, ...]) -> dict[str, functools.partial[Row]]:
    names = {f"overlap with sums, {size}, {channels}": channels for channels in widths}
    return {name: functools.partial(row, name, size, channels) for name, channels in names.items()}


GROUPS = [_group(CORA, (64,)), _group(MIDDLE, CHANNELS)]
