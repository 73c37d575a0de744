"""The models that every table compares with: PyTorch Geometric's layers, on :mod:`graphlab.ops`.

Two layers each, dropout before both, as in the papers; ``(x, edge_index)`` to scores ``[num_nodes, out_channels]``.
Features that are mostly zeros are multiplied, and dropped out, by their non-zero entries alone.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from graphlab.nn import conv
from graphlab.nn.features import dropout, linear, sparse_features
from graphlab.nn.pretrained import Pretrained


class MLP(Pretrained):
    """A network that does not see the edges: ``W2 drop(relu(W1 drop(x)))``."""

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.dropout = dropout
        self.lin1 = nn.Linear(in_channels, hidden_channels)
        self.lin2 = nn.Linear(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:  # noqa: ARG002
        features = dropout(sparse_features(x), self.dropout, self.training)
        h = functional.relu(linear(self.lin1, features))
        scores: Tensor = self.lin2(dropout(h, self.dropout, self.training))
        return scores


class GCN(Pretrained):
    """Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017, eq. 9."""

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.dropout = dropout
        self.conv1 = conv.GCNConv(in_channels, hidden_channels)
        self.conv2 = conv.GCNConv(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        features = dropout(sparse_features(x), self.dropout, self.training)
        h = functional.relu(self.conv1(features, edge_index))
        scores: Tensor = self.conv2(dropout(h, self.dropout, self.training), edge_index)
        return scores


class GAT(Pretrained):
    """Veličković et al., "Graph Attention Networks", ICLR 2018, section 3.3: ``heads`` of ``hidden_channels`` each,
    ELU, then one head; dropout on attention too."""

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, heads: int = 8, dropout: float = 0.6
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.conv1 = conv.GATConv(in_channels, hidden_channels, heads, dropout=dropout)
        self.conv2 = conv.GATConv(heads * hidden_channels, out_channels, dropout=dropout)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        features = dropout(sparse_features(x), self.dropout, self.training)
        h = functional.elu(self.conv1(features, edge_index))
        scores: Tensor = self.conv2(dropout(h, self.dropout, self.training), edge_index)
        return scores


class APPNP(Pretrained):
    """Gasteiger, Bojchevski, Günnemann, "Predict then Propagate", ICLR 2019, eq. 4: :class:`MLP`, then ``K`` steps of
    personalised PageRank with restart probability ``alpha``, edges dropped out too."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        K: int = 10,
        alpha: float = 0.1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.mlp = MLP(in_channels, hidden_channels, out_channels, dropout)
        self.prop = conv.APPNP(K, alpha, dropout)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        scores: Tensor = self.prop(self.mlp(x, edge_index), edge_index)
        return scores
