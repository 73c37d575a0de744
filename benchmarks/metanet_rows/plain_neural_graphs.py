"""NG-GNN and NG-T as one would write them down: every pair encoded, an explicit edge list, wide tensors of pairs.

They read the parameters of our models by their published names, and are the peers that :mod:`.neural_graphs` measures.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.nn.aggr import MultiAggregation

Parameters = dict[str, Tensor]


def linear(p: Parameters, name: str, x: Tensor) -> Tensor:
    return functional.linear(x, p[f"{name}.weight"], p.get(f"{name}.bias"))


def matrices(layout: tuple[int, ...], weights: list[Tensor], biases: list[Tensor], both: bool) -> tuple[Tensor, Tensor]:
    """Node values ``[B, N, 1]`` and edge values ``[B, N, N, 1 or 3]``, zeros where no edge is."""
    count, size = len(weights[0]), sum(layout)
    nodes = torch.cat([biases[0].new_zeros(count, layout[0], 1), *biases], dim=1)
    edges = weights[0].new_zeros(count, size, size, 1)
    start = 0
    for (read, made), weight in zip(pairwise(layout), weights, strict=True):
        edges[:, start : start + read, start + read : start + read + made] = weight
        start += read
    if both:
        edges = torch.cat([edges, edges.transpose(1, 2), edges + edges.transpose(1, 2)], dim=-1)
    return nodes, edges


def encoded(p: Parameters, nodes: Tensor, edges: Tensor, layout: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    def fourier(name: str, values: Tensor) -> Tensor:
        phases = 2 * math.pi * values @ p[f"{name}.0.b"].t()
        return linear(p, f"{name}.1", torch.cat([phases.cos(), phases.sin()], dim=-1))

    g = "construct_graph"
    x = linear(p, f"{g}.proj_node_in", fourier(f"{g}.proj_bias", nodes))
    e = linear(p, f"{g}.proj_edge_in", fourier(f"{g}.proj_weight", edges))
    rows = [*range(layout[0])]
    for number, width in enumerate(layout[1:-1]):
        rows += [layout[0] + number] * width
    rows += range(layout[0] + len(layout) - 2, layout[0] + len(layout) - 2 + layout[-1])
    return x + p[f"{g}.pos_embed"][rows], e


def gnn(p: Parameters, layout: tuple[int, ...], weights: list[Tensor], biases: list[Tensor], layers: int) -> Tensor:
    """Bidirectional NG-GNN with the published norm; mean, min, max and std; identity and amplification; cat/last."""
    count, size = len(weights[0]), sum(layout)
    x, e = encoded(p, *matrices(layout, weights, biases, True), layout)
    start, pairs = 0, []
    for read, made in pairwise(layout):
        i = torch.arange(start, start + read).repeat_interleave(made)
        pairs.append(torch.stack([i, torch.arange(start + read, start + read + made).repeat(read)]))
        start += read
    forward = torch.cat(pairs, dim=1)
    index = torch.cat([forward, forward.flip(0)], dim=1)
    edge = torch.cat([own[index[0], index[1]] for own in e])
    source, target = torch.cat([index + number * size for number in range(count)], dim=1)
    x = x.flatten(0, 1)
    degree = torch.bincount(target, minlength=len(x)).unsqueeze(1)
    reduce = MultiAggregation(["mean", "min", "max", "std"])
    for k in range(layers):
        name = f"gnn.convs.{k}"
        scale, shift = linear(p, f"{name}.edge_encoder", edge).chunk(2, dim=1)
        both = torch.cat([x[target], x[source]], dim=1)
        message = scale * linear(p, f"{name}.pre_nns.0.0", both) + shift
        y = reduce(message, target, dim_size=len(x))
        amplified = y * ((degree + 1).log() / p[f"{name}.aggr_module.avg_deg_log"])
        x = linear(p, f"{name}.post_nns.0.0", torch.cat([x, y, amplified], dim=1))
        x = linear(p, f"{name}.lin", x)
        if k < layers - 1:
            x = x - x.mean()
            x = x / (x.std(unbiased=False) + 1e-5) * p[f"gnn.norms.{k}.weight"] + p[f"gnn.norms.{k}.bias"]
            x = functional.silu(x)
            name = f"gnn.edge_update.{k}"
            ends = linear(p, f"{name}.lin_s", x)[source] + linear(p, f"{name}.lin_t", x)[target]
            edge = linear(p, f"{name}.lin1", functional.silu(linear(p, f"{name}.lin_e", edge) + ends))
    return _head(p, x.view(count, size, -1)[:, -layout[-1] :].flatten(1), 3)


def transformer(
    p: Parameters, layout: tuple[int, ...], weights: list[Tensor], biases: list[Tensor], layers: int, heads: int
) -> Tensor:
    """Unidirectional NG-T, cat/last."""
    x, e = encoded(p, *matrices(layout, weights, biases, False), layout)
    for k in range(layers):
        name = f"layers.{k}"
        x = _attended(p, name, x, e, heads)
        if k < layers - 1:
            own = f"{name}.edge_updates"
            h = linear(p, f"{own}.edge_mlp0.lin0_e", torch.cat([e, e.transpose(1, 2)], dim=-1))
            h = h + linear(p, f"{own}.edge_mlp0.lin0_s", x).unsqueeze(2)
            h = functional.gelu(h + linear(p, f"{own}.edge_mlp0.lin0_t", x).unsqueeze(1))
            e = _norm(p, f"{own}.eln0", e + linear(p, f"{own}.edge_mlp0.lin1", h))
            h = functional.gelu(linear(p, f"{own}.edge_mlp1.0", e))
            e = _norm(p, f"{own}.eln1", e + linear(p, f"{own}.edge_mlp1.2", h))
    return _head(p, x[:, -layout[-1] :].flatten(1), 2)


def _attended(p: Parameters, name: str, x: Tensor, e: Tensor, heads: int) -> Tensor:
    q, k, v = linear(p, f"{name}.self_attn.qkv_node", x).unflatten(-1, (heads, -1)).chunk(3, dim=-1)
    qe, ke, ve, ue = linear(p, f"{name}.self_attn.qkv_edge", e).unflatten(-1, (heads, -1)).chunk(4, dim=-1)
    scores = ((q.unsqueeze(2) + qe) * (k.unsqueeze(1) + ke)).sum(dim=-1) / math.sqrt(heads * q.shape[-1])
    o = (scores.softmax(dim=2).unsqueeze(-1) * (v.unsqueeze(1) * ue + ve)).sum(dim=2).flatten(2)
    o = linear(p, f"{name}.lin0", linear(p, f"{name}.self_attn.proj_out", o))
    x = _norm(p, f"{name}.node_ln0", x + o)
    h = functional.gelu(linear(p, f"{name}.node_mlp.0", x))
    return _norm(p, f"{name}.node_ln1", x + linear(p, f"{name}.node_mlp.2", h))


def _norm(p: Parameters, name: str, x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"])


def _head(p: Parameters, x: Tensor, depth: int) -> Tensor:
    for number in range(depth):
        x = linear(p, f"proj_out.{2 * number}", x if number == 0 else functional.relu(x))
    return x
