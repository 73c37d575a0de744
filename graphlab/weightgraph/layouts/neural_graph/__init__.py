"""Neural graphs: a node for each neuron or channel, which carries its bias; an edge for each weight or kernel.

Kofinas, Knyazev, Zhang, Chen, Burghouts, Gavves, Snoek, Zhang: Graph Neural Networks for Learning Equivariant
Representations of Neural Networks, ICLR 2024 (arXiv 2403.12143).

>>> net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
>>> wiring = neural_graph(net)
>>> tensors = dict(net.named_parameters())
>>> x, edge_index, edge_attr = wiring.node_values(tensors), wiring.edge_index(), wiring.edge_values(tensors)
>>> back = wiring.read_back(edge_attr, tensors, x)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from graphlab.weightgraph.layouts.layers import Layer
from graphlab.weightgraph.layouts.neural_graph.drawing import draw
from graphlab.weightgraph.layouts.neural_graph.features import (
    both_ways,
    both_ways_features,
    degree_histogram,
    dense,
    fixed_edge_index,
    last_map,
    linear_edges,
    map_positions,
    nonzero_mask,
)
from graphlab.weightgraph.layouts.neural_graph.mlp import input_first, mlp_layers
from graphlab.weightgraph.layouts.neural_graph.pen import Flatten
from graphlab.weightgraph.layouts.neural_graph.types import EdgeType, NodeType
from graphlab.weightgraph.layouts.reading import Reader, read_layers
from graphlab.weightgraph.wiring import Wiring

__all__ = [
    "EdgeType",
    "NodeType",
    "both_ways",
    "both_ways_features",
    "degree_histogram",
    "dense",
    "fixed_edge_index",
    "input_first",
    "last_map",
    "linear_edges",
    "map_positions",
    "mlp_layers",
    "neural_graph",
    "nonzero_mask",
]


def neural_graph(
    modules: nn.Module | Iterable[nn.Module | Layer],
    *,
    max_kernel: Sequence[int] | None = None,
    linear_as_conv: bool = True,
    residuals: Sequence[int] = (),
    flatten: Flatten | None = None,
    readers: Mapping[type[nn.Module], Reader] | None = None,
) -> Wiring:
    """The neural graph of a sequence of layers, nodes and edges in the published order.

    Nodes are the inputs, then the neurons or channels of each layer. A node carries its bias, an input or a neuron
    without one nothing. An edge has a slot for each position of the largest kernel, row by row; a smaller kernel lies
    in the middle, nearer to the first slot where it cannot be exact. Edges go layer by layer, the source first; then
    come those of ``residuals``. Each range has a number of its own, ``Nodes.layer``, from 0 for the inputs;
    ``Block.layer`` is one less than that of its target.

    The publication says of a norm that it is a linear layer: new nodes that carry the shift, and the scale on diagonal
    edges onto them. The rest is ours. Residual blocks end with fixed edges, an identity kernel, from what they add.
    Attention is ``source -> queries -> keys -> heads -> values -> out``: the weights lead from the source to queries,
    keys and values and from the values to ``out``; fixed edges lead from each query neuron to the key neuron that it is
    multiplied with, from the keys to a node for each head, and from that to the values that it weighs. So a relabelling
    of the graph that keeps layers is a symmetry of the network.

    Args:
        modules: Declared layers, ``torch`` modules, or both; see :func:`read_layers`.
        max_kernel: Positions of an edge along each axis; default those of the largest kernel.
        linear_as_conv: Draw linear weights as kernels of one position. Without, in the first slot of edges of a type of
            their own.
        residuals: For each convolution the earlier one whose activated output is added to it (after its norm, if one
            follows) on the channels that both have, or -1.
        flatten: Draw the map before a linear layer with a node for each channel at each position, which repeat its
            weights and bias: in the published order ``channel_last``, or in that of ``torch``, ``channel_first``. The
            published order pairs these nodes with the wrong columns of a ``torch`` layer. Without, maps are pooled.
        readers: How to declare modules of further classes.

    Raises:
        WiringError: naming the layer, if it cannot be drawn, its width does not fit, its kernel is too large, or its
            residual does not come from an earlier convolution or repeats an edge.
    """
    kernel = None if max_kernel is None else tuple(max_kernel)
    return draw(read_layers(modules, readers), kernel, linear_as_conv, tuple(residuals), flatten)
