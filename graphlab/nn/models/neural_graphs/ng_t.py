"""NG-T: a relational transformer over the neurons and weights of networks (neural_graphs, 2.6 to 2.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data

from graphlab.nn.models.neural_graphs.edges import Edges
from graphlab.nn.models.neural_graphs.gnn import Watch
from graphlab.nn.models.neural_graphs.graphs import Activations, Graphs
from graphlab.nn.models.neural_graphs.matrices import Matrix, matrices
from graphlab.nn.models.neural_graphs.model import Answer, Editing, EncoderOptions, NeuralGraphModel
from graphlab.nn.models.neural_graphs.pna import known
from graphlab.nn.models.neural_graphs.readout import Layer, Pooling, check_outputs, outputs_of
from graphlab.nn.models.neural_graphs.transformer import RelationalTransformer
from graphlab.weightgraph import WeightGraphBatch


class NGT(NeuralGraphModel):
    """NG-T: networks in, a row for each out: scores of classes, or a number to regress.

    Kofinas, Knyazev, Zhang, Chen, Burghouts, Gavves, Snoek, Zhang: Graph Neural Networks for Learning Equivariant
    Representations of Neural Networks, ICLR 2024 (arXiv 2403.12143). Every node attends to every node, also where
    no edge is. Hidden neurons of the networks may be permuted without effect. Networks of other sizes are computed
    apart: nothing is padded, and what is said of a network does not depend on those beside it.

    Parameters have the published names; the defaults are those of the published scripts.

    Args:
        num_inputs, max_hidden, num_outputs: The networks' inputs, most hidden layers and outputs.
        out_channels: Of the result.
        d_node, d_edge, d_attn_hid, d_node_hid, d_edge_hid, d_out_hid: Features of nodes and edges, of all attention
            heads, and hidden units of the networks of nodes, of edges and of the head.
        n_layers, n_heads: How many.
        dropout: The probability.
        modulate_v: Whether edges multiply values.
        use_ln: Whether there are norms.
        disable_edge_updates: Leave edges as they are encoded. As published it has no effect where edges or all nodes
            are pooled.
        tfixit_init: Scale the first weights of the networks of nodes and of attention by ``0.67 K^(-1/4)``, these by
            the square root of 2 besides.
        pooling, pooling_layer: As :class:`NGGNN`, or ``cls_token``, a node joined to the others; pairs without an edge
            carry something, too.
        pool_rows: Pool ``mean_edge`` and ``max_edge`` of the ``last`` layer over the edges out of the outputs, as
            published for unlike networks, in place of those into them.
        head_layers: Linear maps of the head: 2 as published for equal networks, 3 for unlike ones.
        padded: As published for unlike networks: pad them to the size of the largest of the batch with nodes that take
            part in everything.
        encoder, statistics: As :class:`~graphlab.nn.models.neural_graphs.model.NeuralGraphModel`.

    Raises:
        ValueError: for unknown names, and poolings that there are not.
    """

    def __init__(
        self,
        num_inputs: int,
        max_hidden: int,
        num_outputs: int,
        out_channels: int,
        *,
        d_node: int = 64,
        d_edge: int = 32,
        d_attn_hid: int = 128,
        d_node_hid: int = 128,
        d_edge_hid: int = 64,
        d_out_hid: int = 128,
        n_layers: int = 4,
        n_heads: int = 8,
        dropout: float = 0.0,
        modulate_v: bool = True,
        use_ln: bool = True,
        disable_edge_updates: bool = False,
        tfixit_init: bool = False,
        pooling: Pooling = "cat",
        pooling_layer: Layer = "last",
        pool_rows: bool = False,
        head_layers: int = 2,
        padded: bool = False,
        encoder: EncoderOptions | None = None,
        statistics: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__(num_inputs, max_hidden, num_outputs, d_node, d_edge, encoder, statistics)
        known("pooling", [pooling], Pooling)
        known("pooling_layer", [pooling_layer], Layer)
        if (pooling, pooling_layer) == ("cat", "all"):
            raise ValueError("NG-T has no pooling cat over all")
        self.pooling, self.pooling_layer, self.pool_rows, self.padded = pooling, pooling_layer, pool_rows, padded
        always = pooling == "mean_edge" or pooling_layer == "all"
        self.layers = RelationalTransformer(
            n_layers,
            not disable_edge_updates or always,
            always,
            (d_node, d_edge, d_attn_hid, d_node_hid, d_edge_hid, n_heads, modulate_v, dropout, use_ln),
            tfixit_init,
        )
        self.cls_token = nn.Parameter(torch.randn(d_node)) if pooling == "cls_token" else None
        width = d_edge if self.of_edges else d_node * (num_outputs if pooling == "cat" else 1)
        sizes = [width, *[d_out_hid] * (head_layers - 1), out_channels]
        maps = [nn.Linear(*pair) for pair in pairwise(sizes)]
        self.proj_out = nn.Sequential(maps[0], *(part for own in maps[1:] for part in (nn.ReLU(), own)))

    @property
    def of_edges(self) -> bool:
        return self.pooling.endswith("_edge")

    def forward(
        self, graphs: WeightGraphBatch | Data, activations: Activations | None = None, answer: Answer | None = None
    ) -> Tensor:
        """``[networks, out_channels]`` in the order in which the networks were given; as :meth:`NGGNN.forward`."""
        scores: Tensor = self.proj_out(self.embed(graphs, activations, answer))
        return scores

    def embed(
        self,
        graphs: WeightGraphBatch | Data,
        activations: Activations | None = None,
        answer: Answer | None = None,
        watch: Watch | None = None,
    ) -> Tensor:
        """``[networks, width]``: what the head reads of each network; see :meth:`forward`.

        Args:
            watch: Told of what each layer makes, ``nodeK`` and ``edgeK``, for the graphs of each size; all of it is
                then computed.
        """
        given, x, edges, states = self.encode(graphs, activations, answer)
        if self.pooling == "cat":
            check_outputs(given, self.construct_graph.num_outputs)
        last = torch.zeros_like(given.graph, dtype=torch.bool).index_fill(0, outputs_of(given), True)
        encoder, flat = self.construct_graph, torch.cat([state.flatten(end_dim=-2) for state in states])
        rows, order = [], []
        for matrix in matrices(given, edges, self.padded):
            pairs = matrix.pairs(flat, encoder.absent_edge())
            rows.append(self._pooled(matrix.node_rows(x, encoder.padding()), pairs, matrix, last, watch))
            order.append(matrix.graphs)
        return given.as_given(torch.cat(rows)[torch.cat(order).argsort()])

    def _pooled(self, x: Tensor, edge: Tensor, matrix: Matrix, last: Tensor, watch: Watch | None) -> Tensor:
        """``[B, width]`` of the graphs of one matrix."""
        outputs = last[matrix.nodes.clamp(min=0)] & (matrix.nodes >= 0)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.to(x.dtype).expand(len(x), 1, -1), x], dim=1)
            edge = functional.pad(edge, (0, 0, 1, 0, 1, 0))
            x, _ = self.layers(x, edge, x.new_zeros(1, dtype=torch.int64) if watch is None else None, False, watch)
            return x[:, 0]
        wanted = outputs if self.pooling_layer == "last" and not self.of_edges else torch.ones_like(outputs)
        rows = wanted.any(dim=0).nonzero().squeeze(1) if watch is None else torch.arange(x.shape[1], device=x.device)
        few = None if len(rows) == x.shape[1] else rows
        x, edge = self.layers(x, edge, few, self.of_edges or watch is not None, watch)
        if self.of_edges:
            chosen = torch.ones_like(outputs) if self.pooling_layer == "all" else outputs
            return self._pooled_edges(edge, chosen)
        chosen = wanted[:, rows]
        if self.pooling == "cat":
            return x[chosen].view(len(x), -1)
        if self.pooling == "max":
            return x.masked_fill(~chosen.unsqueeze(-1), -torch.inf).amax(dim=1)
        return torch.where(chosen.unsqueeze(-1), x, 0).sum(dim=1) / chosen.sum(dim=1, keepdim=True)

    def _pooled_edges(self, edge: Tensor, chosen: Tensor) -> Tensor:
        """``[B, d_edge]``: over the columns of the nodes chosen, ``[B, N]``, or their rows."""
        edge = edge.transpose(1, 2) if self.pool_rows else edge
        if self.pooling == "max_edge":
            return edge.amax(dim=1).masked_fill(~chosen.unsqueeze(-1), -torch.inf).amax(dim=1)
        total = torch.where(chosen.unsqueeze(-1), edge.sum(dim=1), 0).sum(dim=1)
        return total / (edge.shape[1] * chosen.sum(dim=1, keepdim=True))


class NGTEditor(Editing):
    """NG-T that changes the parameters of networks: for style editing of implicit neural representations.

    Args:
        num_inputs, max_hidden, num_outputs, d_node, d_edge, d_attn_hid, d_node_hid, d_edge_hid, n_layers, n_heads,
            dropout, modulate_v, use_ln, tfixit_init, encoder, statistics: As :class:`NGT`.
        normalize: As :class:`~graphlab.nn.models.neural_graphs.model.Editing`.
    """

    def __init__(
        self,
        num_inputs: int,
        max_hidden: int,
        num_outputs: int,
        *,
        d_node: int = 64,
        d_edge: int = 32,
        d_attn_hid: int = 128,
        d_node_hid: int = 128,
        d_edge_hid: int = 64,
        n_layers: int = 4,
        n_heads: int = 4,
        dropout: float = 0.0,
        modulate_v: bool = True,
        use_ln: bool = True,
        tfixit_init: bool = False,
        normalize: bool = False,
        encoder: EncoderOptions | None = None,
        statistics: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__(num_inputs, max_hidden, num_outputs, d_node, d_edge, encoder, statistics, normalize)
        self.layers = RelationalTransformer(
            n_layers,
            True,
            True,
            (d_node, d_edge, d_attn_hid, d_node_hid, d_edge_hid, n_heads, modulate_v, dropout, use_ln),
            tfixit_init,
        )

    def features(
        self, given: Graphs, x: Tensor, edges: list[Edges], states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        encoder, flat = self.construct_graph, torch.cat([state.flatten(end_dim=-2) for state in states])
        shapes = [state.shape[:-1] for state in states]
        nodes, pairs, node_order, edge_order = [], [], [], []
        for matrix in matrices(given, edges):
            rows, edge = self.layers(matrix.node_rows(x, encoder.padding()), matrix.pairs(flat, encoder.absent_edge()))
            nodes.append(rows.flatten(0, 1))
            node_order.append(matrix.nodes.flatten())
            pairs.append(edge.flatten(0, 2)[matrix.places])
            edge_order.append(matrix.edges)
        x = torch.cat(nodes)[torch.cat(node_order).argsort()]
        made = torch.cat(pairs)[torch.cat(edge_order).argsort()]
        parts = torch.split(made, [shape.numel() for shape in shapes])
        return x, [part.view(*shape, -1) for part, shape in zip(parts, shapes, strict=True)]
