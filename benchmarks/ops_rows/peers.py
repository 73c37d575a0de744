"""What rows share: whether torch-sparse and torch-scatter are installed, and what fits into this machine's memory."""

from __future__ import annotations

import importlib.util
from typing import Any

from torch import Tensor

from benchmarks.harness import Call

MEGABYTES = 15_000
"""More than so many are not asked of the machine."""


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def sparse_tensor(edge_index: Tensor, nodes: int) -> Any:
    """The ``adj_t`` of a ``torch_sparse.SparseTensor``, with its transpose at hand for gradients."""
    from torch_sparse import SparseTensor

    return SparseTensor(row=edge_index[1], col=edge_index[0], sparse_sizes=(nodes, nodes)).fill_cache_()


def fitting(peers: dict[str, tuple[Call, float]]) -> tuple[dict[str, Call], dict[str, str]]:
    """Of peers and the megabytes that they take, those that are run, and why the others are not."""
    kept = {name: call for name, (call, megabytes) in peers.items() if megabytes <= MEGABYTES}
    out = {name: f"{size / 1e3:.0f} GB or more" for name, (_, size) in peers.items() if size > MEGABYTES}
    return kept, out
