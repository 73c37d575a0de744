"""Layers on weight spaces: all maps at once are what each gives by itself, and commute with permutations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphlab.nn.models.dws import DownSampledDWSLayer, DWSLayer
from graphlab.nn.models.dws.sets import Attention, AttentionPool, DeepSets
from graphlab.weightgraph.mlp_weights import MLPWeights
from tests.nn.dws.stacks import DIMS, close, stack

OPTIONS = st.fixed_dictionaries(
    {
        "reduction": st.sampled_from(["max", "mean", "sum"]),
        "set_layer": st.sampled_from(["sab", "ds"]),
        "num_heads": st.sampled_from([1, 2]),
        "n_fc_layers": st.integers(1, 3),
        "add_layer_skip": st.booleans(),
        "diagonal": st.booleans(),
        "full": st.booleans(),
    }
)


def layer_of(dims: tuple[int, ...], seed: int, options: dict[str, Any], in_features: int = 3) -> DWSLayer:
    torch.manual_seed(seed)
    return DWSLayer(dims, in_features, 4, **options).double()


@given(dims=DIMS, seed=st.integers(0, 99), options=OPTIONS)
@settings(deadline=None, max_examples=60)
def test_a_layer_is_the_sum_of_its_maps(dims: tuple[int, ...], seed: int, options: dict[str, Any]) -> None:
    layer, x = layer_of(dims, seed, options), stack(dims, 2, 3, seed)
    totals: dict[tuple[str, int], Tensor] = {}
    for own, part in layer.parts(x).items():
        place = (own.target.kind, own.target.index)
        totals[place] = totals[place] + part if place in totals else part
    layers = len(dims) - 1
    made = [totals[kind, index] / (2 * layers) for kind in ("weight", "bias") for index in range(layers)]
    expected = MLPWeights(tuple(made[:layers]), tuple(made[layers:]))
    if layer.skip is not None:
        expected = expected.map(lambda total, old: total + layer.skip(old), x)  # type: ignore[misc]
    assert close(layer(x), expected)


@given(dims=DIMS, seed=st.integers(0, 99), options=OPTIONS)
@settings(deadline=None, max_examples=60)
def test_a_layer_commutes_with_permutations(dims: tuple[int, ...], seed: int, options: dict[str, Any]) -> None:
    layer, x = layer_of(dims, seed, options), stack(dims, 2, 3, seed)
    orders = x.random_permutations(torch.Generator().manual_seed(seed))
    assert close(layer(x.permute(orders)), layer(x).permute(orders))


@given(dims=DIMS, seed=st.integers(0, 99), width=st.integers(1, 4), skip=st.booleans())
@settings(deadline=None, max_examples=20)
def test_a_layer_of_fewer_inputs_commutes_too(dims: tuple[int, ...], seed: int, width: int, skip: bool) -> None:
    torch.manual_seed(seed)
    width, x = min(width, dims[0]), stack(dims, 2, 3, seed)
    layer = DownSampledDWSLayer(dims, 3, 4, width, num_heads=2, add_layer_skip=skip).double()
    orders = x.random_permutations(torch.Generator().manual_seed(seed))
    y = layer(x)
    assert y.dims == dims
    assert close(layer(x.permute(orders)), y.permute(orders))


@given(dims=DIMS, seed=st.integers(0, 9))
@settings(deadline=None, max_examples=20)
def test_networks_of_a_batch_do_not_see_one_another(dims: tuple[int, ...], seed: int) -> None:
    layer, x = layer_of(dims, seed, {"num_heads": 2}), stack(dims, 3, 3, seed)
    assert close(layer(x.map(lambda own: own[1:2])), layer(x).map(lambda own: own[1:2]))


@pytest.mark.parametrize("dims", [(2, 3), (2, 3, 2), (2, 3, 2, 2)])
@pytest.mark.parametrize(
    "options", [{"reduction": "mean"}, {"reduction": "max", "n_fc_layers": 2}, {"set_layer": "ds"}]
)
def test_gradients(dims: tuple[int, ...], options: dict[str, Any]) -> None:
    layer, x = layer_of(dims, 0, {"num_heads": 2, **options}, 2), stack(dims, 2, 2)
    inputs = [own.requires_grad_() for own in x.tensors()]

    def call(*tensors: Tensor) -> tuple[Tensor, ...]:
        return layer(MLPWeights(tensors[: x.num_layers], tensors[x.num_layers :])).tensors()

    assert torch.autograd.gradcheck(call, inputs)
    loss = sum(own.square().sum() for own in layer(x).tensors())
    loss.backward()
    silent = {name for name, own in layer.named_parameters() if own.grad is None}
    assert not silent


def test_published_maps_into_the_last_weight_do_not_tell_outputs_apart_but_full_ones_do() -> None:
    dims = (2, 3, 4, 3, 3)
    for full in (False, True):
        parts = layer_of(dims, 0, {"num_heads": 2, "full": full}).parts(stack(dims, 2, 3))
        blind = {
            f"{own.block} {own.name}"
            for own, part in parts.items()
            if own.target.kind == "weight" and own.target.index == 3 and torch.allclose(part, part[:, :, :1])
        }
        assert blind == (set() if full else {"weight_to_weight 2_3", "bias_to_weight 0_3", "bias_to_weight 1_3"})


def test_diagonal_layers_hear_neighbours_only() -> None:
    layer = DWSLayer((2, 3, 3, 3, 3, 1), 1, 4, num_heads=2, diagonal=True)
    assert {own.name for own in layer.maps if own.block == "weight_to_weight"} == {
        f"{i}_{j}" for i in range(5) for j in range(5) if abs(i - j) <= 1
    }
    assert {own.name for own in layer.maps if own.block == "bias_to_bias"} == {f"{i}_{i}" for i in range(5)}


def test_sets() -> None:
    x = torch.randn(2, 5, 3)
    pool, sets, attention = AttentionPool(3), DeepSets(3, 4, "mean", 2), Attention(3, 4, 2)
    assert torch.allclose(pool(x), (x.sum(-1).softmax(-1).unsqueeze(-1) * x).sum(1, keepdim=True))
    assert torch.allclose(sets(x), sets.Gamma(x) - sets.Lambda(x.mean(1, keepdim=True)))
    q, k, v = (fc(x) for fc in (attention.fc_q, attention.fc_k, attention.fc_v))
    heads = [
        q[..., s] + (q[..., s] @ k[..., s].transpose(1, 2) / 2).softmax(-1) @ v[..., s] for s in (slice(2), slice(2, 4))
    ]
    o = torch.cat(heads, dim=-1)
    assert torch.allclose(attention(x), o + attention.fc_o(o).relu(), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"reduction": "median"}, "reduction: expected max, mean, sum, got 'median'"),
        ({"set_layer": "sets"}, "set_layer: expected sab or ds, got 'sets'"),
        ({"num_heads": 3}, "expected heads that divide 4 features, got 3"),
        ({"num_heads": 0}, "expected heads that divide 4 features, got 0"),
        ({"out_features": 0}, "expected positive sizes"),
        ({"dims": (3,)}, r"expected the sizes d_0, ..., d_L of one layer or more, all positive, got \[3\]"),
        ({"dims": (3, 0, 1)}, "all positive"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        DWSLayer(**{"dims": (2, 3, 3, 1), "in_features": 1, "out_features": 4, "num_heads": 2, **options})


def test_heads_need_not_divide_where_there_is_no_attention() -> None:
    layer = DWSLayer((2, 3, 3, 1), 1, 5, set_layer="ds")
    assert layer(stack((2, 3, 3, 1), dtype=torch.float32)).features == 5


def test_more_inputs_than_there_are_cannot_be_sampled() -> None:
    with pytest.raises(ValueError, match="input_dim_downsample: expected 1 to 2 inputs, got 3"):
        DownSampledDWSLayer((2, 3, 3, 1), 1, 4, 3)


@pytest.mark.parametrize(("dims", "features"), [((2, 3, 4, 1), 1), ((2, 3, 3, 1), 2), ((2, 3, 1), 1)])
def test_other_networks_are_refused(dims: tuple[int, ...], features: int) -> None:
    layer = DWSLayer((2, 3, 3, 1), 1, 4, num_heads=2).double()
    with pytest.raises(ValueError, match=r"expected networks \[2, 3, 3, 1\] with 1 features an entry, got"):
        layer(stack(dims, 2, features))
