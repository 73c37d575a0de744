"""What is done to features before training."""

from __future__ import annotations

from torch import Tensor


def rows_to_one(x: Tensor) -> Tensor:
    """``x`` divided by its sums over rows ``[num_nodes, 1]``; rows that sum to zero stay as they are."""
    total = x.sum(dim=1, keepdim=True)
    return x / total.masked_fill(total == 0, 1)
