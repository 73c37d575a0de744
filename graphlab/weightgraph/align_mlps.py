"""Weight matching of many pairs of multilayer perceptrons at once.

What :func:`~graphlab.weightgraph.align` does for a pair of any architecture, for stacks of one layout: the similarities of
all pairs are one product a layer; only the assignments are solved one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphlab.weightgraph.matching import assignment
from graphlab.weightgraph.mlp_weights import MLPWeights

TOLERANCE = 1e-12
"""A step must raise the objective by more than this."""


class AlignedMLPs(NamedTuple):
    """Result of :func:`align_mlps`.

    Attributes:
        x: ``b`` with its hidden neurons in the order found.
        permutations: int64 ``[B, d_k]`` for each hidden layer, as :meth:`MLPWeights.permute` takes them.
        last_sweep: int64 ``[B]``: number, from 0, of the first sweep without progress, or of the last allowed.
        before, after: ``[B]``: ``<a, b>`` over all weights and hidden biases, and ``<a, P b>``.
    """

    x: MLPWeights
    permutations: list[Tensor]
    last_sweep: Tensor
    before: Tensor
    after: Tensor


def align_mlps(
    a: MLPWeights,
    b: MLPWeights,
    generator: torch.Generator | None = None,
    *,
    orders: Sequence[Sequence[int]] | Tensor | None = None,
    max_sweeps: int = 100,
) -> AlignedMLPs:
    """Order the hidden neurons of each network of ``b`` so that its weights are closest to those of ``a``.

    Coordinate descent (Ainsworth, Hayase, Srinivasa, "Git Re-Basin", ICLR 2023, section 3.2): from the order that there is,
    each hidden layer in turn gets the permutation with the largest ``<a, P b>`` while the others stay, until a sweep over
    all brings no progress.

    Args:
        a, b: As many networks of one layout.
        generator: Of the order of the layers in each sweep, on a CPU.
        orders: Instead: the hidden layers, from 0, in the order of each sweep; after the last, its order is repeated.
        max_sweeps: At most.

    Raises:
        ValueError: for networks that do not fit, NaN or infinity, and orders that do not name each hidden layer once.
    """
    check_pair(a, b)
    hidden, count, device = len(a.dims) - 2, len(a), a.weights[0].device
    known = None if orders is None else _checked(orders, hidden)
    ours, theirs = (x.map(lambda own: own.detach().double()) for x in (a, b))
    before = _objective(ours, theirs)
    if not bool(torch.stack([own.isfinite().all() for own in (*ours.tensors(), *theirs.tensors())]).all()):
        raise ValueError("NaN or infinity in what is compared: no order of neurons is closer than another")
    tables = [torch.arange(width, device=device).repeat(count, 1) for width in a.dims[1:-1]]
    last, active = torch.zeros(count, dtype=torch.int64), torch.ones(count, dtype=torch.bool)
    for sweep in range(max_sweeps if hidden else 0):
        order = known[min(sweep, len(known) - 1)] if known else torch.randperm(hidden, generator=generator).tolist()
        last[active] = sweep
        progress = torch.zeros_like(active)
        for layer in order:
            similarity = _similarity(ours, theirs, layer).cpu()
            best = torch.arange(similarity.shape[1]).repeat(count, 1)
            for pair in active.nonzero().flatten().tolist():
                found = assignment(similarity[pair])
                gain = similarity[pair].gather(1, found.unsqueeze(1)).sum() - similarity[pair].trace()
                if gain > TOLERANCE:
                    best[pair] = found
                    progress[pair] = True
            best = best.to(device)
            moves = [best if at == layer else torch.arange(len(t[0]), device=device) for at, t in enumerate(tables)]
            theirs = theirs.permute(moves)
            tables[layer] = tables[layer].gather(1, best)
        active = active & progress
        if not active.any():
            break
    return AlignedMLPs(b.permute(tables), tables, last, before, _objective(ours, theirs))


def check_pair(a: MLPWeights, b: MLPWeights) -> None:
    """Raises ``ValueError`` for networks that are not as many, of one layout, features and dtype."""
    first, second = ((len(x), list(x.dims), x.features, x.weights[0].dtype, x.weights[0].device) for x in (a, b))
    if first != second:
        names = ("networks", "sizes", "features", "dtype", "device")
        apart = [
            f"{name} {ours} and {theirs}"
            for name, ours, theirs in zip(names, first, second, strict=True)
            if ours != theirs
        ]
        raise ValueError(f"expected pairs of networks of one layout, got {'; '.join(apart)}")


def _objective(a: MLPWeights, b: MLPWeights) -> Tensor:
    """``[B]``: the inner product of all weights and hidden biases."""
    pairs = (*zip(a.weights, b.weights, strict=True), *zip(a.biases[:-1], b.biases[:-1], strict=True))
    return torch.stack([(ours * theirs).flatten(1).sum(dim=1) for ours, theirs in pairs]).sum(dim=0)


def _similarity(a: MLPWeights, b: MLPWeights, layer: int) -> Tensor:
    """``[B, d, d]``: the inner products of the hidden neurons' columns, biases and rows."""
    total = torch.einsum("bijc,bikc->bjk", a.weights[layer], b.weights[layer])
    total += torch.einsum("bjc,bkc->bjk", a.biases[layer], b.biases[layer])
    total += torch.einsum("bjic,bkic->bjk", a.weights[layer + 1], b.weights[layer + 1])
    return total


def _checked(orders: Sequence[Sequence[int]] | Tensor, hidden: int) -> list[list[int]]:
    found = [[int(layer) for layer in order] for order in orders]
    if not found or any(sorted(order) != list(range(hidden)) for order in found):
        raise ValueError(f"orders: expected each of the {hidden} hidden layers once a sweep, got {found}")
    return found
