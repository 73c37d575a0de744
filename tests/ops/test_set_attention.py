"""Attention of small sets with heads last: the definition, by loops, in every backend, with its gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphlab.ops import available, backend, ran
from graphlab.ops.set_attention import set_attention

SIZES = st.tuples(st.integers(0, 3), st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 12))


def defined(projected: Tensor, blocks: int, scale: float) -> Tensor:
    """Head by head."""
    q, k, v = projected.unbind(2)
    heads = [
        q[..., h] + (scale * q[..., h] @ k[..., h].transpose(1, 2)).softmax(-1) @ v[..., h] for h in range(q.shape[-1])
    ]
    each = len(heads) // blocks
    return torch.stack([torch.cat(heads[block * each : (block + 1) * each], dim=-1) for block in range(blocks)])


@pytest.mark.parametrize("name", ["reference", "numba"])
@given(sizes=SIZES, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_the_definition(name: str, sizes: tuple[int, ...], seed: int) -> None:
    batch, size, channels, blocks, heads = sizes
    if name == "numba" and (blocks * heads < 16 or batch == 0):
        return
    generator = torch.Generator().manual_seed(seed)
    projected = torch.randn(batch, size, 3, channels, blocks * heads, generator=generator, dtype=torch.float64)
    with backend(name):
        made = set_attention(projected, blocks, 0.7)
        assert ran["set_attention"] == name
    assert torch.allclose(made, defined(projected, blocks, 0.7))


@pytest.mark.parametrize("name", ["reference", "numba"])
def test_gradients(name: str) -> None:
    projected = torch.randn(2, 3, 3, 2, 18, dtype=torch.float64, requires_grad=True)
    with backend(name):
        assert torch.autograd.gradcheck(lambda own: set_attention(own, 3, 0.5), [projected])


def test_single_precision_large_scores_and_threads() -> None:
    assert available("set_attention")[0] == "numba"
    projected = 20 * torch.randn(40, 20, 3, 4, 40)
    first = set_attention(projected, 5, 0.1)
    assert torch.allclose(first.double(), defined(projected.double(), 5, 0.1), rtol=1e-4, atol=1e-3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert torch.equal(set_attention(projected, 5, 0.1), first)
    finally:
        torch.set_num_threads(threads)


def test_compiled_and_checked() -> None:
    projected = torch.randn(2, 3, 3, 2, 16, requires_grad=True)
    made = torch.compile(lambda own: set_attention(own, 2, 0.5), fullgraph=True, backend="aot_eager")(projected)
    assert torch.allclose(made, set_attention(projected, 2, 0.5))
    made.sum().backward()
    assert projected.grad is not None
    torch.library.opcheck(torch.ops.graphlab.set_attention.default, (projected, 2, 0.5))


@pytest.mark.parametrize(
    ("shape", "blocks", "reason"),
    [
        ((2, 3, 2, 2, 4), 1, "projected: expected floating"),
        ((2, 3, 3, 4), 1, "projected: expected floating"),
        ((2, 3, 3, 2, 4), 3, "blocks: expected a divisor of 4 heads, got 3"),
        ((2, 3, 3, 2, 4), 0, "blocks: expected a divisor"),
    ],
)
def test_what_does_not_fit_is_refused(shape: tuple[int, ...], blocks: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        set_attention(torch.zeros(shape), blocks, 1.0)
