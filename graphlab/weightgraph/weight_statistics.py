"""What the weights of any network look like, in a fixed number of numbers, whatever its architecture.

A drawing divides a network into blocks of edges: weights between two groups of neurons, kernels, and vectors (biases,
norms) that lead from a unit of their own. Blocks of one kind in one part of the depth are described together, so that a
transformer, a convolutional network and a perceptron have descriptions of equal length. No order of neurons plays a
part in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2, prod

import torch
from torch import Tensor

from graphlab.weightgraph.pieces import Block, View
from graphlab.weightgraph.wiring import Wiring

KINDS = ("weights", "kernels", "vectors")
PARTS = 4
"""Parts of the depth: the first quarter of the blocks of a kind, the second, ..."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
NAMES = (
    "log2 std",
    "mean / std",
    *(f"quantile {quantile:g} / std" for quantile in QUANTILES),
    "log2 kurtosis",
    "zeros",
    "log2 fan-in",
    "log2 fan-out",
    "log2 blocks",
)
"""What is said of the blocks of a kind in a part of the depth; all but the last are means over these blocks."""

SAMPLED = 2**18
"""Most entries of a block that are looked at, evenly spaced."""

_TINY = 1e-12


def weight_statistics(wiring: Wiring, tensors: Mapping[str, Tensor]) -> Tensor:
    """float64 ``[kinds, parts, names]``: :data:`NAMES` of :data:`KINDS` in :data:`PARTS` parts of the depth.

    NaN where a network has no block of that kind there. Values are standardised by the block's own deviation, which is
    given by itself. The cost does not grow with the network beyond :data:`SAMPLED` entries a block.

    Args:
        wiring: How the network is drawn.
        tensors: Its parameters by name.
    """
    blocks: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}
    for block in wiring.blocks:
        if isinstance(block.values, View):
            blocks[_kind(block)].append(_described(block, tensors[block.values.parameter]))
    found = torch.full((len(KINDS), PARTS, len(NAMES)), torch.nan, dtype=torch.float64)
    for row, described in zip(found, blocks.values(), strict=True):
        for part in range(PARTS):
            own = described[part * len(described) // PARTS : (part + 1) * len(described) // PARTS]
            if own:
                row[part, :-1] = torch.stack(own).mean(0)
                row[part, -1] = log2(len(own))
    return found


def _kind(block: Block) -> str:
    ends = [prod(block.shape[axis] for axis in axes) for axes in (block.source_axes, block.target_axes)]
    if min(ends) == 1 or prod(ends) > block.num_edges:
        return "vectors"
    return "kernels" if block.slots > 1 else "weights"


def _described(block: Block, tensor: Tensor) -> Tensor:
    """All of :data:`NAMES` but the number of blocks."""
    assert isinstance(block.values, View)
    entries = block.values.of(tensor)
    while entries.numel() > SAMPLED:  # every other index of the longest axis
        axis = max(range(entries.dim()), key=entries.shape.__getitem__)
        entries = entries[(slice(None),) * axis + (slice(None, None, 2),)]
    values = entries.flatten().double()
    mean, std = values.mean(), values.std(correction=0)
    standard = values / std.clamp(min=_TINY)
    kurtosis = (standard - standard.mean()).pow(4).mean()
    ends = [prod(block.shape[axis] for axis in axes) * block.slots for axes in (block.source_axes, block.target_axes)]
    numbers = [std.clamp(min=_TINY).log2(), mean / std.clamp(min=_TINY)]
    numbers += standard.quantile(torch.tensor(QUANTILES, dtype=torch.float64)).unbind()
    numbers += [kurtosis.clamp(min=1).log2(), (values == 0).double().mean()]
    return torch.stack(numbers + [torch.tensor(log2(end), dtype=torch.float64) for end in ends])
