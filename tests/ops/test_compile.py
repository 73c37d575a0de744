"""The operators inside compiled programs, and the rules that ``torch.library`` sets them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from graphlab.ops import Adjacency, adjacency, sddmm, spmm
from tests.ops.graphs import GRAPHS, features

EDGE_INDEX, (NODES, _) = GRAPHS["random"]
ADJ = adjacency(EDGE_INDEX, NODES)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@contextmanager
def _without_a_trace() -> Iterator[None]:
    """No handlers on torch's structured trace: it is written for whoever listens, and reads each entry of an EdgeIndex.

    pytest listens to every log that does not propagate, from the moment that a test is called.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("torch.__trace"), "handlers", [])
        yield


@_without_a_trace()
def _same(function: Callable[..., Tensor], *tensors: Tensor, given: tuple[Tensor, ...] = ()) -> None:
    """The compiled function gives what the function gives, and the same gradients."""
    torch._dynamo.reset()
    results = []
    for each in (function, torch.compile(function, fullgraph=True)):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        y = each(*given, *leaves)
        results.append([y.detach(), *torch.autograd.grad(y.square().sum(), leaves)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_plain_rows(reduce: Any) -> None:
    rowptr, col = ADJ.rowptr, ADJ.col
    _same(lambda x: spmm((rowptr, col), x.relu(), reduce=reduce) + 1, features((NODES, 4), torch.float32))


def test_adjacency_with_weights_and_scores() -> None:
    def layer(x: Tensor, weight: Tensor) -> Tensor:
        return spmm(ADJ, x, sddmm(ADJ, x, x).sigmoid() * weight, "mean")

    _same(layer, features((NODES, 4), torch.float32), features((400,), torch.float32, 1))


def test_rows_of_an_edge_index_inside_of_the_region() -> None:
    from torch_geometric import EdgeIndex

    ordered = EDGE_INDEX[:, EDGE_INDEX[0].argsort(stable=True)]
    edge_index = EdgeIndex(ordered, sparse_size=(NODES, NODES), sort_order="row").fill_cache_()

    def layer(edge_index: EdgeIndex, x: Tensor) -> Tensor:
        rows, _ = edge_index.get_csr()
        return spmm(rows, x.relu())

    _same(layer, features((NODES, 4), torch.float32), given=(edge_index,))


@pytest.mark.parametrize("weighted", [False, True])
def test_operators_keep_the_rules_of_torch_library(weighted: bool) -> None:
    x, weight = features((NODES, 2, 3), torch.float32), features((400, 2), torch.float32, 1) if weighted else None
    tensors = [x.requires_grad_()] if weight is None else [x.requires_grad_(), weight.requires_grad_()]
    assert all(tensor.requires_grad for tensor in tensors)
    for adj in (ADJ, Adjacency(*ADJ[:3])):
        torch.library.opcheck(torch.ops.graphlab.spmm.default, (*adj, weight, x, None, True))
        torch.library.opcheck(torch.ops.graphlab.spmm_extremum.default, (*adj, weight, x, True))
        torch.library.opcheck(torch.ops.graphlab.sddmm.default, (*adj, x, x.detach()))


def test_gradient_of_extrema_and_transpose_keep_the_rules_of_torch_library() -> None:
    x, place = features((NODES, 2, 3)), torch.zeros(NODES, 2, 3, dtype=torch.int32)
    torch.library.opcheck(torch.ops.graphlab.spmm_extremum_gradient.default, (*ADJ, None, x, place, x.clone()))
    torch.library.opcheck(torch.ops.graphlab.transpose.default, (*ADJ[:3], None, None, None, NODES))
