"""Rows and columns of blocks, pooled at once: the definition in every backend, with its gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphlab.ops import backend, ran
from graphlab.ops.block_pool import block_pool

REDUCTIONS = {"max": Tensor.amax, "mean": Tensor.mean, "sum": Tensor.sum}


@pytest.mark.parametrize("name", ["reference", "numba"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(sizes=st.tuples(*[st.integers(1, 5)] * 3, st.integers(1, 40)), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_the_definition(name: str, reduction: Any, sizes: tuple[int, ...], seed: int) -> None:
    if name == "numba" and (reduction != "max" or sizes[3] < 16):
        return
    x = torch.randn(sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    with backend(name):
        passed, rows, columns = block_pool(x, reduction)
        assert ran["block_pool"] == name
    assert torch.equal(passed, x)
    assert torch.allclose(rows, REDUCTIONS[reduction](x, 2))
    assert torch.allclose(columns, REDUCTIONS[reduction](x, 1))


@pytest.mark.parametrize(("name", "reduction"), [("numba", "max"), *(("reference", own) for own in REDUCTIONS)])
def test_gradients(name: str, reduction: Any) -> None:
    x = torch.randn(2, 3, 4, 17, dtype=torch.float64, requires_grad=True)
    with backend(name):
        assert torch.autograd.gradcheck(lambda own: block_pool(own, reduction), [x])


@pytest.mark.parametrize("name", ["reference", "numba"])
def test_the_first_of_equal_maxima_gets_the_gradient(name: str) -> None:
    x = torch.zeros(1, 2, 3, 16, requires_grad=True)
    with backend(name):
        _, rows, columns = block_pool(x, "max")
        rows.sum().backward(retain_graph=True)
        assert x.grad is not None
        assert x.grad[0, :, :, 0].tolist() == [[1, 0, 0], [1, 0, 0]]
        x.grad = None
        columns.sum().backward()
        assert x.grad[0, :, :, 0].tolist() == [[1, 1, 1], [0, 0, 0]]


def test_not_a_number_is_seen() -> None:
    x = torch.zeros(1, 2, 2, 16)
    x[0, 1, 0, 3] = torch.nan
    _, rows, columns = block_pool(x, "max")
    assert rows.isnan().nonzero().tolist() == [[0, 1, 3]]
    assert columns.isnan().nonzero().tolist() == [[0, 0, 3]]


@pytest.mark.filterwarnings("ignore")  # of torch's own compiler, about the Function that it traces
def test_compiled() -> None:
    x = torch.randn(2, 3, 4, 16, requires_grad=True)
    made = torch.compile(lambda own: block_pool(own, "max")[1], fullgraph=True, backend="aot_eager")(x)
    assert torch.equal(made, x.amax(2))
    made.sum().backward()
    assert x.grad is not None
    for reduction in ("max", "mean"):
        torch.library.opcheck(torch.ops.graphlab.block_pool.default, (x.detach(), reduction))


def test_what_does_not_fit_is_refused() -> None:
    for x in (torch.zeros(2, 3, 4), torch.zeros(2, 0, 3, 4), torch.zeros(2, 3, 4, 5).long()):
        with pytest.raises(ValueError, match="x: expected floating"):
            block_pool(x, "max")
    with pytest.raises(ValueError, match="reduction: expected max, mean, sum, got 'min'"):
        block_pool(torch.zeros(1, 1, 1, 1), "min")  # type: ignore[arg-type]
