r"""The features that nodes and edges of a parameter graph begin with (specification of metanetworks, 2.2).

.. math::
    x_i &= W_x [\phi(\text{layer}_i), \phi(\text{order}_i), E_{\text{type}(i)}] + b_x \\
    e_k &= W_e [\phi(\theta_k), \phi(\text{layer}_k), E_{\text{type}(k)}, \phi(p_k)] + b_e

with :math:`\phi(v) = \sin(W v + b)`, or Fourier features. All of an edge but its value :math:`\theta_k` is one of a few
labels: that part is computed once for each label.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphlab.nn.models.gmn.ends import Tile, narrowed
from graphlab.nn.models.gmn.graph import Edges, Graph
from graphlab.nn.models.gmn.passes import EdgeMap, composed, linear_map


class Sine(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sin()


class FourierFeatures(nn.Module):
    """``[sin(2 pi v B), cos(2 pi v B)]`` of ``v`` ``[..., in_channels]``; ``B``, normal of deviation 3, is a buffer."""

    _weight: Tensor

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("_weight", 3 * torch.randn(in_channels, channels // 2))

    def forward(self, values: Tensor) -> Tensor:
        return _encoded(values, (self._weight,))


class FeatureEncoder(nn.Module):
    """Features of nodes from layer, order and type; of edges from value, layer, type and position.

    Numbers are taken as they are, -1 where there is none.

    Args:
        hidden: Width ``h`` of the features and of all that they are made of.
        norms: A layer norm of what is concatenated.
        post_activation: A ReLU after the last linear map.
        fourier: Fourier features in the place of ``sin(Linear(v))``; ``h`` must be even.
        positions: Whether the positions of edges are encoded.
        slots: Values that an edge carries.
        num_node_types, num_edge_types: How many types the layout has; those of parameter graphs by default.

    Raises:
        ValueError: for sizes that are not positive, and an odd ``hidden`` with ``fourier``.
    """

    def __init__(
        self,
        hidden: int,
        *,
        norms: bool = False,
        post_activation: bool = False,
        fourier: bool = False,
        positions: bool = True,
        slots: int = 1,
        num_node_types: int = 17,
        num_edge_types: int = 14,
    ) -> None:
        super().__init__()
        if min(hidden, slots, num_node_types, num_edge_types) < 1:
            raise ValueError(
                "expected hidden, slots, num_node_types and num_edge_types of at least 1, got "
                f"{hidden}, {slots}, {num_node_types}, {num_edge_types}"
            )
        if fourier and hidden % 2:
            raise ValueError(f"hidden: Fourier features come in pairs of sine and cosine, got {hidden}")

        def encoder(in_channels: int) -> nn.Module:
            if fourier:
                return FourierFeatures(in_channels, hidden)
            return nn.Sequential(nn.Linear(in_channels, hidden), Sine())

        self.hidden, self.slots, self.post_activation = hidden, slots, post_activation
        self.node_layer_encoder = encoder(1)
        self.neuron_num_encoder = encoder(1)
        self.node_type_encoder = nn.Embedding(num_node_types, hidden)
        self.x_norm = nn.LayerNorm(3 * hidden) if norms else None
        self.x_proj = nn.Linear(3 * hidden, hidden)
        self.weight_encoder = encoder(slots)
        self.edge_layer_encoder = encoder(1)
        self.edge_type_encoder = nn.Embedding(num_edge_types, hidden)
        self.conv_pos_encoder = encoder(3) if positions else None
        width = (4 if positions else 3) * hidden
        self.edge_attr_norm = nn.LayerNorm(width) if norms else None
        self.edge_attr_proj = nn.Linear(width, hidden)

    def nodes(self, graph: Graph) -> Tensor:
        """``[N, h]``.

        Raises:
            ValueError: for a type that the encoder does not know.
        """
        layer, order, kind = graph.nodes.unbind(dim=1)
        types = _known(kind, self.node_type_encoder, "node")
        parts = [
            self.node_layer_encoder(layer.unsqueeze(1)),
            self.neuron_num_encoder(order.unsqueeze(1)),
            self.node_type_encoder(types),
        ]
        features = torch.cat(parts, dim=1)
        features = self.x_proj(features if self.x_norm is None else self.x_norm(features))
        return cast(Tensor, F.relu(features) if self.post_activation else features)

    def edges(self, graph: Graph, then: nn.Linear | None = None) -> EdgeMap:
        """``[*edges, slots]`` to ``[*edges, h]``, or to what a linear map makes of that.

        Raises:
            ValueError: as :meth:`nodes`.
        """
        layer, kind, *_ = graph.table.unbind(dim=1)
        types = _known(kind, self.edge_type_encoder, "edge")
        parts = [self.edge_layer_encoder(layer.unsqueeze(1)), self.edge_type_encoder(types)]
        if self.conv_pos_encoder is not None:
            parts.append(self.conv_pos_encoder(graph.table[:, 2:]))
        labels = torch.cat(parts, dim=1)
        last, norm, relu = self.edge_attr_proj, self.edge_attr_norm, self.post_activation
        folded = then is not None and not relu
        weight, bias = composed(last, then) if then is not None and folded else (last.weight, last.bias)
        inner = tuple(self.weight_encoder.parameters()) or tuple(self.weight_encoder.buffers())

        def plain(edges: Edges, tile: Tile, values: Tensor, weight: Tensor, labels: Tensor, *inner: Tensor) -> Tensor:
            made = F.linear(_encoded(values, inner), weight).add_(_rows(labels, edges, tile))
            return made.relu_() if relu else made

        def normed(edges: Edges, tile: Tile, values: Tensor, weight: Tensor, bias: Tensor, *others: Tensor) -> Tensor:
            scale, shift, labels, *inner = others
            value = _encoded(values, inner)
            rows = _rows(labels, edges, tile).expand(*value.shape[:-1], -1)
            features = F.layer_norm(torch.cat([value, rows], dim=-1), scale.shape, scale, shift)
            made = F.linear(features, weight, bias)
            return made.relu_() if relu else made

        if norm is None:
            of_value, of_label = weight.split([self.hidden, labels.shape[1]], dim=1)
            made = EdgeMap(plain, (of_value, F.linear(labels, of_label, bias), *inner), max(self.hidden, len(weight)))
        else:
            made = EdgeMap(normed, (weight, bias, norm.weight, norm.bias, labels, *inner), last.in_features)
        return made if then is None or folded else made.then(linear_map(then.weight, then.bias))


def _rows(labels: Tensor, edges: Edges, tile: Tile) -> Tensor:
    """What is known of each edge's label, broadcastable to ``[*tile, channels]``."""
    return F.embedding(narrowed(edges.label, tile), labels)


def _encoded(values: Tensor, inner: Sequence[Tensor]) -> Tensor:
    """The values through a linear map and a sine, or the Fourier features."""
    if len(inner) == 2:
        return F.linear(values, *inner).sin()
    phases = 2 * pi * values @ inner[0]
    return torch.cat([phases.sin(), phases.cos()], dim=-1)


def _known(kind: Tensor, embedding: nn.Embedding, what: str) -> Tensor:
    types = kind.long()
    if types.numel() and not 0 <= int(types.min()) <= int(types.max()) < embedding.num_embeddings:
        raise ValueError(
            f"expected {what} types 0 to {embedding.num_embeddings - 1}, got {int(types.min())} to {int(types.max())}: "
            "the drawing is of another layout than the encoder was made for"
        )
    return types
