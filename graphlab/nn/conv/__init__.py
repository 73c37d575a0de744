"""PyTorch Geometric's layers on :mod:`graphlab.ops`: the same parameters, options and results.

Each is a subclass of the layer whose name it has; its ``obstacle`` says which configurations it leaves to that. Calls
with a ``SparseTensor`` or a sparse tensor for edges, with features of other than two dimensions, for attention weights,
under an explainer or with hooks on messages are PyTorch Geometric's own too. :func:`graphlab.accelerate` swaps the
layers of a model.
"""

from graphlab.nn.conv.appnp import APPNP
from graphlab.nn.conv.gat_conv import GATConv
from graphlab.nn.conv.gatv2_conv import GATv2Conv
from graphlab.nn.conv.gcn_conv import GCNConv
from graphlab.nn.conv.gin_conv import GINConv
from graphlab.nn.conv.pna_conv import PNAConv
from graphlab.nn.conv.sage_conv import SAGEConv

__all__ = ["APPNP", "GATConv", "GATv2Conv", "GCNConv", "GINConv", "PNAConv", "SAGEConv"]
