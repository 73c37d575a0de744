"""Explicit graphs keep every value of every dtype, and so does what is read back from them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from graphlab.ops.allocation import zeros
from graphlab.weightgraph import WeightGraph, equal_bytes

ODD = [float("nan"), float("inf"), float("-inf"), -0.0, 1e-41, 3.0]


def network(dtypes: list[torch.dtype]) -> WeightGraph:
    """Three layers of these dtypes, the first weights of each not finite, negative zero, and subnormal."""
    graph = WeightGraph.from_module(
        nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)), (torch.randn(2, 6),)
    )
    tensors = {}
    for (name, tensor), dtype in zip(graph.tensors.items(), [d for d in dtypes for _ in range(2)], strict=True):
        odd = tensor.flatten().double()
        odd[: len(ODD)] = torch.tensor(ODD, dtype=torch.float64)[: len(odd)]
        tensors[name] = odd.to(dtype).view(tensor.shape)
    return WeightGraph(graph.structure, tensors)


def blank(graph: WeightGraph) -> WeightGraph:
    return WeightGraph(graph.structure, {name: torch.full_like(t, 7) for name, t in graph.tensors.items()})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_dtype_keeps_what_is_not_finite(dtype: torch.dtype) -> None:
    graph = network([dtype] * 3)
    data = graph.to_data()
    assert data.edge_attr.dtype == dtype
    assert bool(data.edge_attr.isnan().any())
    assert bool(data.edge_attr.isinf().any())
    assert equal_bytes(blank(graph).with_data(data).state_dict(), graph.state_dict())


@pytest.mark.parametrize(
    ("dtypes", "held"),
    [
        ((torch.bfloat16, torch.float32, torch.bfloat16), torch.float32),
        ((torch.bfloat16, torch.float16, torch.float16), torch.float32),
        ((torch.float32, torch.float16, torch.float64), torch.float64),
    ],
)
def test_mixed_dtypes_are_held_without_loss_and_come_back_as_they_were(
    dtypes: tuple[torch.dtype, ...], held: torch.dtype
) -> None:
    graph = network(list(dtypes))
    data = graph.to_data()
    assert data.edge_attr.dtype == held
    back = blank(graph).with_data(data).state_dict()
    for name, tensor in graph.tensors.items():
        assert back[name].dtype == tensor.dtype
        number = ~tensor.isnan()
        assert torch.equal(back[name].isnan(), ~number), "a NaN stays one; a conversion may change which"
        assert torch.equal(back[name][number].view(torch.uint8), tensor[number].view(torch.uint8))


def test_another_dtype_may_be_asked_for() -> None:
    graph = network([torch.float32] * 3)
    data = graph.to_data(dtype=torch.float64)
    assert data.edge_attr.dtype == torch.float64
    assert equal_bytes(blank(graph).with_data(data).state_dict(), graph.state_dict())


@pytest.mark.parametrize("entries", [0, 1, 1 << 20, (1 << 20) + 1, 3_000_001])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int64])
def test_large_memory_is_zero_and_no_more_than_asked_for(entries: int, dtype: torch.dtype) -> None:
    made = zeros((entries, 1), dtype)
    assert made.shape == (entries, 1)
    assert made.dtype == dtype
    assert made.untyped_storage().nbytes() == entries * dtype.itemsize
    assert not made.any()
    filled: Tensor = made.fill_(3)
    assert bool((filled == 3).all())
