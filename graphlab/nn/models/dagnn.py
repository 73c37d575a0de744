r"""DAGNN: transform the features first, propagate them after, and weigh every hop by a learned gate.

Liu, Gao, Ji: "Towards Deeper Graph Neural Networks", KDD 2020 (arXiv 2007.09296), eqs. 8 to 11.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional

from graphlab.nn.features import dropout, linear, sparse_features
from graphlab.nn.pretrained import Pretrained
from graphlab.ops.gated_hops import gated_hops
from graphlab.ops.normalization import normalized_adjacency
from graphlab.ops.propagate import hops, propagate

Readout = Literal["gate", "last", "mean"]


class AdaptivePropagation(nn.Module):
    r"""Hops on the normalised graph, summed with a gate for each node and hop.

    .. math:: H_0 = Z, \quad H_k = \hat A H_{k-1}, \qquad s_{i,k} = \sigma(\langle H_k[i], w \rangle + b), \qquad
        y_i = \sum_{k=0}^{K} s_{i,k}\, H_k[i]

    with :math:`\hat A = D^{-1/2} (A + I) D^{-1/2}`, computed once for each graph.

    Args:
        channels: Of the features that are propagated.
        K: How many hops; 0 gates the features themselves.
        readout: ``gate`` as published; ``last`` gives :math:`H_K`, ``mean`` the mean of all hops, both without
            parameters. Weight decay must be tuned anew for these: with DAGNN's own on Cora, ``last`` reaches 40 %.
        gate_bias: Whether the gate has :math:`b`, as the published code does; the paper has none.

    Raises:
        ValueError: for sizes out of range and an unknown ``readout``.
    """

    def __init__(self, channels: int, K: int, readout: Readout = "gate", gate_bias: bool = True) -> None:
        super().__init__()
        if channels < 1 or K < 0:
            raise ValueError(f"expected channels >= 1 and K >= 0, got channels={channels}, K={K}")
        if readout not in get_args(Readout):
            raise ValueError(f"readout: expected one of {', '.join(get_args(Readout))}, got {readout!r}")
        self.K = K
        self.readout = readout
        self.proj = nn.Linear(channels, 1, bias=gate_bias) if readout == "gate" else None

    def reset_parameters(self) -> None:
        if self.proj is not None:
            self.proj.reset_parameters()

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """``[num_nodes, channels]`` to the same; see :meth:`DAGNN.forward` for the graph."""
        adj, weight = normalized_adjacency(edge_index, x.shape[0], edge_weight, x.dtype)
        if self.proj is not None:
            return gated_hops(adj, x, self.K, self.proj.weight.squeeze(0), self.proj.bias, weight)
        last = self.readout == "last"
        coefficients = x.new_zeros(self.K + 1) if last else x.new_full((self.K + 1,), 1 / (self.K + 1))
        coefficients[-1] = 1 if last else 1 / (self.K + 1)
        return propagate(adj, x, coefficients, weight)

    def gates(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """The gate of each node and hop, ``[num_nodes, K + 1]``: how far each node looks.

        Raises:
            ValueError: for a ``readout`` without gates.
        """
        if self.proj is None:
            raise ValueError(f"there are no gates with readout={self.readout!r}, only with 'gate'")
        adj, weight = normalized_adjacency(edge_index, x.shape[0], edge_weight, x.dtype)
        gates: Tensor = self.proj(hops(adj, x, self.K, weight)).squeeze(-1).sigmoid()
        return gates.t()


class DAGNN(Pretrained):
    r"""Deep adaptive graph neural network: an MLP, then :class:`AdaptivePropagation` of its scores.

    .. math:: Z = W_2\, \mathrm{drop}(\mathrm{relu}(W_1\, \mathrm{drop}(x) + b_1)) + b_2

    Features that are mostly zeros are multiplied, and dropped out, by their non-zero entries alone.

    Args:
        in_channels, hidden_channels, out_channels: Features, hidden units and classes.
        K: How many hops.
        dropout: The probability, in ``[0, 1)``.
        batch_norm: The variant for ogbn-arxiv: batch normalisation between the first layer and its ReLU, and no dropout
            on the features.
        readout, gate_bias: As :class:`AdaptivePropagation`.

    Raises:
        ValueError: for sizes out of range and an unknown ``readout``.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        K: int,
        dropout: float = 0.0,
        *,
        batch_norm: bool = False,
        readout: Readout = "gate",
        gate_bias: bool = True,
    ) -> None:
        super().__init__()
        if min(in_channels, hidden_channels, out_channels) < 1:
            raise ValueError(
                "expected in_channels, hidden_channels and out_channels of at least 1, got "
                f"{in_channels}, {hidden_channels}, {out_channels}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected 0 <= dropout < 1, got {dropout}")
        self.dropout = dropout
        self.lin1 = nn.Linear(in_channels, hidden_channels)
        self.bn = nn.BatchNorm1d(hidden_channels) if batch_norm else None
        self.lin2 = nn.Linear(hidden_channels, out_channels)
        self.prop = AdaptivePropagation(out_channels, K, readout, gate_bias)

    def reset_parameters(self) -> None:
        """Draw all parameters again, from PyTorch's default generator: the first layer, the second, the gate."""
        for layer in (self.lin1, self.lin2, self.prop, self.bn):
            if layer is not None:
                layer.reset_parameters()

    def transform(self, x: Tensor) -> Tensor:
        """:math:`Z`, the scores before propagation: ``[num_nodes, out_channels]``."""
        features = sparse_features(x)
        if self.bn is None:
            features = dropout(features, self.dropout, self.training)
        h = linear(self.lin1, features)
        h = functional.relu(h if self.bn is None else self.bn(h))
        z: Tensor = self.lin2(dropout(h, self.dropout, self.training))
        return z

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Scores of the classes, before their softmax: ``[num_nodes, out_channels]``.

        Args:
            x: ``[num_nodes, in_channels]``, dense or sparse.
            edge_index: ``[2, num_edges]``: source, then target; self-loops are completed. Normalised and sorted the
                first time that the tensor is seen.
            edge_weight: ``[num_edges]``, not negative in sum at any node; default 1.

        Raises:
            ValueError: for sizes, dtypes and devices that do not fit, and negative degrees.
        """
        scores: Tensor = self.prop(self.transform(x), edge_index, edge_weight)
        return scores

    def gates(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """The gate of each node and hop, ``[num_nodes, K + 1]``: how far each node looks.

        Raises:
            ValueError: for a ``readout`` without gates, and as :meth:`forward`.
        """
        return self.prop.gates(self.transform(x), edge_index, edge_weight)
