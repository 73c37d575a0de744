"""DWSNets: equivariant and invariant, the same numbers in every form of the networks, kept and refused as they should."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from graphlab.nn.models.dws import DWSClassifier, DWSNet, InvariantHead, NaiveInvariantHead
from graphlab.nn.models.dws.pointwise import Dropout
from graphlab.weightgraph import WeightGraphBatch
from graphlab.weightgraph.layouts.neural_graph import mlp_layers, neural_graph
from graphlab.weightgraph.layouts.parameter_graph import parameter_graph
from graphlab.weightgraph.mlp_batch import read_mlps
from graphlab.weightgraph.mlp_weights import MLPWeights
from tests.nn.dws.stacks import DIMS, close, stack

LAYOUT = (2, 5, 4, 3)
SMALL: dict[str, Any] = {"hidden_dim": 4, "n_hidden": 1, "num_heads": 2}


def prepared(model: nn.Module, x: MLPWeights) -> nn.Module:
    """In evaluation mode, with statistics of batch normalisation that are not those it begins with."""
    model = model.double().train()
    with torch.no_grad():
        model(x)
    return model.eval()


@given(
    dims=DIMS, seed=st.integers(0, 99), skip=st.booleans(), bn=st.booleans(), reduction=st.sampled_from(["max", "sum"])
)
@settings(deadline=None, max_examples=25)
def test_equivariant(dims: tuple[int, ...], seed: int, skip: bool, bn: bool, reduction: Any) -> None:
    torch.manual_seed(seed)
    x = stack(dims, 3, 1, seed)
    model = prepared(DWSNet(dims, **SMALL, add_skip=skip, bn=bn, reduction=reduction, init_scale=1.0), x)
    orders = x.random_permutations(torch.Generator().manual_seed(seed))
    assert close(model(x.permute(orders)), model(x).permute(orders))


@given(dims=DIMS, seed=st.integers(0, 99), downsample=st.booleans(), outputs=st.integers(1, 3))
@settings(deadline=None, max_examples=25)
def test_invariant(dims: tuple[int, ...], seed: int, downsample: bool, outputs: int) -> None:
    torch.manual_seed(seed)
    x = stack(dims, 3, 1, seed)
    sampled = {"input_dim_downsample": max(1, dims[0] - 1)} if downsample else {}
    model = prepared(DWSClassifier(dims, outputs, **SMALL, **sampled, n_out_fc=2), x)
    orders = x.random_permutations(torch.Generator().manual_seed(seed))
    scores = model(x)
    assert scores.shape == (3, outputs)
    assert torch.allclose(scores, model(x.permute(orders)), atol=1e-9)


def test_inputs_and_outputs_are_told_apart() -> None:
    x = stack(LAYOUT)
    turned = MLPWeights((x.weights[0].flip(1), *x.weights[1:]), x.biases)
    model = DWSClassifier(LAYOUT, 3, **SMALL).double().eval()
    assert not torch.allclose(model(x), model(turned), atol=1e-3)


def batches(x: MLPWeights) -> dict[str, WeightGraphBatch]:
    """The networks in the layouts that hold them."""
    layers, tensors = mlp_layers(x.dims), x.stacked()
    members = [{name: own[number] for name, own in tensors.items()} for number in range(len(x))]
    wirings = {
        "neural_graph": neural_graph(layers),
        "parameter_graph": parameter_graph(layers),
        "selfloop": parameter_graph(layers, selfloop=True),
    }
    return {name: WeightGraphBatch([(wiring, own) for own in members]) for name, wiring in wirings.items()}


@pytest.mark.parametrize("dims", [LAYOUT, (2, 40, 1), (3, 2)])
@pytest.mark.parametrize("layout", ["neural_graph", "parameter_graph", "selfloop"])
def test_blocks_of_a_batch_give_the_same_numbers(dims: tuple[int, ...], layout: str) -> None:
    x = stack(dims, 3)
    batch = batches(x)[layout]
    assert close(read_mlps(batch), x, 0)
    model = DWSNet(dims, **SMALL, out_features=1, init_scale=1.0).double().eval()
    edited, expected = model(batch), model(x)
    assert isinstance(edited, WeightGraphBatch)
    assert close(read_mlps(edited), expected)
    for number, state in enumerate(edited.state_dicts()):
        for name, tensor in expected.stacked().items():
            assert torch.allclose(state[name], tensor[number])


def test_a_classifier_takes_blocks_and_gradients_come_back_to_them() -> None:
    x = stack(LAYOUT, 3)
    model = DWSClassifier(LAYOUT, 3, **SMALL).double().eval()
    for batch in batches(x).values():
        assert torch.allclose(model(batch), model(x))
        values = [part.values.clone().requires_grad_() for part in batch.parts]
        model(batch.with_values(values)).sum().backward()
        assert all(own.grad is not None and own.grad.abs().sum() > 0 for own in values)


def test_networks_of_two_layouts_are_refused() -> None:
    members = [
        (batch[0][0], batch[0][1]) for batch in (batches(stack(dims))["neural_graph"] for dims in (LAYOUT, (2, 1)))
    ]
    model = DWSClassifier(LAYOUT, 3, **SMALL).double()
    with pytest.raises(ValueError, match="expected networks of one layout, got 2 different wirings"):
        model(WeightGraphBatch(members))
    with pytest.raises(ValueError, match=r"expected networks \[2, 5, 4, 3\]"):
        model(WeightGraphBatch(members[1:]))


def test_the_published_classifier_has_the_published_number_of_parameters() -> None:
    assert sum(own.numel() for own in DWSClassifier((2, 32, 32, 1)).parameters()) == 552_650


def test_first_weights_have_the_published_deviation() -> None:
    torch.manual_seed(0)
    net = DWSNet((2, 8, 8, 8, 1), 64, 128, 0, 128, set_layer="ds", init_scale=0.5, init_off_diagonal=0.1)
    for name, factor in (("1_1.lin_all", 0.5), ("1_2.set_layer.set_layer.Gamma", 0.05)):
        linear = net.get_submodule(f"layers.0.weight_to_weight.layers.{name}.0")
        assert isinstance(linear, nn.Linear)
        sizes = linear.in_features, linear.out_features
        expected = sqrt(2 / sum(sizes)) * sqrt(2 * sizes[0] / sizes[1]) * factor
        assert abs(float(linear.weight.std().detach()) / expected - 1) < 0.05
        assert linear.bias.abs().max() <= 1e-4


def test_a_trained_model_is_kept(tmp_path) -> None:
    x = stack(LAYOUT, dtype=torch.float32)
    model = DWSClassifier(LAYOUT, 3, **SMALL).eval()
    model.save_pretrained(tmp_path)
    assert torch.equal(DWSClassifier.from_pretrained(tmp_path)(x), model(x))


def test_it_learns() -> None:
    torch.manual_seed(0)
    x, y = stack(LAYOUT, 24, dtype=torch.float32), torch.arange(24) % 2
    x = MLPWeights(x.weights, (x.biases[0] + 2 * y.view(-1, 1, 1), *x.biases[1:]))
    model = DWSClassifier(LAYOUT, 2, **SMALL, dropout=0.1)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model.eval()(x).argmax(1) == y).float().mean() > 0.9


def test_dropout_ends_with_training_unless_the_published_flaw_is_asked_for() -> None:
    x = stack(LAYOUT)
    torch.manual_seed(0)
    sound, published = Dropout(0.5).eval(), Dropout(0.5, always=True).eval()
    assert close(sound(x), x, 0)
    assert not close(published(x), x, 0)
    assert not close(Dropout(0.5).train()(x), x, 0)
    net = DWSNet(LAYOUT, **SMALL, dropout=0.5, dropout_in_evaluation=True, init_scale=1.0).double().eval()
    assert not close(net(x), net(x), 1e-6)


def test_heads() -> None:
    x = stack(LAYOUT, 2, 3)
    kept = [own.flatten(1) for own in (x.weights[1].amax((1, 2)), x.weights[0].amax(2), x.weights[2].amax(1))]
    biases = [own.flatten(1) for own in (x.biases[0].amax(1), x.biases[1].amax(1), x.biases[2])]
    head = InvariantHead(LAYOUT, 3, 4).double()
    assert torch.allclose(head(x), head.layer(torch.cat([*kept, *biases], dim=1)))
    naive = NaiveInvariantHead(LAYOUT, 3, 4, "mean").double()
    expected = torch.cat([own.mean(tuple(range(1, own.dim() - 1))) for own in x.tensors()], dim=1)
    assert torch.allclose(naive(x), naive.layer(expected))


def test_one_network_of_one_output_cannot_be_normalised_in_training() -> None:
    dims, x = (2, 3, 3, 1), stack((2, 3, 3, 1), 1)
    model = DWSClassifier(dims, 2, **SMALL).double()
    with pytest.raises(ValueError, match=r"biases\.2: batch normalisation in training needs more than one value"):
        model(x)
    assert model.eval()(x).shape == (1, 2)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"dropout": 1.5}, r"dropout: expected a probability in \[0, 1\]"),
        ({"n_hidden": -1}, "n_hidden: expected 0 or more"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        DWSNet(LAYOUT, **{**SMALL, **options})
