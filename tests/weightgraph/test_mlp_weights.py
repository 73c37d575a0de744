"""Stacked multilayer perceptrons: forms, permutations, what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from graphlab.weightgraph import WeightGraphBatch
from graphlab.weightgraph.layouts.layers import Conv
from graphlab.weightgraph.layouts.parameter_graph import parameter_graph
from graphlab.weightgraph.mlp_batch import read_mlps
from graphlab.weightgraph.mlp_weights import MLPWeights
from tests.nn.dws.stacks import DIMS, same, stack


def answers(x: MLPWeights, inputs: torch.Tensor) -> torch.Tensor:
    """``[B, P, d_L]``: the networks with tanh."""
    for layer, (weight, bias) in enumerate(zip(x.weights, x.biases, strict=True)):
        inputs = inputs @ weight[..., 0] + bias[:, None, :, 0]
        inputs = inputs if layer == x.num_layers - 1 else inputs.tanh()
    return inputs


@given(dims=DIMS, seed=st.integers(0, 99), own=st.booleans())
@settings(deadline=None, max_examples=30)
def test_a_permutation_keeps_the_function_and_has_an_inverse(dims: tuple[int, ...], seed: int, own: bool) -> None:
    x = stack(dims, 3, 1, seed)
    orders = x.random_permutations(torch.Generator().manual_seed(seed))
    orders = orders if own else [order[0] for order in orders]
    moved = x.permute(orders)
    inputs = torch.randn(3, 5, dims[0], dtype=torch.float64)
    assert torch.allclose(answers(moved, inputs), answers(x, inputs))
    assert same(moved.permute([order.argsort(dim=-1) for order in orders]), x)


def test_new_neurons_are_the_old_ones_named() -> None:
    x, order = stack((2, 4, 3, 1)), torch.tensor([2, 0, 3, 1])
    moved = x.permute([order, torch.arange(3)])
    assert torch.equal(moved.weights[0], x.weights[0][:, :, order])
    assert torch.equal(moved.weights[1], x.weights[1][:, order])
    assert torch.equal(moved.biases[0], x.biases[0][:, order])


def test_the_names_of_torch() -> None:
    nets = [nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)) for _ in range(2)]
    tensors = {name: torch.stack([net.state_dict()[name] for net in nets]) for name in nets[0].state_dict()}
    x = MLPWeights.of_stacked(tensors)
    assert (len(x), x.dims, x.num_layers, x.features) == (2, (2, 3, 1), 2, 1)
    assert torch.equal(x.weights[0][1, :, :, 0], nets[1][0].weight.t())
    assert all(x.stacked()[name].equal(own) for name, own in tensors.items())
    assert x.weights[0].data_ptr() == tensors["0.weight"].data_ptr()
    del tensors["0.bias"]
    assert MLPWeights.of_stacked(tensors).biases[0].equal(torch.zeros(2, 3, 1))
    assert list(x.named()) == ["weights.0", "weights.1", "biases.0", "biases.1"]


def test_what_does_not_fit_is_refused() -> None:
    x = stack((2, 3, 1))
    weights, biases = list(x.weights), list(x.biases)
    for given_weights, given_biases, reason in (
        ([], [], "expected as many weights as biases, at least one, got 0 and 0"),
        (weights, biases[:1], "got 2 and 1"),
        (
            [weights[0][..., 0], weights[1]],
            biases,
            r"weights\.0: expected \[batch, d_0, d_1, features\], got \[2, 2, 3\]",
        ),
        (
            [weights[0], weights[1].transpose(1, 2)],
            biases,
            r"weights\.1: expected the shape \[2, 3, 3, 1\], got \[2, 1, 3",
        ),
        (weights, [biases[0][:1], biases[1]], r"biases\.0: expected the shape \[2, 3, 1\], got \[1, 3, 1\]"),
        (
            weights,
            [biases[0], biases[1].float()],
            r"biases\.1: expected torch.float64 on cpu as weights\.0, got torch.fl",
        ),
    ):
        with pytest.raises(ValueError, match=reason):
            MLPWeights.of(given_weights, given_biases)
    with pytest.raises(ValueError, match="expected permutations of 1 hidden layers, got 0"):
        x.permute([])
    for order in ([0, 1, 1], [0, 1], [[0, 1, 2]]):
        with pytest.raises(ValueError, match="hidden layer 0: expected permutations of 3 neurons"):
            x.permute([torch.tensor(order)])
    with pytest.raises(ValueError, match=r"expected 0\.weight, 0\.bias, 1\.weight, \.\.\., got first"):
        MLPWeights.of_stacked({"first": weights[0]})
    with pytest.raises(ValueError, match="expected parameters, 1 feature an entry, got 2"):
        stack((2, 3), features=2).stacked()


def test_what_is_no_perceptron_is_not_read_from_a_batch() -> None:
    wiring = parameter_graph([Conv("0", 2, 3, (3, 3), False)])
    batch = WeightGraphBatch([(wiring, {"0.weight": torch.zeros(3, 2, 3, 3)})])
    with pytest.raises(ValueError, match=r"expected linear layers in a row, got edges \[3, 2, 3, 3\]"):
        read_mlps(batch)
