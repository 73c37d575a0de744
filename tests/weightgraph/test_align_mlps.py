"""Weight matching of many pairs at once: what matching a pair of graphs gives, and permuted copies are found."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from graphlab.weightgraph import WeightGraph
from graphlab.weightgraph.align_mlps import align_mlps
from graphlab.weightgraph.matching import Term, best_order
from graphlab.weightgraph.mlp_weights import MLPWeights
from tests.nn.dws.stacks import DIMS, close, same, stack


@given(dims=DIMS, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_no_layer_can_be_improved_afterwards(dims: tuple[int, ...], seed: int) -> None:
    a, b = stack(dims, 3, 1, seed), stack(dims, 3, 1, seed + 100)
    found = align_mlps(a, b, torch.Generator().manual_seed(seed))
    assert same(found.x, b.permute(found.permutations))
    assert bool((found.after >= found.before - 1e-12).all())
    again = align_mlps(a, found.x, torch.Generator().manual_seed(1))
    assert torch.allclose(again.after, found.after)
    assert bool((again.last_sweep == 0).all())


def test_one_hidden_layer_is_matched_as_a_pair_of_graphs_is() -> None:
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2)).double() for _ in range(8)]
    graphs = [WeightGraph.from_module(net, (torch.zeros(1, 3, dtype=torch.float64),)) for net in nets]

    def stacked(chosen: list[nn.Sequential]) -> MLPWeights:
        names = {"0.weight": "0.weight", "0.bias": "0.bias", "2.weight": "1.weight", "2.bias": "1.bias"}
        return MLPWeights.of_stacked(
            {new: torch.stack([net.state_dict()[old] for net in chosen]) for old, new in names.items()}
        )

    found = align_mlps(stacked(nets[:4]), stacked(nets[4:]))
    for pair in range(4):
        a, b = graphs[pair], graphs[pair + 4]
        terms = [Term(a.tensors[n], b.tensors[n], axes) for n, axes in a.structure.axes.items()]
        (table,), _ = (
            list(result.values()) if isinstance(result, dict) else result
            for result in best_order(terms, a.structure.free, torch.Generator(), 100, None)
        )
        assert torch.equal(found.permutations[0][pair], table)


def test_a_permuted_copy_is_found_and_costs_nothing() -> None:
    a = stack((2, 8, 1), 4)
    orders = a.random_permutations(torch.Generator().manual_seed(0))
    b = a.permute(orders)
    found = align_mlps(a, b)
    assert close(found.x, a, 0)
    assert torch.equal(found.permutations[0].gather(1, orders[0]), torch.arange(8).expand(4, -1))


def test_pairs_do_not_see_one_another_and_orders_count() -> None:
    a, b = stack((2, 6, 6, 6, 1), 5, 1, 0), stack((2, 6, 6, 6, 1), 5, 1, 1)
    orders = torch.tensor([[2, 0, 1], [0, 1, 2]])
    together = align_mlps(a, b, orders=orders)
    for pair in range(5):
        alone = align_mlps(*(x.map(lambda own: own[pair : pair + 1]) for x in (a, b)), orders=orders)  # noqa: B023
        assert all(
            ours[0].equal(own[pair]) for ours, own in zip(alone.permutations, together.permutations, strict=True)
        )
        assert alone.last_sweep[0] == together.last_sweep[pair]
    assert bool((align_mlps(a, b, orders=orders, max_sweeps=1).last_sweep == 0).all())
    seeds = [align_mlps(a, b, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert same(seeds[0].x, seeds[1].x)


def test_what_cannot_be_matched_is_refused() -> None:
    a = stack((2, 3, 3, 1))
    for b, reason in (
        (stack((2, 3, 4, 1)), r"expected pairs of networks of one layout, got sizes \[2, 3, 3, 1\] and \[2, 3, 4, 1\]"),
        (stack((2, 3, 3, 1), 3), "got networks 2 and 3"),
        (stack((2, 3, 3, 1), dtype=torch.float32), "got dtype torch.float64 and torch.float32"),
        (a.map(lambda own: own * torch.nan), "NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=reason):
            align_mlps(a, b)
    for orders in ([], [[0]], [[0, 0]], [[0, 1, 2]]):
        with pytest.raises(ValueError, match="orders: expected each of the 2 hidden layers once a sweep"):
            align_mlps(a, a, orders=orders)
