"""Random stacks of multilayer perceptrons of any layout."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from hypothesis import strategies as st
from torch import Tensor

from graphlab.weightgraph.mlp_weights import MLPWeights

DIMS = st.lists(st.integers(1, 4), min_size=2, max_size=6).map(tuple)


def stack(
    dims: Sequence[int], batch: int = 2, features: int = 1, seed: int = 0, dtype: torch.dtype = torch.float64
) -> MLPWeights:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    return MLPWeights.of(
        [normal(batch, *sizes, features) for sizes in pairwise(dims)],
        [normal(batch, width, features) for width in dims[1:]],
    )


def close(a: MLPWeights, b: MLPWeights, atol: float = 1e-9) -> bool:
    pairs = zip(a.tensors(), b.tensors(), strict=True)
    return all(ours.shape == theirs.shape and torch.allclose(ours, theirs, atol=atol) for ours, theirs in pairs)


def same(a: MLPWeights, b: MLPWeights) -> bool:
    return all(ours.equal(theirs) for ours, theirs in zip(a.tensors(), b.tensors(), strict=True))
