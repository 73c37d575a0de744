"""NG-GNN: a message-passing network over the neurons and weights of networks (neural_graphs, 2.5, 2.6 and 2.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch_geometric.data import Data

from graphlab.nn.models.neural_graphs.edges import Edges
from graphlab.nn.models.neural_graphs.gnn import GNN, JumpingMode, Norm, Watch
from graphlab.nn.models.neural_graphs.graphs import Activations, Graphs
from graphlab.nn.models.neural_graphs.model import Answer, Editing, EncoderOptions, NeuralGraphModel
from graphlab.nn.models.neural_graphs.pna import Act, Modulation, Scaler, known
from graphlab.nn.models.neural_graphs.readout import Layer, Pooling, check_outputs, outputs_of, pool_edges, pool_nodes
from graphlab.ops.block_received import Aggregator
from graphlab.weightgraph import WeightGraphBatch


class NGGNN(NeuralGraphModel):
    """NG-GNN: networks in, a row for each out: scores of classes, or a number to regress.

    Kofinas, Knyazev, Zhang, Chen, Burghouts, Gavves, Snoek, Zhang: Graph Neural Networks for Learning Equivariant
    Representations of Neural Networks, ICLR 2024 (arXiv 2403.12143). Hidden neurons of the networks may be permuted
    without effect.

    Parameters have the published names. The defaults are those of the published scripts but for ``norm``, which there
    is ``batch_graph``.

    Args:
        num_inputs, max_hidden, num_outputs: The networks' inputs, most hidden layers and outputs.
        out_channels: Of the result.
        degrees: Nodes of the training set by their in-degree, edges forward:
            :func:`~graphlab.weightgraph.layouts.neural_graph.degree_histogram`.
        channels: Features of nodes and of edges.
        num_layers, aggregators, scalers, modulation, norm, act, act_first, dropout, update_edges, final_edge_update,
            jk: As :class:`~graphlab.nn.models.neural_graphs.gnn.GNN`.
        pooling, pooling_layer: What becomes of features: outputs beside one another (``cat``, ``last``); ``mean`` or
            ``max`` of the nodes of the last layer or of ``all``; ``mean_edge`` or ``max_edge`` over all pairs of nodes,
            or (``last``) those that end at an output, zeros where no edge is.
        padded: Pool ``all`` over as many nodes as the largest graph of the batch has, the missing ones zero, as
            published for unlike networks.
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
        degrees: Sequence[int],
        channels: int = 32,
        num_layers: int = 4,
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
        pooling: Pooling = "cat",
        pooling_layer: Layer = "last",
        padded: bool = False,
        encoder: EncoderOptions | None = None,
        statistics: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__(num_inputs, max_hidden, num_outputs, channels, channels, encoder, statistics)
        known("pooling_layer", [pooling_layer], Layer)
        if pooling not in ("cat", "mean", "max", "mean_edge", "max_edge") or (pooling, pooling_layer) == ("cat", "all"):
            raise ValueError(f"NG-GNN has no pooling {pooling} over {pooling_layer}")
        self.pooling, self.pooling_layer, self.padded = pooling, pooling_layer, padded
        self.gnn = GNN(
            channels,
            num_layers,
            degrees,
            aggregators=aggregators,
            scalers=scalers,
            modulation=modulation,
            norm=norm,
            act=act,
            act_first=act_first,
            dropout=dropout,
            update_edges=update_edges,
            final_edge_update=final_edge_update,
            jk=jk,
        )
        self.proj_out = nn.Sequential(
            nn.Linear(channels * (num_outputs if pooling == "cat" else 1), channels),
            nn.ReLU(),
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, out_channels),
        )

    def forward(
        self, graphs: WeightGraphBatch | Data, activations: Activations | None = None, answer: Answer | None = None
    ) -> Tensor:
        """``[networks, out_channels]`` in the order in which the networks were given.

        Args:
            graphs: In blocks, or explicit as :func:`~graphlab.nn.models.neural_graphs.graph_data` makes them.
            activations: Of the hidden layers of each network; default those of explicit graphs.
            answer: How networks answer to probes, if the encoder has them; default as sine networks do.

        Raises:
            ValueError: naming the network, for one that the model was not made for or that holds NaN or infinity.
        """
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
            watch: Told of what each layer makes, ``convK``, ``normK`` and ``edgeK``; all of it is then computed.
        """
        given, x, edges, states = self.encode(graphs, activations, answer)
        of_edges = self.pooling.endswith("_edge")
        nodes = outputs_of(given) if self.pooling_layer == "last" and not of_edges else None
        if self.pooling == "cat":
            check_outputs(given, self.construct_graph.num_outputs)
        early = nodes if watch is None else None
        x, states = self.gnn(x, edges, states, given.graph, given.ptr, early, watch)
        if of_edges:
            pooled = pool_edges(given, edges, states, self.pooling_layer, self.pooling, self.padded)
        else:
            x = x if nodes is None or early is not None else x[nodes]
            pooled = pool_nodes(given, x, nodes, self.pooling, self.padded)
        return given.as_given(pooled)


class NGGNNEditor(Editing):
    """NG-GNN that changes the parameters of networks: for style editing of implicit neural representations.

    Args:
        num_inputs, max_hidden, num_outputs: The networks' inputs, most hidden layers and outputs.
        degrees, channels, num_layers, aggregators, scalers, modulation, norm, act, act_first, dropout, update_edges,
            final_edge_update, jk: As :class:`NGGNN`.
        normalize, misread_biases: As :class:`~graphlab.nn.models.neural_graphs.model.Editing`; published weights were
            trained with ``misread_biases``.
        encoder, statistics: As :class:`NGGNN`.
    """

    def __init__(
        self,
        num_inputs: int,
        max_hidden: int,
        num_outputs: int,
        degrees: Sequence[int],
        channels: int = 128,
        num_layers: int = 4,
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
        normalize: bool = False,
        misread_biases: bool = False,
        encoder: EncoderOptions | None = None,
        statistics: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__(
            num_inputs, max_hidden, num_outputs, channels, channels, encoder, statistics, normalize, misread_biases
        )
        self.gnn = GNN(
            channels,
            num_layers,
            degrees,
            aggregators=aggregators,
            scalers=scalers,
            modulation=modulation,
            norm=norm,
            act=act,
            act_first=act_first,
            dropout=dropout,
            update_edges=update_edges,
            final_edge_update=final_edge_update,
            jk=jk,
        )

    def features(self, given: Graphs, x: Tensor, edges: list[Edges], states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return self.gnn(x, edges, states, given.graph, given.ptr)
