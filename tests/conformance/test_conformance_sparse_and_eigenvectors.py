"""The modes coo and laplacian_eigenvectors."""

import math

import pytest
import torch
from comparing import compare_all

COO = [
    {"match": "output/*/value", "mode": "coo", "index": "{dir}/index", "atol": 1e-3},
    {"match": "*", "mode": "carried"},
]
MATRIX = ([[0, 1, 2], [1, 2, 0]], [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("index", "value", "passes"),
    [
        (*MATRIX, True),
        ([[2, 0, 1], [0, 1, 2]], [3.0, 1.0, 2.0], True),
        ([[0, 1, 2, 1], [1, 2, 0, 2]], [1.0, 0.5, 3.0, 1.5], True),
        ([[0, 1, 2, 0], [1, 2, 0, 0]], [1.0, 2.0, 3.0, 0.0], True),
        ([[0, 1, 2, 0], [1, 2, 0, 0]], [1.0, 2.0, 3.0, 0.1], False),
        ([[0, 1], [1, 2]], [1.0, 2.0], False),
        ([[0, 1, 0], [1, 2, 2]], [1.0, 2.0, 3.0], False),
        ([[0, 1, 2], [1, 2, 0]], [1.0, 2.0, math.nan], False),
        ([[0, 1, 2], [1, 2, 0]], [1.0, 2.0], False),
        ([0, 1, 2], [1.0, 2.0, 3.0], False),
    ],
)
def test_coo(index, value, passes):
    answer = {"output/a/index": index, "output/a/value": value}
    reference = dict(zip(answer, MATRIX, strict=True))
    outcome = {c.name: c.passed for c in compare_all(COO, answer, reference)}
    assert outcome == {"output/a/index": True, "output/a/value": passes}


def test_coo_names_the_entry_and_needs_its_index():
    reference = {"output/a/index": MATRIX[0], "output/a/value": MATRIX[1]}
    outcome = compare_all(COO, {**reference, "output/a/value": [1.0, 2.5, 3.0]}, reference)
    assert "[1, 2]: by 0.5" in outcome[1].reason
    assert "missing" in compare_all(COO, {"output/a/value": MATRIX[1]}, reference)[1].reason


def cycle_eigenvectors(n):
    """The edges of a cycle, with a loop and a repetition, and its Laplacian's eigenvectors after the first."""
    nodes = torch.arange(n)
    edges = torch.cat([torch.stack([nodes, nodes.roll(-1)]), torch.tensor([[0, 0], [0, 1]])], dim=1)
    adjacency = torch.zeros(n, n, dtype=torch.float64)
    adjacency[nodes, nodes.roll(-1)] = 0.5
    _, vectors = torch.linalg.eigh(torch.eye(n, dtype=torch.float64) - adjacency - adjacency.T)
    return edges, vectors[:, 1:4]


def compare_vectors(vectors, columns):
    edges, recorded = cycle_eigenvectors(7)
    rules = [
        {"match": "*", "mode": "laplacian_eigenvectors", "edges": "input/edges", "columns": columns, "atol": 1e-4},
    ]
    (comparison,) = compare_all(rules, {"output/v": vectors}, {"output/v": recorded, "input/edges": edges})
    return comparison


def test_laplacian_eigenvectors():
    _, vectors = cycle_eigenvectors(7)
    assert compare_vectors(vectors * torch.tensor([1, -1, 1]), [0, 1, 2]).passed
    turned = vectors.clone()  # eigenvalues come in pairs: columns 0 and 1 span one eigenspace
    turned[:, 0], turned[:, 1] = (vectors[:, 0] + vectors[:, 1]) / 2**0.5, (vectors[:, 0] - vectors[:, 1]) / 2**0.5
    assert compare_vectors(turned, [2]).passed
    assert "up to sign" in compare_vectors(turned, [0, 2]).reason


def test_wrong_eigenvectors():
    _, vectors = cycle_eigenvectors(7)
    assert "orthonormal" in compare_vectors(vectors * 1.01, []).reason
    assert "orthonormal" in compare_vectors(vectors[:, [0, 0, 2]], [0, 2]).reason
    assert "not eigenvectors" in compare_vectors(torch.eye(7, dtype=torch.float64)[:, :3], []).reason
    assert "shape" in compare_vectors(vectors[:, :2], []).reason
    assert "finite" in compare_vectors(vectors / 0, []).reason
