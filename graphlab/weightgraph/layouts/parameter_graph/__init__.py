"""The parameter graph of graph metanetworks: an edge for each learnable parameter, however often it is used.

Lim, Maron, Law, Lorraine, Lucas: Graph Metanetworks for Processing Diverse Neural Architectures, ICLR 2024.

>>> net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
>>> wiring = parameter_graph(net)
>>> tensors = dict(net.named_parameters())
>>> x, edge_index, edge_attr = node_features(wiring), wiring.edge_index(), edge_features(wiring, tensors)
>>> back = wiring.read_back(edge_attr[:, :1], tensors)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from graphlab.weightgraph.layouts.layers import (
    Conv,
    Layer,
    Linear,
    Norm,
    ResidualAttention,
    ResidualConv,
    ResidualFFN,
    SetLinear,
    TriplanarGrid,
)
from graphlab.weightgraph.layouts.parameter_graph.drawing import Options, draw
from graphlab.weightgraph.layouts.parameter_graph.features import (
    block_labels,
    edge_features,
    edge_labels,
    node_features,
)
from graphlab.weightgraph.layouts.parameter_graph.types import EdgeType, NodeType
from graphlab.weightgraph.layouts.reading import Reader, read_layers
from graphlab.weightgraph.wiring import Wiring

__all__ = [
    "Conv",
    "EdgeType",
    "Layer",
    "Linear",
    "NodeType",
    "Norm",
    "Reader",
    "ResidualAttention",
    "ResidualConv",
    "ResidualFFN",
    "SetLinear",
    "TriplanarGrid",
    "block_labels",
    "edge_features",
    "edge_labels",
    "node_features",
    "parameter_graph",
    "read_layers",
]


def parameter_graph(
    modules: nn.Module | Iterable[nn.Module | Layer],
    selfloop: bool = False,
    *,
    distinct_types: bool = False,
    mark_outputs: bool = False,
    correct_grid: bool = False,
    readers: Mapping[type[nn.Module], Reader] | None = None,
) -> Wiring:
    """The parameter graph of a sequence of layers, nodes and edges in the published order.

    It is drawn from names and sizes alone, so one wiring serves all networks of an architecture. Every default is as
    published; all options but ``selfloop`` mend what the published construction does not tell apart.

    Args:
        modules: Declared layers, ``torch`` modules, or both; see :func:`read_layers`.
        selfloop: Draw biases and norm parameters as loops at the nodes that they act on, not from nodes of their own.
        distinct_types: Give queries, keys and values edge types of their own, and so the weight on the mean of a set.
            Without, swapping an entry of one with that of another changes the network and not what a metanetwork sees.
        mark_outputs: Let the outputs of a network that ends in a norm have an order, not the norm's parameters.
        correct_grid: Draw each value of a triplanar grid between the point and the feature that it belongs to, with
            rows and columns as ``grid_sample`` reads them.
        readers: How to declare modules of further classes.

    Raises:
        WiringError: naming the layer, if it cannot be drawn, its width does not fit, or two share a parameter.
    """
    return draw(read_layers(modules, readers), Options(selfloop, distinct_types, mark_outputs, correct_grid))
