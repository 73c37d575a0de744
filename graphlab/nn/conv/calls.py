"""Which layers, and which of their calls, the operators can take over from PyTorch Geometric."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing

from graphlab.ops.spmm import Reduce

REDUCE: dict[Any, Reduce] = {"add": "sum", "sum": "sum", "mean": "mean", "min": "min", "max": "max"}
"""PyTorch Geometric's names of aggregations."""

_HOOKS = tuple(
    f"_{step}_forward_{when}"
    for step in ("propagate", "message", "aggregate", "message_and_aggregate", "edge_update")
    for when in ("pre_hooks", "hooks")
)


def obstacle(conv: MessagePassing, aggregations: Collection[str] = REDUCE.keys()) -> str | None:
    """Why a layer of any kind is left alone, if it is: the options that they all have."""
    if conv.flow != "source_to_target":
        return f"flow={conv.flow!r}"
    if conv.decomposed_layers > 1:
        return f"decomposed_layers={conv.decomposed_layers}"
    if not isinstance(conv.aggr, str) or conv.aggr not in aggregations:
        return f"aggr={conv.aggr!r}"
    return None


def ordinary(conv: MessagePassing, edge_index: Any, *features: Any, edge_weight: Tensor | None = None) -> bool:
    """Whether edges are indices, features floating ``[num_nodes, channels]``, weights of edges, if any, floating
    ``[num_edges]``, and nobody watches messages."""
    return (
        isinstance(edge_index, Tensor)
        and edge_index.layout is torch.strided
        and not edge_index.is_floating_point()
        and not conv.explain
        and not any(getattr(conv, hooks) for hooks in _HOOKS)
        and (edge_weight is None or (edge_weight.dim() == 1 and edge_weight.is_floating_point()))
        and all(isinstance(x, Tensor) and x.dim() == 2 and x.is_floating_point() for x in features)
    )
