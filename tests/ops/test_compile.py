"""The operators inside compiled programs: whole, by inductor, forward and backward."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from graphlab import ops
from graphlab.ops.gated_hops import gated_hops
from tests.ops.graphs import GRAPHS, features

EDGE_INDEX, (NODES, _) = GRAPHS["random"]
EDGES = EDGE_INDEX.shape[1]
PAIRS = torch.randint(NODES, (2, 30), generator=torch.Generator().manual_seed(0))
POINTER = torch.tensor([0, 7, 7, 30, NODES])

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

Layer = Callable[..., Tensor]
LAYERS: dict[str, tuple[Layer, tuple[tuple[int, ...], ...]]] = {}
"""By name: a function of ``(rowptr, col)`` and tensors, and the shapes of these."""


def _layer(*shapes: tuple[int, ...]) -> Callable[[Layer], Layer]:
    def register(function: Layer) -> Layer:
        LAYERS[function.__name__] = function, shapes
        return function

    return register


@_layer((NODES, 4), (EDGES,))
def products(rows: tuple[Tensor, Tensor], x: Tensor, weight: Tensor) -> Tensor:
    y = ops.spmm(rows, x.relu(), ops.sddmm(rows, x, x).sigmoid() * weight, "mean") + ops.spmm(rows, x)
    return y + ops.spmm(rows, x.tanh(), weight, "min") + ops.spmm_arg(rows, x)[0]


@_layer((NODES, 2, 4), (2, 4), (EDGES, 2))
def attention(rows: tuple[Tensor, Tensor], x: Tensor, att: Tensor, bias: Tensor) -> Tensor:
    y = ops.graph_attention(rows, x, x, x.relu(), bias, bias.detach().relu())
    return y + ops.gat_attention(rows, y.sum(-1), x.sum(-1), x) + ops.gatv2_attention(rows, y, x, att)


@_layer((NODES, 4))
def segments(rows: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    y = ops.segment(ops.segment_softmax(x, POINTER) * x, POINTER, "max").sum(0) + ops.segment(x, POINTER).sum(0)
    return ops.spmm_stats(rows, x, ("mean", "min", "max", "std", "var", "sum")).sum(1) * y


@_layer((NODES, 4), (3,), (4,))
def hops(rows: tuple[Tensor, Tensor], x: Tensor, coefficients: Tensor, gate: Tensor) -> Tensor:
    y = ops.propagate(rows, x, coefficients.sigmoid()) + ops.hops(rows, x, 2).sum(0)
    return gated_hops(rows, y, 2, gate)


@_layer((NODES, 4))
def overlap(rows: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    counts = ops.overlap_counts(rows, PAIRS).to(x.dtype)
    return (ops.overlap_pool(rows, PAIRS, x) + ops.overlap_pool(rows, PAIRS, x.relu(), "first")) * counts.sum(1, True)


@contextmanager
def _without_a_trace() -> Iterator[None]:
    """No handlers on torch's structured trace: it is written for whoever listens, and reads each entry of an EdgeIndex.

    pytest listens to every log that does not propagate, from the moment that a test is called.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("torch.__trace"), "handlers", [])
        yield


@_without_a_trace()
def _same(function: Layer, *tensors: Tensor, given: tuple[Tensor, ...] = ()) -> None:
    """The compiled function gives what the function gives, and the same gradients."""
    torch._dynamo.reset()
    results = []
    for each in (function, torch.compile(function, fullgraph=True)):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        y = each(*given, *leaves)
        results.append([y.detach(), *torch.autograd.grad(y.square().sum(), leaves)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_plain_rows(name: str) -> None:
    layer, shapes = LAYERS[name]
    adj = ops.adjacency(EDGE_INDEX, NODES)
    tensors = [features(shape, torch.float32, seed) for seed, shape in enumerate(shapes)]
    _same(lambda rowptr, col, *tensors: layer((rowptr, col), *tensors), *tensors, given=(adj.rowptr, adj.col))


@pytest.mark.parametrize("name", LAYERS)
def test_rows_of_an_edge_index_inside_of_the_region(name: str) -> None:
    from torch_geometric import EdgeIndex

    layer, shapes = LAYERS[name]
    ordered = EDGE_INDEX[:, EDGE_INDEX[0].argsort(stable=True)]
    edge_index = EdgeIndex(ordered, sparse_size=(NODES, NODES), sort_order="row").fill_cache_()
    tensors = [features(shape, torch.float32, seed) for seed, shape in enumerate(shapes)]
    _same(lambda edge_index, *tensors: layer(edge_index.get_csr()[0], *tensors), *tensors, given=(edge_index,))


def test_adjacency_with_its_transpose() -> None:
    adj = ops.adjacency(EDGE_INDEX, NODES)
    layer, shapes = LAYERS["products"]
    _same(lambda *tensors: layer(adj, *tensors), *(features(shape, torch.float32) for shape in shapes))
