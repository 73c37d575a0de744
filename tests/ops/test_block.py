"""Messages over dense blocks: against gathers, concatenation, one Linear and scatters on the explicit edges."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from graphlab.ops import Received, available, backend, block_edge_update, block_messages, block_tiles, merge, ran

AGGREGATORS = ("sum", "mean", "min", "max", "var", "std")
MESSAGES = ("film", "gate", "linear", "relu", "silu")
ACTIVATIONS: dict[str, Any] = {"linear": lambda u: u, "relu": torch.relu, "silu": functional.silu}
BACKENDS = [name for name in available("block_statistics") if name != "triton"]


def inputs(
    shape: tuple[int, ...], message: str, seed: int = 0, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Node and edge states, and the weights of ``Lin([x_target, x_source])`` and of the edges' product."""
    *batch, n_source, n_target, edge_channels, channels = shape
    generator = torch.Generator().manual_seed(seed)
    sizes = {
        "x_source": (*batch, n_source, 4),
        "x_target": (*batch, n_target, 4),
        "edge": (*batch, n_source, n_target, edge_channels),
        "pair": (channels, 8),
        "weight": (channels * (2 if message == "film" else 1), edge_channels),
        "bias": (channels * (2 if message == "film" else 1),),
        "out_weight": (5, channels),
        "out_bias": (5,),
    }
    return {
        name: torch.randn(size, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for name, size in sizes.items()
    }


def explicit_ends(given: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Edges one by one, source-major; ``Lin([x_target, x_source])`` of each; the numbers of its ends. One network."""
    n_source, n_target, channels = given["edge"].shape
    source = torch.arange(n_source).repeat_interleave(n_target)
    target = torch.arange(n_target).repeat(n_source)
    pair = torch.cat([given["x_target"][target], given["x_source"][source]], dim=1) @ given["pair"].t()
    return given["edge"].reshape(-1, channels), pair, source, target


def explicit_messages(given: dict[str, Tensor], message: str, over: str) -> Tensor:
    """``[n, len(AGGREGATORS) * channels]``, of one network, by scatters."""
    edge, pair, source, target = explicit_ends(given)
    z = functional.linear(edge, given["weight"], given["bias"])
    if message == "film":
        scale, shift = z.chunk(2, dim=1)
        m = scale * pair + shift
    else:
        m = z.sigmoid() * pair if message == "gate" else ACTIVATIONS[message](pair + z)
    index, size = (target, given["edge"].shape[1]) if over == "source" else (source, given["edge"].shape[0])
    degree = torch.bincount(index, minlength=size).clamp(min=1).unsqueeze(1)
    wide = index.unsqueeze(1).expand_as(m)

    def total(values: Tensor) -> Tensor:
        return values.new_zeros(size, values.shape[1]).scatter_add(0, wide, values)

    def extreme(how: str) -> Tensor:
        return m.new_zeros(size, m.shape[1]).scatter_reduce(0, wide, m, how, include_self=False)

    mean = total(m) / degree
    variance = total((m - mean[index]).square()) / degree
    deviation = variance.clamp(min=1e-5).sqrt()
    deviation = deviation.masked_fill(deviation <= 1e-5**0.5, 0)
    return torch.cat([total(m), mean, extreme("amin"), extreme("amax"), variance, deviation], dim=1)


def received(given: dict[str, Tensor], message: str, over: str, aggregators: Any = AGGREGATORS) -> Received:
    a, b = given["pair"].chunk(2, dim=1)
    ends = {"source": given["x_source"] @ b.t(), "target": given["x_target"] @ a.t()}
    return block_messages(
        given["edge"],
        given["weight"],
        given["bias"],
        **ends,
        message=message,  # type: ignore[arg-type]
        over=over,  # type: ignore[arg-type]
        aggregators=aggregators,
    )


def one_by_one(given: dict[str, Tensor], function: Any) -> Tensor:
    """Of each network of a batch, stacked."""
    states = ("x_source", "x_target", "edge")
    members = zip(*(given[name].unbind(0) for name in states), strict=True)
    return torch.stack([function({**given, **dict(zip(states, member, strict=True))}) for member in members])


def assert_equal_with_gradients(actual: Tensor, expected: Tensor, given: dict[str, Tensor], tolerance: float) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    leaves = list(given.values())
    for one, other in zip(
        *(
            torch.autograd.grad(y, leaves, upstream.to(y.dtype), allow_unused=True, materialize_grads=True)
            for y in (actual, expected)
        ),
        strict=True,
    ):
        scale = max(1.0, float(other.abs().max())) if other.numel() else 1.0
        torch.testing.assert_close(one / scale, other / scale, rtol=tolerance, atol=tolerance)


sizes = st.tuples(st.integers(1, 3), st.integers(0, 9), st.integers(0, 9), st.integers(1, 4), st.integers(1, 4))


@pytest.mark.parametrize("name", BACKENDS)
@settings(deadline=None, max_examples=40)
@given(sizes, st.sampled_from(MESSAGES), st.sampled_from(["source", "target"]), st.integers(1, 400), st.integers(0, 99))
def test_aggregates_and_gradients_are_those_of_the_explicit_edges(
    name: str, shape: tuple[int, ...], message: str, over: str, tile: int, seed: int
) -> None:
    """In tiles down to one edge."""
    given = inputs(shape, message, seed)
    expected = one_by_one(given, lambda member: explicit_messages(member, message, over))
    with pytest.MonkeyPatch.context() as patch, backend(name):
        patch.setattr(block_tiles, "TILE", tile)
        patch.setattr(block_tiles, "DEPTH", 3)
        y = received(given, message, over).reduce(AGGREGATORS)
        assert ran["block_statistics"] == name
        assert_equal_with_gradients(y, expected, given, 1e-11)


@settings(deadline=None, max_examples=30)
@given(sizes, st.sampled_from(["film", "linear"]), st.sampled_from(["source", "target"]), st.integers(1, 200))
def test_sums_without_messages_are_those_of_the_explicit_edges(
    shape: tuple[int, ...], message: str, over: str, tile: int
) -> None:
    given = inputs(shape, message)
    expected = one_by_one(given, lambda member: explicit_messages(member, message, over))
    expected = expected[..., : 2 * given["pair"].shape[0]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("graphlab.ops.block_film.TILE", tile)
        y = received(given, message, over, ("sum", "mean")).reduce(("sum", "mean"))
        assert_equal_with_gradients(y, expected, given, 1e-12)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("over", ["source", "target"])
@pytest.mark.parametrize("message", MESSAGES)
def test_float32_at_size(name: str, message: str, over: str) -> None:
    given = inputs((1, 90, 70, 16, 32), message, dtype=torch.float32)
    with torch.no_grad():
        given = {key: value / 4 for key, value in given.items()}
    exact = {key: value.double() for key, value in given.items()}
    expected = one_by_one(exact, lambda member: explicit_messages(member, message, over)).float()
    with backend(name), pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_tiles, "TILE", 1 << 13)
        y = received(given, message, over).reduce(AGGREGATORS)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(sizes, st.sampled_from(sorted(ACTIVATIONS)), st.booleans(), st.integers(1, 300))
def test_edge_updates_are_those_of_the_explicit_edges(
    shape: tuple[int, ...], activation: str, outer: bool, tile: int
) -> None:
    given = inputs(shape, "linear")

    def explicit(member: dict[str, Tensor]) -> Tensor:
        edge, pair, _, _ = explicit_ends(member)
        h = ACTIVATIONS[activation](functional.linear(edge, given["weight"], given["bias"]) + pair)
        h = functional.linear(h, given["out_weight"], given["out_bias"]) if outer else h
        return h.view(*member["edge"].shape[:2], h.shape[1])

    a, b = given["pair"].chunk(2, dim=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_tiles, "TILE", tile)
        y = block_edge_update(
            given["edge"],
            given["weight"],
            given["bias"],
            source=given["x_source"] @ b.t(),
            target=given["x_target"] @ a.t(),
            activation=activation,  # type: ignore[arg-type]
            out_weight=given["out_weight"] if outer else None,
            out_bias=given["out_bias"] if outer else None,
        )
        assert_equal_with_gradients(y, one_by_one(given, explicit), given, 1e-12)


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("aggregators", [("mean",), ("mean", "min", "max", "var")])
def test_gradcheck(message: str, aggregators: Any) -> None:
    given = inputs((2, 3, 4, 2, 2), message)
    names = [name for name in given if not name.startswith("out")]

    def function(*values: Tensor) -> Tensor:
        return received(dict(zip(names, values, strict=True)), message, "source", aggregators).reduce(aggregators)

    assert torch.autograd.gradcheck(function, [given[name] for name in names])


def test_gradcheck_of_edge_updates() -> None:
    given = inputs((2, 3, 2, 2, 4), "linear")
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)

    def function(edge: Tensor, weight: Tensor, bias: Tensor, x: Tensor, out: Tensor, out_bias: Tensor) -> Tensor:
        return block_edge_update(edge, weight, bias, source=x, out_weight=out, out_bias=out_bias)

    leaves = [given[name] for name in ("edge", "weight", "bias")]
    assert torch.autograd.gradcheck(function, [*leaves, x, given["out_weight"], given["out_bias"]])


def test_a_diagonal_block_is_a_batch_of_single_edges() -> None:
    edge, weight = torch.randn(2, 6, 3), torch.randn(8, 3)
    q, p = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    y = block_messages(edge[:, :, None, None], weight, source=q[:, :, None], target=p[:, :, None])
    scale, shift = (edge @ weight.t()).chunk(2, dim=-1)
    torch.testing.assert_close(y.reduce(("mean",)).squeeze(2), scale * (p + q) + shift)


def test_a_layer_of_gmn() -> None:
    """Sheet metanetworks, 2.2: new edges from both ends, messages from the source and the new edge, their mean."""
    given = inputs((5, 3, 6, 4), "relu")
    x_s, x_t, e = given["x_source"], given["x_target"], given["edge"]
    first, second = torch.randn(4, 14, dtype=torch.float64), torch.randn(4, 8, dtype=torch.float64)
    edge, _, source, target = explicit_ends(given)
    new = torch.relu(functional.linear(torch.cat([x_s[source], x_t[target], edge], 1), first, given["bias"]))
    message = torch.relu(functional.linear(torch.cat([x_s[source], new], 1), second, given["bias"]))
    expected = message.new_zeros(3, 4).index_add(0, target, message) / 5
    weights = {"source": first[:, :4], "target": first[:, 4:8]}
    ends = {"source": x_s @ weights["source"].t(), "target": x_t @ weights["target"].t()}
    state = block_edge_update(e, first[:, 8:].contiguous(), given["bias"], **ends, activation="relu")
    torch.testing.assert_close(state.view(-1, 4), new)
    y = block_messages(state, second[:, 4:].contiguous(), given["bias"], source=x_s @ second[:, :4].t(), message="relu")
    assert_equal_with_gradients(y.reduce(("mean",)), expected, given, 1e-12)


@pytest.mark.parametrize("message", MESSAGES)
def test_blocks_into_the_same_nodes_merge_to_what_one_block_gives(message: str) -> None:
    given = inputs((2, 9, 5, 3, 4), message)
    cuts = [slice(0, 0), slice(0, 1), slice(1, 6), slice(6, 9)]
    parts = [
        received({**given, "edge": given["edge"][:, cut], "x_source": given["x_source"][:, cut]}, message, "source")
        for cut in cuts
    ]
    expected = received(given, message, "source").reduce(AGGREGATORS)
    assert_equal_with_gradients(merge(parts).reduce(AGGREGATORS), expected, given, 1e-11)


def test_deviations_keep_their_digits_far_from_zero() -> None:
    edge = torch.randn(1, 200, 3, 4)
    y = block_messages(edge, torch.eye(4), torch.full((4,), 1e4), message="linear", aggregators=("std",))
    expected = edge.double().std(dim=1, unbiased=False)
    torch.testing.assert_close(y.reduce(("std",)).double(), expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("name", BACKENDS)
def test_nan_reaches_only_those_that_receive_it(name: str) -> None:
    edge = torch.zeros(1, 4, 3, 2)
    edge[0, 2, 1, 0] = torch.nan
    with backend(name):
        y = block_messages(edge, torch.eye(2), message="linear", aggregators=AGGREGATORS).reduce(AGGREGATORS)
    assert y[0, 1].isnan().all()
    assert y[0, [0, 2]].isfinite().all()


def test_equal_messages_give_the_first_the_gradient() -> None:
    edge = torch.zeros(1, 3, 1, 1, requires_grad=True)
    block_messages(edge, torch.ones(1, 1), message="linear", aggregators=("max",)).most.sum().backward()  # type: ignore[union-attr]
    assert edge.grad is not None
    assert edge.grad.flatten().tolist() == [1, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_accumulated_in_single(dtype: torch.dtype) -> None:
    edge = torch.ones(1, 3000, 1, 1, dtype=dtype, requires_grad=True)
    weight = torch.ones(1, 1, dtype=dtype)
    y = block_messages(edge, weight, message="relu", aggregators=("sum", "std"))
    assert y.total.dtype == torch.float32
    assert y.total.item() == 3000
    y.total.sum().backward()
    assert edge.grad is not None
    assert edge.grad.dtype == dtype
    film = block_messages(edge, torch.ones(2, 1, dtype=dtype), aggregators=("sum",))
    torch.autograd.grad(film.total.sum(), edge)
    assert film.total.item() == 3000
    assert block_edge_update(edge, weight, out_weight=weight).dtype == dtype


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiles_without_breaks() -> None:
    given = inputs((2, 5, 4, 3, 4), "film", dtype=torch.float32)

    def step(given: dict[str, Tensor]) -> Tensor:
        mean = received(given, "film", "source", ("mean",)).reduce(("mean",))
        many = received(given, "film", "target", ("max", "std")).reduce(("max", "std"))
        update = block_edge_update(given["edge"], given["weight"], source=torch.cat([many[..., :8]], dim=-1))
        return mean.sum() + many.square().sum() + update.sum()

    compiled = torch.compile(step, fullgraph=True)
    assert_equal_with_gradients(compiled(given), step(given), given, 1e-5)


@pytest.mark.parametrize("axis", [1, 2])
def test_operators_obey_the_rules_of_torch(axis: int) -> None:
    given = inputs((2, 5, 4, 3, 4), "film")
    q, p = (torch.randn(2, n, 4, dtype=torch.float64, requires_grad=True) for n in (5, 4))
    ends = (given["edge"], q, p, given["weight"], given["bias"])
    tests = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static")
    torch.library.opcheck(torch.ops.graphlab.block_statistics, (*ends, axis, "film", True, True), test_utils=tests)
    weight = given["weight"].detach()[:4].requires_grad_()
    torch.library.opcheck(
        torch.ops.graphlab.block_film_sum, (ends[0], q if axis == 1 else p, weight, axis), test_utils=tests
    )
    update = (*ends[:3], weight, given["bias"].detach()[:4].requires_grad_(), "silu")
    outer = (given["out_weight"], given["out_bias"]) if axis == 1 else (None, None)
    torch.library.opcheck(torch.ops.graphlab.block_edge_update, (*update, *outer), test_utils=tests)


BAD = {
    "edge: expected floating": {"edge": torch.zeros(3, 4)},
    "edge: expected": {"edge": torch.zeros(3, 4, 2, dtype=torch.int64)},
    "weight: expected": {"weight": torch.zeros(7, 2)},
    "weight: expected the shape": {"weight": torch.zeros(8, 3)},
    "bias: expected the shape": {"bias": torch.zeros(4)},
    "source: expected the shape": {"source": torch.zeros(4, 4)},
    "target: expected the shape": {"target": torch.zeros(4, 3)},
    "source is torch.float64": {"source": torch.zeros(3, 4, dtype=torch.float64)},
    "message: expected film": {"message": "sum"},
    "over: expected source": {"over": "edges"},
    "aggregators: expected": {"aggregators": ("median",)},
    "aggregators: expected some": {"aggregators": "mean"},
}


@pytest.mark.parametrize("error", sorted(BAD))
def test_bad_input_is_named(error: str) -> None:
    good: dict[str, Any] = {"edge": torch.zeros(3, 4, 2), "weight": torch.zeros(8, 2)}
    with pytest.raises(ValueError, match=error):
        block_messages(**{**good, **BAD[error]})


def test_bad_input_of_updates_and_of_what_was_received_is_named() -> None:
    edge, weight = torch.zeros(3, 4, 2), torch.zeros(5, 2)
    for error, more in {
        "activation: expected": {"activation": "tanh"},
        "out_weight: expected": {"out_weight": torch.zeros(5)},
        "out_weight: expected the shape": {"out_weight": torch.zeros(4, 4)},
        "out_bias: expected none": {"out_bias": torch.zeros(5)},
        "out_bias: expected the shape": {"out_weight": torch.zeros(6, 5), "out_bias": torch.zeros(5)},
        "weight: expected": {"weight": torch.zeros(5)},
    }.items():
        with pytest.raises(ValueError, match=error):
            block_edge_update(**{"edge": edge, "weight": weight, **more})  # type: ignore[arg-type]
    means = block_messages(edge, weight, message="linear")
    with pytest.raises(ValueError, match="max was not asked for"):
        means.reduce(("max",))
    with pytest.raises(ValueError, match="at least one"):
        merge([])
    with pytest.raises(ValueError, match="same statistics"):
        merge([means, block_messages(edge, weight, message="linear", aggregators=("max",))])
