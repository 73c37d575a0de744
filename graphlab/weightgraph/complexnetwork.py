"""A network seen as a complex network: strengths of its neurons, how they fluctuate in a layer, and networkx graphs.

After La Malfa, La Malfa, Nicosia, Latora, "Characterizing Learning Dynamics of Deep Neural Networks via Complex
Networks", 2021 (arXiv 2110.02628). Everything is summed block by block; no edge is made.
"""

from __future__ import annotations

from collections.abc import Mapping

import networkx as nx
import torch
from torch import Tensor

from graphlab.weightgraph.wiring import Block, View, Wiring, WiringError

SMALL = 100_000
"""A graph of single neurons with more edges than this is refused: networkx keeps about 400 bytes an edge."""


def node_strength(wiring: Wiring, tensors: Mapping[str, Tensor], activations: Tensor | None = None) -> Tensor:
    """``s_k = sum_j w_kj + sum_i w_ik``: what the edges out of and into each node carry, all slots added up.

    Args:
        wiring: How the network is drawn.
        tensors: Its parameters by name.
        activations: ``[num_nodes]``; each edge then counts as its weight times what its source node gives.

    Returns:
        float64 ``[num_nodes]``.

    Raises:
        WiringError: if ``activations`` has another shape.
    """
    if activations is not None and tuple(activations.shape) != (wiring.num_nodes,):
        raise WiringError(f"expected an activation for each of {wiring.num_nodes} nodes, got {list(activations.shape)}")
    strength = torch.zeros(wiring.num_nodes, dtype=torch.float64)
    for block in wiring.blocks:
        weights = _weights(block, tensors)
        source, target = _ends(wiring, block)
        if activations is not None:
            weights = weights * _along(block, block.source_axes, activations[source].double())
        for place, axes in ((source, block.source_axes), (target, block.target_axes)):
            others = [axis for axis in range(weights.dim()) if axis not in axes]
            strength[place] += (weights.sum(others) if others else weights).reshape(-1)
    return strength


def layer_fluctuation(wiring: Wiring, strength: Tensor) -> dict[str, float]:
    """``Y_l = sqrt(mean_k (s_k - mean s)^2)`` over the neurons of each range of nodes: their spread of strength."""
    return {
        own.name: float(strength[own.start : own.start + own.size].std(correction=0)) for own in wiring.nodes.values()
    }


def to_networkx(wiring: Wiring, tensors: Mapping[str, Tensor] | None = None) -> nx.MultiDiGraph:
    """The quotient graph (a node a range, an edge a block), or with ``tensors`` the graph of single neurons.

    Quotient nodes have ``size``, ``type``, ``layer``; its edges ``parameter`` (``None`` for constants), ``entries`` and
    ``type``. Neurons have ``range``, ``type``, ``layer``; their edges ``weight`` (all slots added up) and ``type``.

    Raises:
        WiringError: for neurons of a network with more than 100,000 edges.
    """
    graph = nx.MultiDiGraph()
    if tensors is None:
        for own in wiring.nodes.values():
            graph.add_node(own.name, size=own.size, type=own.type, layer=own.layer)
        for block in wiring.blocks:
            parameter = block.values.parameter if isinstance(block.values, View) else None
            entries = block.num_edges * block.entries
            graph.add_edge(block.source, block.target, parameter=parameter, entries=entries, type=block.type)
        return graph
    if wiring.num_edges > SMALL:
        raise WiringError(f"{wiring.num_edges:,} edges are too many for single neurons (at most {SMALL:,})")
    for own in wiring.nodes.values():
        places = range(own.start, own.start + own.size)
        graph.add_nodes_from(places, range=own.name, type=own.type, layer=own.layer)
    weights = wiring.edge_values(tensors, torch.float64).sum(1).tolist()
    ends = wiring.edge_index().t().tolist()
    graph.add_edges_from(
        (source, target, {"weight": weight, "type": kind})
        for (source, target), weight, kind in zip(ends, weights, wiring.edge_type.tolist(), strict=True)
    )
    return graph


def _weights(block: Block, tensors: Mapping[str, Tensor]) -> Tensor:
    """float64 ``block.shape``: what the edges carry, slots added up."""
    if not isinstance(block.values, View):
        return torch.full(block.shape, block.values, dtype=torch.float64)
    view = block.values.of(tensors[block.values.parameter]).double()
    return view.reshape(*block.shape, block.entries).sum(-1)


def _ends(wiring: Wiring, block: Block) -> tuple[slice, slice]:
    """The nodes at the two ends of a block."""
    places = []
    for name, offset, axes in (
        (block.source, block.source_offset, block.source_axes),
        (block.target, block.target_offset, block.target_axes),
    ):
        start = wiring.nodes[name].start + offset
        size = 1
        for axis in axes:
            size *= block.shape[axis]
        places.append(slice(start, start + size))
    return places[0], places[1]


def _along(block: Block, axes: tuple[int, ...], values: Tensor) -> Tensor:
    """A value a node, shaped to broadcast over the block's edges."""
    return values.view([size if axis in axes else 1 for axis, size in enumerate(block.shape)])
