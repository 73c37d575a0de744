"""Several steps at once: against single steps, with gradients, and without keeping the hops."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import APPNP

from graphlab.ops import adjacency, available, backend, hops, propagate, spmm

SIZE, EDGES = 30, 140


@pytest.fixture
def edge_index() -> Tensor:
    return torch.randint(SIZE - 3, (2, EDGES), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", available("spmm"))
@pytest.mark.parametrize("weighted", [False, True])
def test_the_sum_of_the_hops(edge_index: Tensor, name: str, weighted: bool) -> None:
    x = torch.randn(SIZE, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(EDGES, dtype=torch.float64) if weighted else None
    coefficients = torch.randn(4, dtype=torch.float64, requires_grad=True)
    adj = adjacency(edge_index, SIZE)
    with backend(name):
        every = hops(adj, x, 3, weight)
        torch.testing.assert_close(every[2], spmm(adj, spmm(adj, x, weight), weight))
        torch.testing.assert_close(
            propagate(adj, x, coefficients, weight), (every * coefficients.view(-1, 1, 1)).sum(dim=0)
        )
        assert torch.autograd.gradcheck(lambda x, c: propagate(adj, x, c, weight), (x, coefficients))


def test_personalised_pagerank_is_that_of_pyg(edge_index: Tensor) -> None:
    x, alpha, steps = torch.randn(SIZE, 5), 0.2, 6
    weight = torch.rand(EDGES)
    coefficients = alpha * (1 - alpha) ** torch.arange(steps + 1.0)
    coefficients[-1] = (1 - alpha) ** steps
    expected = APPNP(steps, alpha, normalize=False)(x, edge_index, weight)
    torch.testing.assert_close(propagate(edge_index, x, coefficients, weight), expected)


def test_weights_of_hops_learn(edge_index: Tensor) -> None:
    adj = adjacency(edge_index, SIZE)
    x = torch.randn(SIZE, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(EDGES, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: hops(adj, x, 2, w), (x, weight))


def test_no_step_and_no_node(edge_index: Tensor) -> None:
    x = torch.randn(SIZE, 2)
    assert torch.equal(hops(edge_index, x, 0), x.unsqueeze(0))
    assert torch.equal(propagate(edge_index, x, torch.tensor([2.0])), 2 * x)
    nothing = torch.empty(2, 0, dtype=torch.int64)
    assert hops(nothing, torch.zeros(0, 3), 2).shape == (3, 0, 3)
    assert torch.equal(propagate(nothing, x, torch.ones(3)), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_hops_of_half_precision_are_added_up_in_single(edge_index: Tensor, dtype: torch.dtype) -> None:
    """Without edges but loops each hop is ``x``: 300 ones come to 300, in bfloat16 to 256."""
    loops = torch.arange(SIZE).expand(2, -1)
    x = torch.ones(SIZE, 2, dtype=dtype, requires_grad=True)
    coefficients = torch.ones(301, dtype=dtype, requires_grad=True)
    y = propagate(loops, x, coefficients)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == coefficients.grad.dtype == dtype
    expected = torch.tensor(301.0).to(dtype)
    assert bool((y == expected).all())
    assert bool((x.grad == expected).all())
    assert bool((coefficients.grad == 2 * SIZE).all())


MEASURE = """
import resource, torch
from graphlab.ops import adjacency, propagate
torch.set_num_threads(1)
def run(nodes):
    adj = adjacency(torch.randint(nodes, (2, nodes)), nodes)
    x, coefficients = torch.randn(nodes, 32, requires_grad=True), torch.rand(31, requires_grad=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    propagate(adj, x, coefficients).sum().backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
run(100)
print(run(100_000) * 1024 / (100_000 * 32 * 4))
"""


def test_no_hop_is_kept_forward_or_backward() -> None:
    """Of 31 hops; a result, its gradient, two sums and two hops are there at a time."""
    answer = subprocess.run([sys.executable, "-W", "ignore", "-c", MEASURE], capture_output=True, text=True, check=True)
    assert float(answer.stdout) < 9


def test_what_does_not_fit(edge_index: Tensor) -> None:
    x = torch.randn(SIZE, 3)
    with pytest.raises(ValueError, match=r"coefficients: expected torch.float32 \[steps \+ 1\], got torch.float64"):
        propagate(edge_index, x, torch.ones(3, dtype=torch.float64))
    with pytest.raises(ValueError, match="weight: a constant here"):
        propagate(edge_index, x, torch.ones(3), torch.ones(EDGES, requires_grad=True))
    with pytest.raises(ValueError, match="steps: expected 0 or more, got -1"):
        hops(edge_index, x, -1)
    with pytest.raises(ValueError, match="as many targets as sources, got 7 and 30"):
        hops(adjacency(torch.tensor([[29], [2]]), (SIZE, 7)), x, 1)
    with pytest.raises(ValueError, match=r"x: expected floating \[num_nodes, channels\]"):
        hops(edge_index, torch.randn(SIZE, 2, 3), 1)
