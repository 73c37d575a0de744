"""What NiNo's meta-networks read off a drawing: which parameter an edge carries, its past states, word positions."""

from collections.abc import Collection, Mapping, Sequence
from math import prod

import torch
from torch import Tensor

from graphlab.weightgraph.layouts.nino.types import NodeType
from graphlab.weightgraph.wiring import View, Wiring, WiringError


def split_vector(vector: Tensor, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Views of a flat parameter vector ``[num_params]`` by name.

    Raises:
        WiringError: if it has another length.
    """
    sizes = [prod(shape) for shape in shapes.values()]
    if tuple(vector.shape) != (sum(sizes),):
        raise WiringError(f"expected a vector of {sum(sizes)} parameters, got the shape {list(vector.shape)}")
    parts = torch.split(vector, sizes)
    return {name: part.view(*shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def lay_transposed(tensor: Tensor) -> Tensor:
    """The entries of the transpose ``[..., out, in]``, one after the other, in the shape ``[..., in, out]``.

    Published slip: the edge from word v to neuron d carries entry v * out + d of the transposed embedding.
    """
    return tensor.transpose(-1, -2).reshape(tensor.shape)


def undo_transposed(tensor: Tensor) -> Tensor:
    """The inverse of :func:`lay_transposed`."""
    return tensor.reshape(*tensor.shape[:-2], tensor.shape[-1], tensor.shape[-2]).transpose(-1, -2)


def edge_features(
    wiring: Wiring, shapes: Mapping[str, Sequence[int]], states: Tensor, transposed: Collection[str] = ()
) -> Tensor:
    """``[num_edges, slots * num_states]``: slot by slot, what each edge carried in each state.

    Args:
        wiring: The drawing.
        shapes: Of the parameters, in the order of the flat vector.
        states: ``[num_params, num_states]``.
        transposed: Parameters to :func:`lay_transposed`.
    """
    columns = [_edge_values(wiring, shapes, state, transposed) for state in states.unbind(dim=1)]
    return torch.stack(columns, dim=-1).flatten(start_dim=1)


def edge_parameters(wiring: Wiring, shapes: Mapping[str, Sequence[int]], transposed: Collection[str] = ()) -> Tensor:
    """int64 ``[num_edges, slots]``: where in the flat parameter vector a slot's value lies; -1 if nowhere."""
    numbers = torch.arange(1, 1 + sum(prod(shape) for shape in shapes.values()))
    places = _edge_values(wiring, shapes, numbers, transposed)
    fixed = wiring.edge_column([not isinstance(block.values, View) for block in wiring.blocks]).bool()
    return places.masked_fill_(fixed.unsqueeze(1), 0).sub_(1)


def _edge_values(
    wiring: Wiring, shapes: Mapping[str, Sequence[int]], vector: Tensor, transposed: Collection[str]
) -> Tensor:
    tensors = split_vector(vector, shapes)
    return wiring.edge_values({n: lay_transposed(t) if n in transposed else t for n, t in tensors.items()})


def word_positions(wiring: Wiring) -> Tensor:
    """int64 ``[num_nodes]``: 1, 2, ... for the words, 0 for other nodes (the reference's ``pos_w``)."""
    positions = torch.zeros(wiring.num_nodes, dtype=torch.int64)
    for own in wiring.nodes.values():
        if own.type == NodeType.WORD:
            positions[own.start : own.start + own.size] = torch.arange(1, own.size + 1)
    return positions
