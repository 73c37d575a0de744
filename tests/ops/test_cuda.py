"""Triton's kernels on a GPU, against the plain versions there."""

from __future__ import annotations

import pytest
import torch

from graphlab.ops import adjacency, ran, spmm
from tests.ops import gpu_checks
from tests.ops.gpu_checks import DTYPES, GRAPHS, values

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("subject", ["spmm", "segments", "statistics", "attention", "overlap"])
def test_as_the_plain_versions(subject: str, name: str, dtype: torch.dtype) -> None:
    getattr(gpu_checks, f"check_{subject}")(name, dtype, "cuda")


def test_places_of_extrema() -> None:
    gpu_checks.check_places("cuda")


@pytest.mark.parametrize("channels", [1, 16, 64, 100, 256, 300])
def test_large_graph_with_hubs_as_the_cpu_and_the_same_each_time(channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(20_000, (2, 400_000), generator=generator)
    edge_index[1, :100_000] = 7
    x = values(20_000, channels, dtype=torch.float32, device="cpu")
    expected = spmm(adjacency(edge_index, 20_000), x)
    adj = adjacency(edge_index.cuda(), 20_000)
    found = spmm(adj, x.cuda())
    assert ran["spmm"] == "triton"
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=5e-3)
    assert torch.equal(found, spmm(adj, x.cuda()))
    narrow = spmm(adj, x.cuda().bfloat16())
    torch.testing.assert_close(narrow.float().cpu(), expected, rtol=0.05, atol=4.0)
