"""A wiring as an explicit PyG graph, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphlab.weightgraph.positions import laplacian_positions
from graphlab.weightgraph.wiring import Wiring, WiringError


def to_data(
    wiring: Wiring, tensors: Mapping[str, Tensor], positions: int = 0, dtype: torch.dtype | None = None
) -> Data:
    """Every edge of a drawing, one by one.

    Args:
        wiring: How the network is drawn.
        tensors: Its parameters by name.
        positions: How many Laplacian positions to give each node.
        dtype: Of the values; default one that holds every parameter drawn.

    Returns:
        ``edge_index`` int64 ``[2, E]``, ``edge_attr`` ``[E, slots]``, ``edge_type`` and ``edge_layer`` int64 ``[E]``,
        ``node_type`` and ``node_layer`` int64 ``[N]``, and ``node_order`` int64 ``[N]``: the place of an ordered node
        (inputs, outputs) in its range, -1 for the others. With ``positions``, ``lpe`` float32 ``[N, positions]``; if
        nodes carry values, ``x`` ``[N, 1]``. Edges and nodes are in the wiring's order.
    """
    ranges = wiring.nodes.values()
    data = Data(
        num_nodes=wiring.num_nodes,
        edge_index=wiring.edge_index(),
        edge_attr=wiring.edge_values(tensors, dtype),
        edge_type=wiring.edge_type,
        edge_layer=wiring.edge_column([block.layer for block in wiring.blocks]),
        node_type=wiring.node_type,
        node_layer=wiring.node_column([own.layer for own in ranges]),
        node_order=torch.cat(
            [torch.arange(own.size) if own.ordered else torch.full((own.size,), -1) for own in ranges]
        ),
    )
    if wiring.has_node_values:
        data.x = wiring.node_values(tensors, dtype)
    if positions:
        data.lpe = laplacian_positions(wiring, positions)
    return data


def from_data(wiring: Wiring, data: Data, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters that a graph's edges and nodes carry: the inverse of :func:`to_data`.

    Args:
        wiring: The one that the graph was made by.
        data: With ``edge_index`` and ``edge_attr`` in that order, and ``x`` if nodes carry values.
        tensors: Parameters of the shapes and dtypes wanted; those that are not drawn come back as they are.

    Raises:
        WiringError: if the graph is not one of this wiring.
    """
    if data.edge_index is None or data.edge_attr is None:
        raise WiringError("expected a graph with edge_index and edge_attr")
    if data.num_nodes != wiring.num_nodes or not torch.equal(data.edge_index.cpu(), wiring.edge_index()):
        raise WiringError(
            f"expected the {wiring.num_edges:,} edges of this wiring on {wiring.num_nodes:,} nodes in its order, got a "
            f"graph of {data.edge_index.shape[1]:,} edges on {data.num_nodes:,} nodes: it is of another network"
        )
    return wiring.read_back(data.edge_attr, tensors, data.x)
