r"""What neighbours send as it is: :math:`\bigoplus_{j \to i} x_j`, the step that GraphSAGE and GIN have in common."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric.nn import MessagePassing

from graphlab.nn.conv.calls import REDUCE, ordinary
from graphlab.ops.adjacency import as_adjacency
from graphlab.ops.spmm import spmm


def reduced(conv: MessagePassing, edge_index: Any, x: Any, size: Any) -> Tensor | None:
    """``[num_targets, channels]``: the neighbours' features reduced by the layer's aggregation.

    Args:
        conv: The layer.
        edge_index: ``[2, num_edges]``.
        x: ``(x of sources, x of targets or None)``.
        size: ``(num_sources, num_targets)``, either of which may be ``None``, or ``None``.

    Returns:
        ``None`` where PyTorch Geometric has to do it.
    """
    source, target = x
    if not ordinary(conv, edge_index, *(part for part in x if part is not None)):
        return None
    num_sources = source.shape[0]
    given_sources, given_targets = size or (None, None)
    num_targets = given_targets if target is None else target.shape[0]
    num_targets = num_sources if num_targets is None else num_targets
    if given_sources not in (None, num_sources) or given_targets not in (None, num_targets):
        return None
    return spmm(as_adjacency(edge_index, num_sources, num_targets), source, reduce=REDUCE[conv.aggr])
