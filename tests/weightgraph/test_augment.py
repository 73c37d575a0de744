"""Augmentations: which keep the function and how others change it, nothing written into, draws given or drawn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from graphlab.capture import capture
from graphlab.nn.models.siren import sirens
from graphlab.weightgraph import WeightGraph, augment, rescale, rescalings, trace
from graphlab.weightgraph.augment import SINGLE
from graphlab.weightgraph.mlp_weights import MLPWeights
from tests.nn.dws.stacks import DIMS, close, same, stack

LAYOUT = (2, 6, 5, 4, 1)
Call = Callable[[MLPWeights, torch.Generator], MLPWeights]
CALLS: dict[str, Call] = {
    "dropout": lambda x, g: augment.dropout(x, generator=g),
    "translate": lambda x, g: augment.translate(x, generator=g),
    "rotate": lambda x, g: augment.rotate(x, generator=g),
    "gaussian_noise": lambda x, g: augment.gaussian_noise(x, generator=g),
    "scale": lambda x, g: augment.scale(x, generator=g),
    "quantile": lambda x, g: augment.quantile(x, generator=g),
    "siren_negation": lambda x, g: augment.siren_negation(x, generator=g),
    "siren_bias": lambda x, g: augment.siren_bias(x, generator=g),
    "positive_scale": lambda x, g: augment.positive_scale(x, generator=g),
    "legacy": lambda x, g: augment.legacy_augment(x, g, pos_scale=0.15),
    "one_of": lambda x, g: augment.one_of(x, g),
    "permuted": lambda x, g: augment.mixup_permuted(x, x, g).x,
    "combined": lambda x, g: augment.mixup_combined(x, x, g).x,
    "self": lambda x, g: augment.mixup_self(x, g).x,
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(x: MLPWeights, count: int = 7) -> Tensor:
    return 2 * torch.rand(count, x.dims[0], dtype=x.weights[0].dtype, generator=seeded()) - 1


def small(dims: tuple[int, ...], seed: int) -> MLPWeights:
    """SIRENs whose phases are small enough for float64 to hold."""
    return stack(dims, 3, 1, seed).map(lambda own: own / 10)


def relu_answers(x: MLPWeights, inputs: Tensor) -> Tensor:
    for layer, (weight, bias) in enumerate(zip(x.weights, x.biases, strict=True)):
        inputs = inputs @ weight[..., 0] + bias[:, None, :, 0]
        inputs = inputs if layer == x.num_layers - 1 else inputs.relu()
    return inputs


# --- symmetries -------------------------------------------------------------------------------------------------------


@given(dims=DIMS, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_negation_and_phases_keep_a_siren(dims: tuple[int, ...], seed: int) -> None:
    x = small(dims, seed)
    inputs, before = points(x), sirens(small(dims, seed).stacked(), points(x))
    for made in (augment.siren_negation(x, generator=seeded(seed)), augment.siren_bias(x, generator=seeded(seed))):
        assert torch.allclose(sirens(made.stacked(), inputs), before, atol=1e-8)
        assert len(dims) == 2 or not same(made, x) or min(dims[1:-1]) < 3


@given(dims=DIMS, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_positive_factors_keep_a_relu_network(dims: tuple[int, ...], seed: int) -> None:
    x = stack(dims, 3, 1, seed)
    made = augment.positive_scale(x, 0.9, seeded(seed))
    assert torch.allclose(relu_answers(made, points(x)), relu_answers(x, points(x)))


class Sine(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x)


@pytest.mark.parametrize(("activation", "kind"), [(Sine(), "sign"), (nn.ReLU(), "scale")])
def test_factors_act_as_the_rescalings_that_are_derived_from_the_program(activation: nn.Module, kind: str) -> None:
    net = nn.Sequential(nn.Linear(2, 4), activation, nn.Linear(4, 3), activation, nn.Linear(3, 1)).double()
    program = capture(net, (torch.zeros(1, 2, dtype=torch.float64),))
    graph = WeightGraph(trace(program), net.state_dict())
    found = [own for own in rescalings(program, graph.structure) if own.kind == kind]
    assert len(found) == 2
    factors = [(2 * torch.rand(width, generator=seeded(), dtype=torch.float64) - 1) for width in (4, 3)]
    factors = [own.sign() if kind == "sign" else own.exp() for own in factors]
    names = {"0": "0", "2": "1", "4": "2"}
    order = [own for width in (4, 3) for own in found if graph.structure.groups[own.group].size == width]
    exponents = [
        own.exponents["0.weight" if width == 4 else "2.weight"][0] for own, width in zip(order, (4, 3), strict=True)
    ]
    changed = graph
    for own, values, exponent in zip(order, factors, exponents, strict=True):
        changed = rescale(changed, own, values if exponent > 0 else 1 / values)

    def stacked(own: WeightGraph) -> MLPWeights:
        tensors = {f"{names[n.partition('.')[0]]}.{n.partition('.')[2]}": t[None] for n, t in own.tensors.items()}
        return MLPWeights.of_stacked(tensors)

    made = augment.scale_neurons(stacked(graph), [own[None] for own in factors])
    assert close(made, stacked(changed), 1e-12)
    random = augment.rescaled(graph, found, seeded())
    inputs = (torch.randn(1, 2, dtype=torch.float64),)
    before, after = (program.run(own.state_dict(), inputs, {}, torch.float64) for own in (graph, random))
    assert all(torch.allclose(before[name], after[name]) for name in before)
    assert not torch.equal(random.tensors["0.weight"], graph.tensors["0.weight"])


# --- what inputs see --------------------------------------------------------------------------------------------------


def test_shifts_turns_and_scales_are_those_of_the_inputs() -> None:
    x = small(LAYOUT, 0)
    inputs, rows = points(x), torch.arange(3)
    shift, angle, u = torch.rand(3, 2, dtype=torch.float64), torch.tensor([30.0, -50.0, 90.0]).double(), torch.rand(3)
    moved = augment.translate(x, shift=shift, depth=torch.tensor(1))
    assert torch.allclose(sirens(moved.stacked(), inputs), sirens(x.stacked(), inputs + shift[rows, None]))
    cos, sin = angle.deg2rad().cos(), angle.deg2rad().sin()
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], dim=1)
    turned = augment.rotate(x, angle=angle)
    assert torch.allclose(sirens(turned.stacked(), inputs), sirens(x.stacked(), inputs @ turn))
    scaled = augment.scale(x, 0.2, u=u)
    factor = (1 + (2 * u.double() - 1) * 0.2).view(3, 1, 1)
    assert torch.allclose(sirens(scaled.stacked(), inputs), sirens(x.stacked(), inputs * factor))


def test_a_shift_goes_through_the_layers_before_its_depth() -> None:
    x, shift = stack(LAYOUT, 3), torch.randn(3, 2, 1, dtype=torch.float64)
    made = augment.translate(x, shift=shift, depth=torch.tensor([1, 2, 3]))
    first, second, third = (weight[..., 0] for weight in x.weights[:3])
    expected = (shift.transpose(1, 2) @ first, shift.transpose(1, 2) @ first @ second)
    expected = (*expected, expected[1] @ third)
    for row in range(3):
        for layer, (new, old) in enumerate(zip(made.biases, x.biases, strict=True)):
            change = expected[layer][row].t() if layer == row else torch.zeros_like(new[row])
            assert torch.allclose(new[row] - old[row], change)


# --- noise ------------------------------------------------------------------------------------------------------------


def test_dropout_keeps_the_mean() -> None:
    x = MLPWeights.of([torch.ones(2, 300, 300, 1)], [torch.ones(2, 300, 1)])
    made = augment.dropout(x, 0.3, seeded())
    assert made.weights[0].unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert abs(float(made.weights[0].mean()) - 1) < 0.02


def test_noise_has_the_deviation_of_its_tensor() -> None:
    x = stack((2, 200, 100, 1), 2)
    x = x.map(lambda own: own * torch.tensor([1.0, 5.0]).view(-1, *[1] * (own.dim() - 1)))
    made = augment.gaussian_noise(x, 0.5, seeded())
    for row, deviation in ((0, 0.5), (1, 2.5)):
        assert abs(float((made.weights[1] - x.weights[1])[row].std()) - deviation) < 0.05
    assert torch.allclose(made.biases[2], x.biases[2], atol=1e-7), "a single entry has no deviation"


@given(dims=DIMS, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_the_threshold_is_the_quantile_of_each_network(dims: tuple[int, ...], seed: int) -> None:
    x, q = stack(dims, 3, 1, seed), torch.rand(3, generator=seeded(seed), dtype=torch.float64)
    sizes = torch.cat([own.flatten(1) for own in x.tensors()], dim=1).abs()
    expected = torch.stack([row.quantile(own) for row, own in zip(sizes, q, strict=True)])
    assert torch.allclose(augment.quantile_threshold(x, q), expected)
    made = torch.cat([own.flatten(1) for own in augment.quantile(x, q=q).tensors()], dim=1)
    assert torch.equal(made == 0, sizes < expected.unsqueeze(1))


# --- of all -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_written_into_and_a_seed_says_what_is_drawn(name: str) -> None:
    x = stack(LAYOUT, 3)
    before = x.map(Tensor.clone)
    first, second, other = (CALLS[name](x, seeded(seed)) for seed in (0, 0, 1))
    assert same(x, before)
    assert same(first, second)
    assert not same(first, other)
    assert first.dims == x.dims
    assert all(own.dtype == torch.float64 for own in first.tensors())


@pytest.mark.parametrize("name", CALLS)
def test_gradients_go_through(name: str) -> None:
    x = stack(LAYOUT, 2).map(Tensor.requires_grad_)
    sum(own.sum() for own in CALLS[name](x, seeded()).tensors()).backward()
    assert all(own.grad is not None and own.grad.isfinite().all() for own in x.tensors())


def test_each_network_has_draws_of_its_own() -> None:
    one = stack(LAYOUT, 1)
    x = one.map(lambda own: own.repeat(64, *[1] * (own.dim() - 1)))
    for name, call in CALLS.items():
        made = torch.cat([own.flatten(1) for own in call(x, seeded()).tensors()], dim=1)
        assert len(made.unique(dim=0)) > 8, name


def test_one_of_leaves_networks_in_their_places() -> None:
    x = stack(LAYOUT, 40)
    marks = [lambda own, generator, m=mark: own.map(lambda tensor: tensor + m) for mark in (10.0, 20.0, 30.0)]
    change = augment.one_of(x, seeded(), marks).biases[-1] - x.biases[-1]
    assert {round(value) for value in change.flatten().tolist()} == {10, 20, 30}
    assert len(SINGLE) == 8


def test_networks_of_one_layer_have_no_hidden_neurons_to_change() -> None:
    x = stack((3, 2))
    for call in (augment.siren_negation, augment.siren_bias, augment.positive_scale):
        assert same(call(x), x)
    assert augment.mixup_aligned(x, x).x.dims == (3, 2)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda x: augment.rotate(stack((3, 4, 1))), "rotate: expected networks of 2 inputs, got 3"),
        (
            lambda x: augment.rotate(x, angle=torch.zeros(2)),
            r"angle: expected 1 or 3 numbers, one a network, got \[2\]",
        ),
        (lambda x: augment.translate(x, depth=torch.tensor(4)), "depth: expected 1 to 3, got 4"),
        (lambda x: augment.translate(x, shift=torch.zeros(3, 3)), r"shift: expected \[3, 2\] or \[3, 2, 1\], got"),
        (lambda x: augment.dropout(x, 1.0), "p: expected less than 1"),
        (lambda x: augment.dropout(x, -0.1), r"p: expected a number in \[0, 1\], got -0.1"),
        (lambda x: augment.quantile(x, 2.0), "q_max: expected a number"),
        (lambda x: augment.quantile(x, q=torch.tensor(1.5)), "q: expected numbers in"),
        (lambda x: augment.siren_negation(x, 2.0), "p: expected a number"),
        (lambda x: augment.siren_negation(x, negate=[]), "negate: expected numbers for 3 hidden layers, got 0"),
        (lambda x: augment.siren_bias(x, 0), "k_max: expected 1 or more, got 0"),
        (lambda x: augment.siren_bias(x, k=[torch.zeros(3, 4)] * 3), r"k, hidden layer 0: expected \[3, 6\]"),
        (lambda x: augment.positive_scale(x, 1.0), "bound: expected a number"),
        (
            lambda x: augment.positive_scale(x, factors=[-torch.ones(3, n) for n in (6, 5, 4)]),
            "factors, hidden layer 0: expected positive numbers",
        ),
        (
            lambda x: augment.scale_neurons(x, [torch.zeros(3, n) for n in (6, 5, 4)]),
            "factors, hidden layer 0: expected finite numbers other than 0",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(call: Callable[[MLPWeights], MLPWeights], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call(stack(LAYOUT, 3))
