"""Laplacian positional encodings: known graphs, and the quotient against the dense solution."""

import resource
import time

import pytest
import torch

from graphlab.weightgraph.layouts.nino import nino
from graphlab.weightgraph.positions import equitable_cells, laplacian_eigenvalues, laplacian_positions
from graphlab.weightgraph.wiring import Block, Drawing
from tests.weightgraph.test_nino_layout import gpt2, llama

QWEN = llama() | {f"model.layers.0.self_attn.{part}_norm.weight": (2,) for part in "qk"}
NETWORKS = {
    "gpt2": (gpt2(), "gpt2", 2),
    "gpt2-deep": (gpt2(width=12, layers=5), "gpt2", 3),
    "llama": (llama(kv_heads=6), "llama", 6),
    "llama-shared": (llama(), "llama", 6),
    "llama-biases": (llama(biases=("q_proj", "k_proj", "v_proj", "o_proj")), "llama", 6),
    "qwen3": (QWEN, "qwen3", 6),
}
each_network = pytest.mark.parametrize(("shapes", "family", "heads"), NETWORKS.values(), ids=NETWORKS.keys())


def drawing(sizes, *blocks):
    """A wiring with ranges ``a``, ``b``, ... and blocks ``(source, target, shape, source_axes, target_axes)``."""
    draw = Drawing()
    for name, size in zip("abcdef", sizes, strict=False):
        draw.nodes(name, size)
    for source, target, shape, source_axes, target_axes in blocks:
        draw.edges(Block(source, target, shape, source_axes, target_axes, 1.0))
    return draw.wiring()


def star(leaves):
    return drawing((1, leaves), ("a", "b", (leaves,), (), (0,)))


def test_eigenvalues_of_a_star():
    assert torch.allclose(laplacian_eigenvalues(star(4)), torch.tensor([0.0, 1.0, 1.0, 1.0, 2.0]).double())


def test_direction_duplicates_and_loops_do_not_count():
    once = drawing((2, 3), ("a", "b", (2, 3), (0,), (1,)))
    often = drawing(
        (2, 3),
        ("a", "b", (2, 3), (0,), (1,)),
        ("b", "a", (2, 3), (1,), (0,)),
        ("a", "a", (2,), (0,), (0,)),
    )
    assert torch.equal(laplacian_eigenvalues(once), laplacian_eigenvalues(often))
    for method in ("dense", "quotient"):
        assert torch.equal(laplacian_positions(once, 2, method), laplacian_positions(often, 2, method))


@pytest.mark.parametrize("method", ["dense", "quotient"])
@pytest.mark.parametrize("k", [0, 1, 8])
def test_columns_that_do_not_exist_are_zero(method, k):
    positions = laplacian_positions(star(2), k, method)
    assert positions.shape == (3, k)
    assert positions.dtype == torch.float32
    assert not positions[:, 2:].any()


@pytest.mark.parametrize("method", ["dense", "quotient"])
def test_an_isolated_node_does_no_harm(method):
    wiring = drawing((2, 2, 1), ("a", "b", (2,), (0,), (0,)))
    assert laplacian_positions(wiring, 3, method).isfinite().all()


@pytest.mark.parametrize("method", ["dense", "quotient"])
def test_signs_are_fixed(method):
    positions = laplacian_positions(nino(gpt2(), "gpt2", 2), 6, method)
    largest = positions.abs() > (1 - 1e-5) * positions.abs().amax(dim=0)
    assert (positions.gather(0, largest.int().argmax(dim=0, keepdim=True)) > 0).all()
    assert torch.equal(positions, laplacian_positions(nino(gpt2(), "gpt2", 2), 6, method))


@each_network
@pytest.mark.parametrize("shifted", [False, True])
def test_quotient_has_the_smallest_eigenvalues(shapes, family, heads, shifted):
    wiring = nino(shapes, family, heads, shifted_residuals=shifted)
    vectors = laplacian_positions(wiring, 8, "quotient", torch.float64)
    values = laplacian_eigenvalues(wiring)[1:9]
    laplacian = matrix(wiring)
    below = values < 1 - 1e-6
    assert below.sum() >= 5
    torch.testing.assert_close(laplacian @ vectors[:, below], vectors[:, below] * values[below], atol=1e-10, rtol=0)
    gram = vectors.T @ vectors
    torch.testing.assert_close(gram, torch.diag(below.double()), atol=1e-10, rtol=0)


@each_network
def test_quotient_equals_dense_where_vectors_are_unique(shapes, family, heads):
    wiring = nino(shapes, family, heads)
    values = laplacian_eigenvalues(wiring)[:10]
    gaps = values.diff()
    unique = (gaps[:-1] > 1e-3) & (gaps[1:] > 1e-3)
    assert unique.sum() >= 3
    dense, quotient = (laplacian_positions(wiring, 8, method) for method in ("dense", "quotient"))
    torch.testing.assert_close(dense[:, unique], quotient[:, unique], atol=1e-6, rtol=0)


@each_network
def test_cells_are_equitable(shapes, family, heads):
    wiring = nino(shapes, family, heads, shifted_residuals=True)
    starts = equitable_cells(wiring)
    sizes = starts.diff()
    adjacency = (matrix(wiring) != 0).double().fill_diagonal_(0)
    counts = adjacency @ torch.eye(len(sizes), dtype=torch.float64).repeat_interleave(sizes, dim=0)
    assert torch.equal(counts, counts[starts[:-1]].repeat_interleave(sizes, dim=0))
    assert len(sizes) < wiring.num_nodes / 2


def test_shallow_networks_have_few_columns_in_the_quotient():
    shapes = {"0.weight": (5, 4), "1.weight": (6, 5), "2.weight": (3, 6)}
    dense, quotient = (laplacian_positions(nino(shapes), 4, method) for method in ("dense", "quotient"))
    torch.testing.assert_close(dense[:, :1], quotient[:, :1])
    assert dense[:, 1:].any(dim=0).all()
    assert not quotient[:, 1:].any()


def test_groups_that_are_not_intervals_are_taken_apart():
    grouped = drawing((6, 3), ("a", "b", (2, 3), (0, 1), (1,)))
    assert equitable_cells(grouped).tolist() == list(range(10))


def test_a_large_vocabulary_is_fast_and_small():
    wiring = nino(gpt2(width=768, layers=12, words=50257), "gpt2", num_heads=12)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    positions = laplacian_positions(wiring, 8)
    seconds, grown = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert positions.shape == (wiring.num_nodes, 8)
    assert positions.any(dim=0).all()
    assert seconds < 2
    assert grown < 300_000  # KiB


def matrix(wiring):
    """The Laplacian, entry by entry from its definition."""
    source, target = wiring.edge_index()
    adjacency = torch.zeros(wiring.num_nodes, wiring.num_nodes, dtype=torch.float64)
    adjacency[source, target] = adjacency[target, source] = 1
    adjacency.fill_diagonal_(0)
    degree = adjacency.sum(dim=1)
    return torch.eye(wiring.num_nodes, dtype=torch.float64) - adjacency / torch.outer(degree, degree).sqrt()
