r"""Attention over the edges into each node that updates edges too: GRIT (specification of metanetworks, 2.2).

Ma, Lin, Lim et al.: Graph Inductive Biases in Transformers without Message Passing, ICML 2023 (arXiv 2305.17589).
With heads of width :math:`d` and :math:`\rho(v) = \sqrt{\mathrm{relu}(v)} - \sqrt{\mathrm{relu}(-v)}`

.. math::
    s_k &= \mathrm{relu}\big(\rho((K x_j + Q x_i) \odot E^w e_k) + E^b e_k\big), \qquad
    \alpha_k = \operatorname{softmax}_{k: j \to i} \operatorname{clamp}(\langle s_k, A \rangle, -5, 5) \\
    h_i &= \sum_k \alpha_k V x_j + \Big(\sum_k \alpha_k s_k\Big) R, \qquad
    h_i \leftarrow h_i \odot (c_0 + \log(1 + \deg_i)\, c_1)

Logits are clamped, so the softmax needs no maximum: all that a node receives is sums, which add up over parts of the
edges.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphlab.nn.models.gmn.graph import Graph
from graphlab.nn.models.gmn.mpnn import check_sizes
from graphlab.nn.models.gmn.norm import batch_norm
from graphlab.nn.models.gmn.passes import Fold, started, sums

CLAMP = 5.0


class Attention(nn.Module):
    """What nodes and edges get of the edges into each node.

    Args:
        hidden: Channels of nodes and edges.
        num_heads: Heads, each of width ``hidden // num_heads``.
        dropout: Probability that an edge's attention is dropped in training.
    """

    def __init__(self, hidden: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.width, self.dropout = num_heads, hidden // num_heads, dropout
        inner = self.num_heads * self.width
        self.Q = nn.Linear(hidden, inner)
        self.K = nn.Linear(hidden, inner, bias=False)
        self.E = nn.Linear(hidden, 2 * inner)
        self.V = nn.Linear(hidden, inner, bias=False)
        self.Aw = nn.Parameter(torch.empty(self.width, num_heads, 1))
        self.VeRow = nn.Parameter(torch.empty(self.width, num_heads, self.width))
        for weight in (self.Q.weight, self.K.weight, self.E.weight, self.V.weight, self.Aw, self.VeRow):
            nn.init.xavier_normal_(weight)

    def forward(self, graph: Graph, x: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """``[N, inner]``, and ``[*edges, inner]`` of each part."""
        heads, width = self.num_heads, self.width
        key, query, value = self.K(x), self.Q(x), self.V(x)
        weighted = x.new_zeros(len(x), heads * width)
        scored, norm = torch.zeros_like(weighted), x.new_zeros(len(x), heads)
        scores = []
        for edges, own in zip(graph.edges, states, strict=True):
            scale, shift = self.E(own).unflatten(-1, (heads, 2, width)).unbind(-2)
            ends = edges.source.read(edges.source.spread(key)) + edges.target.read(edges.target.spread(query))
            raw = ends.unflatten(-1, (heads, width)) * scale
            score = F.relu(raw.relu().sqrt() - (-raw).relu().sqrt() + shift)
            exponential = torch.einsum("...hd,dhc->...h", score, self.Aw).clamp(-CLAMP, CLAMP).exp()
            into = edges.target
            into.add(into.spread(norm), exponential)
            kept = F.dropout(exponential, self.dropout, self.training).unsqueeze(-1)
            sent = edges.source.read(edges.source.spread(value)).unflatten(-1, (heads, width)) * kept
            into.add(into.spread(weighted), sent.flatten(-2))
            into.add(into.spread(scored), (score * kept).flatten(-2))
            scores.append(score.flatten(-2))
        share = norm.clamp(min=torch.finfo(norm.dtype).tiny).reciprocal().unsqueeze(-1)
        of_nodes = weighted.view(-1, heads, width) * share
        of_edges = torch.einsum("nhd,dhc->nhc", scored.view(-1, heads, width) * share, self.VeRow)
        return (of_nodes + of_edges).flatten(1), scores


class GritLayer(nn.Module):
    """Attention and a feed-forward map of the nodes, each with a residual branch and batch normalisation after it."""

    def __init__(self, hidden: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(hidden, num_heads, dropout)
        inner = self.attention.num_heads * self.attention.width
        self.deg_coef = nn.Parameter(torch.empty(1, inner, 2))
        nn.init.xavier_normal_(self.deg_coef)
        self.O_h, self.O_e = nn.Linear(inner, hidden), nn.Linear(inner, hidden)
        self.batch_norm1_h, self.batch_norm1_e = nn.BatchNorm1d(hidden), nn.BatchNorm1d(hidden)
        self.FFN_h_layer1, self.FFN_h_layer2 = nn.Linear(hidden, 2 * hidden), nn.Linear(2 * hidden, hidden)
        self.batch_norm2_h = nn.BatchNorm1d(hidden)

    def forward(self, graph: Graph, x: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Nodes and edges of the same shapes."""
        h, scores = self.attention(graph, x, states)
        first, second = self.deg_coef.unbind(dim=2)
        h = h * first + h * graph.degree().log1p() * second
        (x,) = batch_norm(self.batch_norm1_h, [x + self.O_h(h)])
        (x,) = batch_norm(self.batch_norm2_h, [x + self.FFN_h_layer2(F.relu(self.FFN_h_layer1(x)))])
        changed = [own + self.O_e(score) for own, score in zip(states, scores, strict=True)]
        return x, batch_norm(self.batch_norm1_e, changed)


class GRIT(nn.Module):
    """Layers of attention with edge updates.

    Args:
        hidden: Channels of nodes and edges.
        num_layers, num_heads: At least one; heads are ``hidden // num_heads`` wide.
        attention_dropout: Probability that an edge's attention is dropped in training.

    Raises:
        ValueError: for sizes out of range.
    """

    def __init__(self, hidden: int, num_layers: int, num_heads: int, attention_dropout: float = 0.2) -> None:
        super().__init__()
        check_sizes(hidden=hidden, num_layers=num_layers, num_heads=num_heads)
        if num_heads > hidden:
            raise ValueError(f"num_heads: {hidden} channels cannot be divided among {num_heads} heads")
        self.node_out = self.edge_out = hidden
        self.layers = nn.ModuleList(GritLayer(hidden, num_heads, attention_dropout) for _ in range(num_layers))

    def forward(self, graph: Graph, x: Tensor, start: Fold, send: Fold | None = None) -> tuple[Tensor, list[Tensor]]:
        """Nodes and edges ``[..., hidden]``; see :meth:`ResidualMPNN.forward`."""
        states = started(graph, start(None))
        for layer in self.layers:
            x, states = layer(graph, x, states)
        return x, states if send is None else sums(graph, states, send(None))
