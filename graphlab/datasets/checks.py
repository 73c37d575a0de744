"""Whether a graph can be learned on as asked: said in plain words before anything is trained."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphlab.datasets.splits import Split
from graphlab.ops.adjacency import check_range


def check_node_graph(data: Data) -> None:
    """Raises ``ValueError`` unless nodes have finite features and integer classes, and edges join nodes that exist."""
    x, y, edge_index = data.x, data.y, data.edge_index
    if x is None or y is None or edge_index is None:
        absent = [name for name, value in (("x", x), ("y", y), ("edge_index", edge_index)) if value is None]
        raise ValueError(f"the graph lacks {', '.join(absent)}")
    if x.dim() != 2 or not x.is_floating_point():
        raise ValueError(f"x: expected floating [num_nodes, num_features], got {x.dtype} {list(x.shape)}")
    bad = ~x.isfinite().all(dim=1)
    if bad.any():
        raise ValueError(
            f"x: {int(bad.sum())} of {len(x)} rows hold NaN or infinity, first row {int(bad.int().argmax())};"
            " the first hops would spread them"
        )
    if y.shape != (len(x),) or y.is_floating_point() or y.dtype == torch.bool:
        raise ValueError(f"y: expected integers [{len(x)}], one a row of x, got {y.dtype} {list(y.shape)}")
    if edge_index.dim() != 2 or edge_index.shape[0] != 2 or edge_index.dtype not in (torch.int32, torch.int64):
        raise ValueError(
            f"edge_index: expected integers [2, num_edges], got {edge_index.dtype} {list(edge_index.shape)}"
        )
    check_range(f"edge_index: a node of {len(x)}", edge_index, len(x))
    devices = {str(part.device) for part in (x, y, edge_index)}
    if len(devices) > 1:
        raise ValueError(f"x, y and edge_index must be on one device, they are on {' and '.join(sorted(devices))}")


def as_mask(nodes: Tensor, num_nodes: int, name: str) -> Tensor:
    """A boolean mask ``[num_nodes]`` of a mask or of a list of nodes.

    Raises:
        ValueError: for a mask of another length, another dtype, and nodes out of range.
    """
    if nodes.dim() != 1 or (nodes.dtype == torch.bool and len(nodes) != num_nodes) or nodes.is_floating_point():
        raise ValueError(
            f"{name}: expected a boolean mask [{num_nodes}] or a list of nodes, got {nodes.dtype} {list(nodes.shape)}"
        )
    if nodes.dtype == torch.bool:
        return nodes
    check_range(name, nodes, num_nodes)
    return torch.zeros(num_nodes, dtype=torch.bool, device=nodes.device).index_fill_(0, nodes.long(), True)


def check_split(split: Split, y: Tensor, num_classes: int) -> Split:
    """The split as boolean masks.

    Raises:
        ValueError: if a mask is empty, two overlap, or a node in one has no class in ``0 .. num_classes - 1``.

    Warns:
        UserWarning: if a class has no training node.
    """
    masks = Split(*(as_mask(nodes, len(y), f"{name} mask") for name, nodes in zip(Split._fields, split, strict=True)))
    for name, mask in zip(Split._fields, masks, strict=True):
        if not mask.any():
            raise ValueError(f"the {name} mask is empty")
        wrong = mask & ((y < 0) | (y >= num_classes))
        if wrong.any():
            node = int(wrong.int().argmax())
            raise ValueError(
                f"the {name} mask holds {int(wrong.sum())} nodes without a class in 0 .. {num_classes - 1}, such as "
                f"node {node} of class {int(y[node])}"
            )
    for (a, first), (b, second) in (
        ((Split._fields[i], masks[i]), (Split._fields[j], masks[j])) for i, j in ((0, 1), (0, 2), (1, 2))
    ):
        if (first & second).any():
            raise ValueError(f"the {a} and {b} masks have {int((first & second).sum())} nodes in common")
    absent = torch.bincount(y[masks.train], minlength=num_classes) == 0
    if absent.any():
        named = ", ".join(str(number) for number in absent.nonzero().flatten().tolist())
        warnings.warn(f"no training node of class {named}: it cannot be learned", stacklevel=2)
    return masks
