"""How many kernel positions an edge holds."""

from __future__ import annotations

from collections.abc import Iterable

from graphlab.weightgraph.wiring import Block, View, WiringError


def checked_slots(blocks: Iterable[Block], max_slots: int | None) -> int:
    """``max_slots``, or the most that a block has.

    Raises:
        WiringError: if a kernel has more than ``max_slots`` positions.
    """
    widest = 1
    for block in blocks:
        if max_slots is not None and block.slots > max_slots:
            assert isinstance(block.values, View)
            raise WiringError(
                f"{block.values.parameter}: its kernel has {block.slots} positions, and an edge holds {max_slots}: "
                "the meta-network was made for smaller kernels"
            )
        widest = max(widest, block.slots)
    return max_slots or widest
