"""NG-T without its ends: a relational transformer over all pairs of nodes (specification of neural_graphs, 2.7)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphlab.nn.models.neural_graphs.gnn import Watch
from graphlab.ops.relational_attention import relational_attention
from graphlab.ops.relational_update import PairNetwork, relational_update


class RelationalAttention(nn.Module):
    """Attention of each node over all nodes, along its outgoing edges; see :mod:`graphlab.ops.relational_attention`.

    Scores are divided by the square root of ``d_attn_hid``, that of all heads, as published. ``qkv_node`` and
    ``qkv_edge`` have the rows of each head together, in it queries, keys, values, and of edges factors of values.

    Args:
        d_node, d_edge: Of nodes and of edges.
        d_attn_hid: Channels of all heads.
        n_heads: How many.
        modulate_v: Whether edges multiply the values.
    """

    def __init__(self, d_node: int, d_edge: int, d_attn_hid: int, n_heads: int, modulate_v: bool) -> None:
        super().__init__()
        if d_attn_hid % n_heads:
            raise ValueError(f"d_attn_hid={d_attn_hid} cannot be divided among {n_heads} heads")
        self.n_heads, self.parts, self.scale = n_heads, 4 if modulate_v else 3, d_attn_hid**-0.5
        self.qkv_node = nn.Linear(d_node, 3 * d_attn_hid, bias=False)
        self.qkv_edge = nn.Linear(d_edge, self.parts * d_attn_hid, bias=False)
        self.proj_out = nn.Linear(d_attn_hid, d_node)

    def forward(self, x: Tensor, rows: Tensor | None, edge: Tensor) -> Tensor:
        """``[B, rows, d_node]``; ``x`` ``[B, N, d_node]``, ``rows`` int64 (default all), ``edge`` of these rows."""
        heads = self.qkv_node(x).unflatten(2, (self.n_heads, 3, -1)).permute(3, 0, 1, 2, 4).flatten(3)
        query, key, value = heads
        weight = self.qkv_edge.weight.unflatten(0, (self.n_heads, self.parts, -1)).transpose(0, 1).flatten(1, 2)
        query = query if rows is None else query[:, rows]
        attended = relational_attention(query, key, value, edge, weight, self.n_heads, self.scale)
        return cast(Tensor, self.proj_out(attended))


class EdgeNetwork(nn.Module):
    """The first of the two networks of an edge: of its state, that of the reversed edge, and both nodes."""

    def __init__(self, d_node: int, d_edge: int, d_edge_hid: int) -> None:
        super().__init__()
        self.lin0_e = nn.Linear(2 * d_edge, d_edge_hid)
        self.lin0_s, self.lin0_t = (nn.Linear(d_node, d_edge_hid) for _ in range(2))
        self.lin1 = nn.Linear(d_edge_hid, d_edge)


class EdgeUpdate(nn.Module):
    """New states of all pairs; see :mod:`graphlab.ops.relational_update`."""

    def __init__(self, d_node: int, d_edge: int, d_edge_hid: int, use_ln: bool, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.edge_mlp0 = EdgeNetwork(d_node, d_edge, d_edge_hid)
        self.edge_mlp1 = _feed_forward(d_edge, d_edge_hid, dropout)
        self.eln0, self.eln1 = (nn.LayerNorm(d_edge) if use_ln else None for _ in range(2))

    def forward(self, x: Tensor, rows: Tensor | None, edge: Tensor, turned: Tensor) -> Tensor:
        """``[B, rows, N, d_edge]``, given all nodes, the rows meant, and of these the states of edges and of the
        reversed ones."""
        mlp0, mlp1 = self.edge_mlp0, self.edge_mlp1
        own, other = mlp0.lin0_e.weight.chunk(2, dim=1)
        bias = mlp0.lin0_e.bias + mlp0.lin0_s.bias + mlp0.lin0_t.bias
        source = functional.linear(x if rows is None else x[:, rows], mlp0.lin0_s.weight, bias)
        target = functional.linear(x, mlp0.lin0_t.weight)
        norms = [_affine(norm, x) for norm in (self.eln0, self.eln1)]
        first, second = mlp0.lin1, mlp1[2]
        network = PairNetwork(
            own, other, first.weight, first.bias, mlp1[0].weight, second.weight, second.bias, *norms[0], *norms[1]
        )
        kept = [self._kept(edge), self._kept(edge)]
        return relational_update(edge, turned, source, target, network, kept)

    def _kept(self, edge: Tensor) -> Tensor | None:
        if not self.training or not self.dropout:
            return None
        return functional.dropout(torch.ones_like(edge, memory_format=torch.contiguous_format), self.dropout)


class RelationalLayer(nn.Module):
    """Attention and a network of each node, then of each edge, every one with a residual and a norm after it.

    Args:
        d_node, d_edge, d_attn_hid, n_heads, modulate_v: As :class:`RelationalAttention`.
        d_node_hid, d_edge_hid: Hidden units of the networks of nodes and of edges.
        dropout: The probability.
        use_ln: Whether there are norms.
        update_edges: Whether edges are updated.
    """

    def __init__(
        self,
        d_node: int,
        d_edge: int,
        d_attn_hid: int,
        d_node_hid: int,
        d_edge_hid: int,
        n_heads: int,
        modulate_v: bool,
        dropout: float,
        use_ln: bool,
        update_edges: bool,
    ) -> None:
        super().__init__()
        self.self_attn = RelationalAttention(d_node, d_edge, d_attn_hid, n_heads, modulate_v)
        self.lin0 = nn.Linear(d_node, d_node)
        self.dropout = nn.Dropout(dropout)
        self.node_ln0, self.node_ln1 = (nn.LayerNorm(d_node) if use_ln else nn.Identity() for _ in range(2))
        self.node_mlp = _feed_forward(d_node, d_node_hid, dropout)
        self.edge_updates = EdgeUpdate(d_node, d_edge, d_edge_hid, use_ln, dropout) if update_edges else None
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def nodes(self, x: Tensor, rows: Tensor | None, edge: Tensor) -> Tensor:
        """``[B, rows, d_node]``: new features of some nodes, given all and the edges out of these."""
        own = x if rows is None else x[:, rows]
        own = self.node_ln0(own + self.dropout(self.lin0(self.self_attn(x, rows, edge))))
        return cast(Tensor, self.node_ln1(own + self.node_mlp(own)))


def _feed_forward(channels: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, hidden, bias=False), nn.GELU(), nn.Linear(hidden, channels), nn.Dropout(dropout)
    )


def _affine(norm: nn.LayerNorm | None, like: Tensor) -> tuple[Tensor, Tensor]:
    return (like.new_empty(0), like.new_empty(0)) if norm is None else (norm.weight, norm.bias)


class RelationalTransformer(nn.ModuleList):
    """Several of :class:`RelationalLayer`."""

    def __init__(
        self,
        n_layers: int,
        update_edges: bool,
        final_edge_update: bool,
        layer: tuple[int, int, int, int, int, int, bool, float, bool],
        tfixit_init: bool = False,
    ) -> None:
        """
        Args:
            n_layers: How many.
            update_edges, final_edge_update: Whether edges are updated, and whether in the last layer, too.
            layer: The other arguments of :class:`RelationalLayer`.
            tfixit_init: Scale the first weights of the networks of nodes and of attention for the depth.
        """
        super().__init__(
            RelationalLayer(*layer, update_edges and (final_edge_update or number < n_layers - 1))
            for number in range(n_layers)
        )
        if n_layers < 1:
            raise ValueError(f"n_layers: expected one or more, got {n_layers}")
        if tfixit_init:
            for own in cast("list[RelationalLayer]", self):
                for part, factor in ((own.node_mlp, 1.0), (own.self_attn, 2**0.5)):
                    for name, parameter in part.named_parameters():
                        if name.endswith("weight"):
                            parameter.data.mul_(0.67 * n_layers**-0.25 * factor)

    def forward(
        self,
        x: Tensor,
        edge: Tensor,
        rows: Tensor | None = None,
        edges: bool = True,
        watch: Watch | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Nodes ``[B, N, d_node]``, or ``[B, rows, d_node]``, and edges ``[B, N, N, d_edge]``.

        Args:
            x: ``[B, N, d_node]``.
            edge: ``[B, N, N, d_edge]``: entry ``[i, j]`` is of the pair of node i and node j.
            rows: int64: the nodes asked for; default all.
            edges: Whether edges are asked for. Only what is asked for is computed in the end.
            watch: Told ``nodeK`` and ``edgeK``.
        """
        last = len(self) - 1
        few = None if edges else rows
        if few is not None and not last:
            edge = edge[:, few]
        for number, layer in enumerate(cast("list[RelationalLayer]", self)):
            x = layer.nodes(x, rows if number == last else None, edge)
            if watch is not None:
                watch(f"node{number}", [x])
            if not edges and number == last:
                break
            chosen = few if number == last - 1 else None
            own, turned = edge, edge.transpose(1, 2)
            if chosen is not None:
                own, turned = own[:, chosen], turned[:, chosen]
            edge = own
            if layer.edge_updates is not None:
                edge = layer.edge_updates(x, chosen, own, turned)
                if watch is not None:
                    watch(f"edge{number}", [edge])
        return x, edge
