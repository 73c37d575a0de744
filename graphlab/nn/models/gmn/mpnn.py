r"""Message passing that updates edges, in pre-norm residual blocks (specification of metanetworks, 2.2).

.. math::
    e'_{k} &= \mathrm{relu}(A [\bar x_j, \bar x_i, \bar e_k] + a), \qquad \bar x = \mathrm{LN}(x),\ \bar e = \mathrm{LN}(e) \\
    m_k &= \mathrm{relu}(B [\bar x_j, e'_k] + b), \qquad g_i = \operatorname{mean}_{k: j \to i} m_k \\
    x'_i &= \mathrm{relu}(C [\bar x_i, g_i] + c) \\
    x &\leftarrow x + U f(x') + u, \qquad e \leftarrow e + V f(e') + v

Columns of :math:`A` and :math:`B` that belong to nodes are multiplied once a node, not once an edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphlab.nn.models.gmn.ends import Tile
from graphlab.nn.models.gmn.graph import Edges, Graph
from graphlab.nn.models.gmn.passes import (
    EdgeFunction,
    EdgeMap,
    Fold,
    Result,
    alone,
    dropped,
    edge_pass,
    linear_map,
    seed,
    started,
    sums,
    whole_pass,
)
from graphlab.nn.models.gmn.residual import residual_pass

Activation = Literal["silu", "relu"]
Aggregation = Literal["mean", "sum", "max"]



class EdgeModel(nn.Module):
    """``relu(A [x_source, x_target, e] + a)``; ``last`` leaves the ReLU out."""

    def __init__(self, node_channels: int, edge_channels: int, channels: int, last: bool = False) -> None:
        super().__init__()
        self.edge_mlp = _mlp(2 * node_channels + edge_channels, channels, last)
        self._widths = [node_channels, node_channels, edge_channels]

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``[N, channels]`` as sources, and as targets with the bias."""
        source, target, _ = self._columns()
        return F.linear(x, source), F.linear(x, target, self.edge_mlp[0].bias)

    @property
    def edge_weight(self) -> Tensor:
        """The columns of ``A`` that belong to the edge."""
        return self._columns()[2]

    def _columns(self) -> tuple[Tensor, ...]:
        return self.edge_mlp[0].weight.split(self._widths, dim=1)


class NodeModel(nn.Module):
    """``relu(C [x, g] + c)`` of the aggregated messages ``g``; a message is ``relu(B [x_source, e'] + b)``.

    ``last`` leaves both ReLUs out.
    """

    def __init__(self, node_channels: int, edge_channels: int, channels: int, last: bool = False) -> None:
        super().__init__()
        self.node_mlp_1 = _mlp(node_channels + edge_channels, channels, last)
        self.node_mlp_2 = _mlp(node_channels + channels, channels, last)
        self._widths = [node_channels, edge_channels]

    def terms(self, x: Tensor) -> Tensor:
        """``[N, channels]`` as sources, with the bias."""
        return F.linear(x, self._columns()[0], self.node_mlp_1[0].bias)

    @property
    def edge_weight(self) -> Tensor:
        """The columns of ``B`` that belong to the edge."""
        return self._columns()[1]

    def forward(self, x: Tensor, received: Tensor) -> Tensor:
        return cast(Tensor, self.node_mlp_2(torch.cat([x, received], dim=1)))

    def _columns(self) -> tuple[Tensor, ...]:
        return self.node_mlp_1[0].weight.split(self._widths, dim=1)


class Conv(nn.Module):
    """The edge model and, unless only edges are updated, the node model of a layer."""

    def __init__(self, node_channels: int, edge_channels: int, channels: int, nodes: bool, last: bool = False) -> None:
        super().__init__()
        self.edge_model = EdgeModel(node_channels, edge_channels, channels, last)
        self.node_model = NodeModel(node_channels, channels, channels, last) if nodes else None
        self.last = last

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What nodes say as sources, to edges and then to messages, and what they say as targets."""
        source, target = self.edge_model.terms(x)
        if self.node_model is not None:
            source = torch.cat([source, self.node_model.terms(x)], dim=1)
        return source, target

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """What :meth:`update` takes."""
        models = (self.edge_model, self.node_model)
        return tuple(model.edge_weight for model in models if model is not None)

    def update(
        self, states: Tensor, source: Tensor, target: Tensor, edge_weight: Tensor, message_weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """``e'`` and the messages of a tile, the latter if nodes are updated."""
        to_edge, to_message = (source, None) if message_weight is None else source.chunk(2, dim=-1)
        updated = F.linear(states, edge_weight).add_(to_edge).add_(target)
        updated = updated if self.last else updated.relu_()
        if message_weight is None:
            return updated, None
        sent = F.linear(updated, message_weight).add_(to_message)
        return updated, sent if self.last else sent.relu_()


class Block(nn.Module):
    """One residual block; the last of a model (``nodes=False``) leaves nodes as they are, and does not norm them."""

    def __init__(self, hidden: int, nodes: bool, activation: Activation, dropout: float) -> None:
        super().__init__()

        def mlp() -> nn.Sequential:
            return nn.Sequential(nn.SiLU() if activation == "silu" else nn.ReLU(), nn.Linear(hidden, hidden))

        self.dropout, self.hidden = dropout, hidden
        self.activation = F.silu if activation == "silu" else F.relu
        self.node_norm = nn.LayerNorm(hidden) if nodes else None
        self.edge_norm = nn.LayerNorm(hidden)
        self.conv = Conv(hidden, hidden, hidden, nodes)
        self.node_mlp = mlp() if nodes else None
        self.edge_mlp = mlp()

    def normed(self, x: Tensor) -> Tensor:
        """The nodes as edges see them."""
        return x if self.node_norm is None else cast(Tensor, self.node_norm(x))

    def edge_function(self) -> EdgeFunction:
        """New states, and messages if nodes are updated."""
        p = self.dropout if self.training else 0.0
        key = seed() if p else 0

        def of(edges: Edges, tile: Tile, states: Tensor, source: Tensor, target: Tensor, *weights: Tensor) -> Result:
            scale, shift, outer, bias, *inner = weights
            normed = F.layer_norm(states, scale.shape, scale, shift)
            updated, sent = self.conv.update(normed, source, target, *inner)
            return F.linear(self.activation(dropped(updated, p, key, tile)), outer, bias).add_(states), sent

        norm, last = self.edge_norm, self.edge_mlp[1]
        return EdgeFunction(of, (norm.weight, norm.bias, last.weight, last.bias, *self.conv.weights), self.hidden)

    def edge_pass(self, edges: Edges, states: Tensor, source: Tensor, target: Tensor, overwrite: bool) -> Result:
        """New states, and sums of messages if nodes are updated."""
        if self.dropout and self.training:
            return edge_pass(self.edge_function(), edges, states, source, target, len(source))
        inner, *message = self.conv.weights
        silu = self.activation is F.silu
        given = (self.edge_norm, inner, message[0] if message else None, self.edge_mlp[1], silu)
        return residual_pass(edges, states, source, target, *given, overwrite=overwrite)

    def update(self, x: Tensor, graph: Graph, sent: Sequence[Tensor | None], aggregation: Aggregation) -> Tensor:
        """The nodes after they received messages, see :func:`aggregated`; the same in the last block."""
        if self.conv.node_model is None or self.node_mlp is None:
            return x
        new = self.conv.node_model(self.normed(x), aggregated(graph, sent, aggregation))
        return cast(Tensor, x + self.node_mlp(F.dropout(new, self.dropout, self.training)))


class ResidualMPNN(nn.Module):
    """Message passing in residual blocks, the last of which updates edges only (published: ``empnn_dit``).

    Args:
        node_in, edge_in: Channels of nodes and edges.
        hidden: Channels within.
        edge_out: Channels of the edges' outputs.
        num_layers: Blocks, at least one.
        activation: ``silu`` or ``relu``.
        dropout: Probability, in the residual branches.
        aggregation: ``mean``, ``sum`` or ``max`` of the messages to a node; zero without any.
        zero_init: Let all residual branches, and the output, begin at zero.

    Raises:
        ValueError: for sizes out of range and unknown names.
    """

    def __init__(
        self,
        node_in: int,
        edge_in: int,
        hidden: int,
        edge_out: int,
        num_layers: int,
        *,
        activation: Activation = "silu",
        dropout: float = 0.0,
        aggregation: Aggregation = "mean",
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(node_in=node_in, edge_in=edge_in, hidden=hidden, edge_out=edge_out, num_layers=num_layers)
        check_name("activation", activation, Activation)
        check_name("aggregation", aggregation, Aggregation)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected 0 <= dropout < 1, got {dropout}")
        self.aggregation = aggregation
        self.node_out, self.edge_out = hidden, edge_out
        self.node_embed, self.edge_embed = nn.Linear(node_in, hidden), nn.Linear(edge_in, hidden)
        self.convs = nn.ModuleList(
            Block(hidden, number < num_layers - 1, activation, dropout) for number in range(num_layers)
        )
        self.final_layer = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, edge_out))
        if zero_init:
            mlps = [mlp for block in self.convs for mlp in (block.node_mlp, block.edge_mlp) if mlp is not None]
            for linear in (*(mlp[1] for mlp in mlps), self.final_layer[1]):
                nn.init.zeros_(linear.weight)
                nn.init.zeros_(linear.bias)

    def forward(self, graph: Graph, x: Tensor, start: Fold, send: Fold | None = None) -> tuple[Tensor, list[Tensor]]:
        """Nodes ``[N, hidden]``, and the outputs of each part of the edges ``[*edges, edge_out]``.

        Args:
            graph: With all edges along which messages go.
            x: ``[N, node_in]``.
            start: From the values of edges to ``edge_in`` channels.
            send: If given, the second result is ``[N, channels]`` for each part instead: the sums over the edges into
                each node of what ``send`` makes of the outputs. Then nothing of the size of the edges is kept.
        """
        x = self.node_embed(x)
        norm, linear = self.final_layer
        final = layer_norm_map(norm).then(linear_map(linear.weight, linear.bias) if send is None else send(linear))
        states = started(graph, start(self.edge_embed))
        for number, block in enumerate(self.convs):
            source, target = block.conv.terms(block.normed(x))
            pairs = zip(graph.edges, states, strict=True)
            if self.aggregation == "max":
                results = [whole_pass(block.edge_function(), edges, own, source, target) for edges, own in pairs]
            else:
                results = [block.edge_pass(edges, own, source, target, overwrite=number > 0) for edges, own in pairs]
            states = [new for new, _ in results if new is not None]
            x = block.update(x, graph, [sent for _, sent in results], self.aggregation)
        if send is not None:
            return x, sums(graph, states, final)
        outputs = (edge_pass(alone(final), edges, own) for edges, own in zip(graph.edges, states, strict=True))
        return x, [new for new, _ in outputs if new is not None]


def aggregated(graph: Graph, sent: Sequence[Tensor | None], how: Aggregation) -> Tensor:
    """``[N, channels]``, zero for nodes that receive nothing.

    Args:
        graph: The edges.
        sent: Of each part of them: the messages for ``max``, else their sums.
        how: The aggregation.
    """
    given = [own for own in sent if own is not None]
    degree = graph.degree()
    if how != "max":
        total = sum(given[1:], start=given[0])
        return total if how == "sum" else total / degree.clamp(min=1)
    most = given[0].new_full((graph.num_nodes, given[0].shape[-1]), -torch.inf)
    for edges, own in zip(graph.edges, given, strict=True):
        most = edges.target.largest(most, own)
    return torch.where(degree > 0, most, 0)


def layer_norm_map(norm: nn.LayerNorm) -> EdgeMap:
    def of(edges: Edges, tile: Tile, states: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return F.layer_norm(states, scale.shape, scale, shift)

    return EdgeMap(of, (norm.weight, norm.bias), norm.normalized_shape[0])


def check_sizes(**sizes: int) -> None:
    """Raises ``ValueError`` unless all are at least 1."""
    if min(sizes.values()) < 1:
        raise ValueError(f"expected {', '.join(sizes)} of at least 1, got {', '.join(map(str, sizes.values()))}")


def check_name(option: str, value: str, names: object) -> None:
    if value not in get_args(names):
        raise ValueError(f"{option}: expected one of {', '.join(get_args(names))}, got {value!r}")


def _mlp(in_channels: int, channels: int, last: bool) -> nn.Sequential:
    linear = nn.Linear(in_channels, channels)
    return nn.Sequential(linear) if last else nn.Sequential(linear, nn.ReLU())
