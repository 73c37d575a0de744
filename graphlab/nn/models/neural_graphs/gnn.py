"""NG-GNN without its ends: convolutions and edge updates in turn (specification of neural_graphs, 2.5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn.models import JumpingKnowledge

from graphlab.nn.models.neural_graphs.edges import Edges, FlatEdges
from graphlab.nn.models.neural_graphs.pna import Act, ModulatedPNAConv, Modulation, Scaler, activation, known
from graphlab.ops.block_received import Aggregator

Norm = Literal["graph", "batch_graph", "node", "none"]
JumpingMode = Literal["cat", "max", "lstm", "last"]
Watch: TypeAlias = Callable[[str, Sequence[Tensor]], None]
"""Told what a part of a model made, by the part's name."""


class LayerNorm(nn.Module):
    r"""Normalisation of node features by means over channels and nodes.

    .. math:: y = \frac{x - \mu}{\sigma + \epsilon} \odot w + b

    ``graph``: over all nodes of a graph. ``batch_graph``: over all nodes of all graphs of a batch, as the published
    code does, so that what is said of a network depends on those beside it. ``node``: over the channels of each node,
    with :math:`\sqrt{\sigma^2 + \epsilon}`.
    """

    def __init__(self, channels: int, mode: Norm = "graph", eps: float = 1e-5) -> None:
        super().__init__()
        self.mode, self.eps = mode, eps
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, graph: Tensor, ptr: Tensor) -> Tensor:
        """``[num_nodes, channels]``, given the graph of each node, int64 ``[num_nodes]``, and the graphs' first nodes,
        int64 ``[graphs + 1]``."""
        if self.mode == "node":
            return functional.layer_norm(x, x.shape[1:], self.weight, self.bias, self.eps)
        if self.mode == "batch_graph":
            centred = x - x.mean()
            return centred / (centred.square().mean().sqrt() + self.eps) * self.weight + self.bias
        size = (ptr.diff() * x.shape[1]).to(x.dtype)
        total = x.new_zeros(len(size)).index_add(0, graph, x.sum(dim=1))
        centred = x - (total / size)[graph].unsqueeze(1)
        spread = x.new_zeros(len(size)).index_add(0, graph, centred.square().sum(dim=1))
        scale = 1 / ((spread / size).sqrt() + self.eps)
        return centred * scale[graph].unsqueeze(1) * self.weight + self.bias


class EdgeUpdate(nn.Module):
    r"""New states of edges: :math:`e_{ij}' = W_1 f(W_e e_{ij} + W_s x_j + W_t x_i + b) + b_1`, from node j to i."""

    def __init__(self, channels: int, act: Act) -> None:
        super().__init__()
        self.act: Act = act
        self.lin_e, self.lin_s, self.lin_t, self.lin1 = (nn.Linear(channels, channels) for _ in range(4))

    def forward(self, x: Tensor, edges: Sequence[Edges], states: Sequence[Tensor]) -> list[Tensor]:
        sent, own = self.lin_s(x), self.lin_t(x)
        weights = (self.lin_e.weight, self.lin_e.bias, sent, own, self.act, self.lin1.weight, self.lin1.bias)
        return [each.update(state, *weights) for each, state in zip(edges, states, strict=True)]


class GNN(nn.Module):
    """``num_layers`` convolutions; after each but the last norm, activation, dropout and an update of the edges.

    Args:
        channels: Of nodes and of edges.
        num_layers: How many convolutions.
        degrees, aggregators, scalers, modulation: As :class:`ModulatedPNAConv`.
        norm: See :class:`LayerNorm`; ``none`` for none.
        act: ``silu`` or ``relu``.
        act_first: Apply the activation before the norm.
        dropout: The probability.
        update_edges: Whether edges are updated.
        final_edge_update: Make an update after the last convolution, too, which nothing calls: published weights may
            hold one.
        jk: Jumping knowledge over the states after all convolutions, and a last linear map; default none.
    """

    def __init__(
        self,
        channels: int,
        num_layers: int,
        degrees: Sequence[int],
        *,
        aggregators: Sequence[Aggregator] = ("mean", "min", "max", "std"),
        scalers: Sequence[Scaler] = ("identity", "amplification"),
        modulation: Modulation = "film",
        norm: Norm = "graph",
        act: Act = "silu",
        act_first: bool = False,
        dropout: float = 0.0,
        update_edges: bool = True,
        final_edge_update: bool = False,
        jk: JumpingMode | None = None,
    ) -> None:
        super().__init__()
        known("norm", [norm], Norm)
        known("act", [act], Act)
        known("jk", [jk or "last"], JumpingMode)
        if num_layers < 1 or not 0 <= dropout < 1:
            raise ValueError(f"expected a layer or more and 0 <= dropout < 1, got {num_layers} and {dropout}")
        self.act, self.act_first, self.dropout, self.jk_mode = act, act_first, dropout, jk
        self.convs = nn.ModuleList(
            ModulatedPNAConv(channels, channels, channels, degrees, aggregators, scalers, modulation)
            for _ in range(num_layers)
        )
        followed = num_layers if jk else num_layers - 1
        self.norms = nn.ModuleList(LayerNorm(channels, norm) for _ in range(followed if norm != "none" else 0))
        updates = num_layers - 1 + final_edge_update if update_edges else 0
        self.edge_update = nn.ModuleList(EdgeUpdate(channels, act) for _ in range(updates))
        self.jk = None if jk in (None, "last") else JumpingKnowledge(jk, channels, num_layers)
        self.lin = nn.Linear(channels * (num_layers if jk == "cat" else 1), channels) if jk else None

    def forward(
        self,
        x: Tensor,
        edges: list[Edges],
        states: list[Tensor],
        graph: Tensor,
        ptr: Tensor,
        nodes: Tensor | None = None,
        watch: Watch | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Nodes ``[num_nodes, channels]``, or ``[len(nodes), channels]``, and what edges carry in the end.

        Args:
            x: ``[num_nodes, channels]``.
            edges, states: All edges, some at a time, and what they carry.
            graph, ptr: Of each node its graph, and the graphs' first nodes.
            nodes: int64, those asked for, if no edge is; the rest is then not computed in the end.
            watch: Told ``convK``, ``normK`` and ``edgeK``.
        """
        outputs: list[Tensor] = []
        last = len(self.convs) - 1
        asked = nodes if self.jk_mode is None else None  # a norm after the last convolution is over all nodes
        for number, conv in enumerate(self.convs):
            if asked is not None and number == last and not (last and len(self.edge_update)):
                edges, states = into(asked, edges, states, len(x))
            x = conv(x, edges, states, asked if number == last else None)
            _tell(watch, f"conv{number}", [x])
            if number < last or self.jk_mode is not None:
                x = self._followed(x, number, graph, ptr, watch)
                outputs.append(x)
            if number < last and len(self.edge_update):
                if asked is not None and number == last - 1:
                    edges, states = into(asked, edges, states, len(x))
                states = self.edge_update[number](x, edges, states)
                _tell(watch, f"edge{number}", states)
        if self.jk is not None:
            x = self.jk(outputs)
        if nodes is not None and asked is None:
            x = x[nodes]
        return x if self.lin is None else self.lin(x), states

    def _followed(self, x: Tensor, number: int, graph: Tensor, ptr: Tensor, watch: Watch | None) -> Tensor:
        """Norm, activation and dropout."""
        act = activation(self.act)
        x = act(x) if self.act_first else x
        if len(self.norms):
            x = self.norms[number](x, graph, ptr)
            _tell(watch, f"norm{number}", [x])
        x = x if self.act_first else act(x)
        return functional.dropout(x, self.dropout, self.training)


def into(
    nodes: Tensor, edges: Sequence[Edges], states: Sequence[Tensor], num_nodes: int
) -> tuple[list[Edges], list[Tensor]]:
    """The edges that some nodes receive of, at least: blocks are kept whole."""
    asked = torch.zeros(num_nodes, dtype=torch.bool, device=nodes.device)
    asked[nodes] = True
    kept_edges: list[Edges] = []
    kept: list[Tensor] = []
    for own, state in zip(edges, states, strict=True):
        if isinstance(own, FlatEdges):
            here = asked[own.receiver.long()].nonzero().squeeze(1)
            kept_edges.append(FlatEdges(own.sender[here], own.receiver[here], num_nodes))
            kept.append(state[here])
        else:
            grid = asked.narrow(0, own.start, own.graphs * own.size).view(own.graphs, own.size)
            if bool(grid[:, own.receivers].any()):
                kept_edges.append(own)
                kept.append(state)
    return kept_edges, kept


def _tell(watch: Watch | None, name: str, made: Sequence[Tensor]) -> None:
    if watch is not None:
        watch(name, made)
