"""Messages over edges one by one, relational attention and updates, Fourier features: compiled as defined."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphlab.ops import available, backend
from graphlab.ops.edge_statistics import edge_messages, edge_update
from graphlab.ops.fourier import fourier_linear
from graphlab.ops.relational_attention import relational_attention
from graphlab.ops.relational_update import PairNetwork, relational_update


def drawn(seed: int, dtype: torch.dtype) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(shape, dtype=dtype, generator=generator).requires_grad_()


def with_gradients(y: Tensor, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    factors = torch.arange(y.numel(), dtype=y.dtype).view_as(y).cos()
    return [y.detach(), *torch.autograd.grad((y * factors).sum(), inputs)]


def agree(operator: str, call: Any, tolerance: float) -> None:
    results = []
    for name in available(operator):
        with backend(name):
            results.append(call())
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            torch.testing.assert_close(
                a, b, atol=tolerance * (1 + float(b.abs().max() if b.numel() else 0)), rtol=tolerance
            )


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 99),
    edges=st.integers(0, 40),
    channels=st.integers(1, 20),
    message=st.sampled_from(["film", "gate", "linear"]),
    aggregators=st.sampled_from([("mean", "min", "max", "std"), ("sum", "var"), ("max",), ("mean",)]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_messages(seed: int, edges: int, channels: int, message: Any, aggregators: Any, dtype: torch.dtype) -> None:
    def call() -> list[Tensor]:
        draw, nodes = drawn(seed, dtype), 5
        rows = (2 if message == "film" else 1) * channels
        inputs = draw(edges, 3), draw(rows, 3), draw(rows), draw(nodes, channels), draw(nodes, channels)
        states, weight, bias, sent, own = inputs
        generator = torch.Generator().manual_seed(seed)
        ends = {name: torch.randint(nodes - 1, (edges,), generator=generator).int() for name in ("sender", "receiver")}
        received = edge_messages(
            states, weight, bias, **ends, sent=sent, own=own, message=message, aggregators=aggregators
        )
        return with_gradients(received.reduce(aggregators), inputs)

    agree("edge_statistics", call, 1e-4 if dtype == torch.float32 else 1e-9)


@pytest.mark.parametrize("activation", ["silu", "relu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_update(activation: Any, dtype: torch.dtype) -> None:
    def call() -> list[Tensor]:
        draw = drawn(0, dtype)
        inputs = draw(50, 6), draw(20, 6), draw(20), draw(9, 20), draw(9, 20), draw(5, 20), draw(5)
        states, weight, bias, sent, own, second, second_bias = inputs
        ends = {name: torch.randint(9, (50,), generator=torch.Generator().manual_seed(1)).int() for name in ENDS}
        y = edge_update(
            *(states, weight, bias),
            **ends,
            sent=sent,
            own=own,
            activation=activation,
            out_weight=second,
            out_bias=second_bias,
        )
        return with_gradients(y, inputs)

    agree("edge_update", call, 1e-5 if dtype == torch.float32 else 1e-12)


ENDS = ("sender", "receiver")


@pytest.mark.parametrize(("heads", "parts", "channels"), [(2, 4, 8), (2, 3, 34), (1, 4, 16)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_relational_attention(heads: int, parts: int, channels: int, dtype: torch.dtype) -> None:
    def call() -> list[Tensor]:
        draw = drawn(0, dtype)
        inputs = draw(2, 3, channels), draw(2, 5, channels), draw(2, 5, channels), draw(2, 3, 5, 6)
        inputs = (*inputs, draw(parts, channels, 6))
        return with_gradients(relational_attention(*inputs, heads, 0.3), inputs)

    query, key, value, edge, weight = (own.detach() for own in call_inputs(dtype, channels, parts))
    by_head = torch.einsum("brjk,pck->pbrjc", edge, weight).unflatten(-1, (heads, -1))
    q = query.unflatten(-1, (heads, -1)).unsqueeze(2) + by_head[0]
    k = key.unflatten(-1, (heads, -1)).unsqueeze(1) + by_head[1]
    v = value.unflatten(-1, (heads, -1)).unsqueeze(1) * (by_head[3] if parts == 4 else 1) + by_head[2]
    expected = ((0.3 * (q * k).sum(-1)).softmax(dim=2).unsqueeze(-1) * v).sum(dim=2).flatten(2)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(call()[0], expected, atol=10 * tolerance, rtol=10 * tolerance)
    agree("relational_attention", call, tolerance)


def call_inputs(dtype: torch.dtype, channels: int, parts: int) -> tuple[Tensor, ...]:
    draw = drawn(0, dtype)
    first = draw(2, 3, channels), draw(2, 5, channels), draw(2, 5, channels), draw(2, 3, 5, 6)
    return (*first, draw(parts, channels, 6))


def test_gradients() -> None:
    draw = drawn(0, torch.float64)
    for parts in (3, 4):
        inputs = call_inputs(torch.float64, 4, parts)
        assert torch.autograd.gradcheck(lambda *own: relational_attention(*own, 2, 0.3), inputs)
    shapes = [(6, 3), (6, 3), (3, 6), (3,), (6, 3), (3, 6), (3,), (3,), (3,), (3,), (3,)]
    inputs = draw(1, 2, 3, 3), draw(1, 2, 3, 3), draw(1, 2, 6), draw(1, 3, 6), *(draw(*shape) for shape in shapes)
    kept = torch.tensor([0.0, 2.0])[torch.randint(2, (1, 2, 3, 3))].double()

    def update(*own: Tensor) -> Tensor:
        return relational_update(*own[:4], PairNetwork(*own[4:]), (kept, None))

    assert torch.autograd.gradcheck(update, inputs)
    frequencies = torch.randn(4, 2, dtype=torch.float64)
    inputs = draw(5, 2), draw(3, 8), draw(3)
    assert torch.autograd.gradcheck(lambda v, *own: fourier_linear(v, frequencies, *own), inputs)


def test_relational_update_compiled() -> None:
    def call() -> list[Tensor]:
        draw = drawn(0, torch.float32)
        shapes = [(10, 6), (10, 6), (6, 10), (6,), (10, 6), (6, 10), (6,), (6,), (6,), (6,), (6,)]
        inputs = draw(2, 3, 5, 6), draw(2, 3, 5, 6), draw(2, 3, 10), draw(2, 5, 10), *(draw(*own) for own in shapes)
        return with_gradients(relational_update(*inputs[:4], PairNetwork(*inputs[4:])), inputs)

    agree("relational_update", call, 1e-5)


@pytest.mark.parametrize("rows", [7, 5000])
def test_fourier_features(rows: int) -> None:
    """Tabulated or not, as exact as features in float64 allow."""
    frequencies = 3 * torch.randn(16, 1, generator=torch.Generator().manual_seed(0))

    def call(dtype: torch.dtype) -> list[Tensor]:
        draw = drawn(1, torch.float32)
        values, inputs = draw(rows, 1).detach().to(dtype), (draw(5, 32), draw(5))
        inputs = tuple(own.detach().to(dtype).requires_grad_() for own in inputs)
        return with_gradients(fourier_linear(values, frequencies.to(dtype), *inputs), inputs)

    for found, exact in zip(call(torch.float32), call(torch.float64), strict=True):
        torch.testing.assert_close(found.double(), exact, atol=2e-5 * float(exact.abs().max()), rtol=0)
