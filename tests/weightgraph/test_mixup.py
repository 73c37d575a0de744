"""MixUp of networks, and of their labels."""

from __future__ import annotations

import pytest
import torch

from graphlab.weightgraph import augment
from tests.nn.dws.stacks import close, same, stack

LAYOUT = (2, 6, 5, 1)
A, B = stack(LAYOUT, 4, 1, 0), stack(LAYOUT, 4, 1, 1)
ALPHA = torch.tensor([0.0, 0.3, 0.5, 1.0], dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_mixture_lies_between_its_networks() -> None:
    mixed = augment.mixup(A, B, alpha=ALPHA)
    for row, share in enumerate(ALPHA.tolist()):
        expected = A.map(lambda ours, theirs: share * ours[row] + (1 - share) * theirs[row], B)  # noqa: B023
        assert close(mixed.x.map(lambda own: own[row]), expected, 1e-12)  # noqa: B023
    assert torch.equal(mixed.weight, ALPHA)
    nearer = augment.mixup_weights_only(A, B, alpha=ALPHA)
    assert same(nearer.x, mixed.x)
    assert nearer.weight.tolist() == [0, 0, 1, 1]


def test_permuted_and_aligned_mixtures_end_at_permuted_networks() -> None:
    orders = A.random_permutations(seeded())
    assert close(augment.mixup_permuted(A, B, alpha=torch.tensor(1.0), permutations=orders).x, A.permute(orders), 1e-12)
    aligned = augment.mixup_aligned(A, B, seeded(), alpha=torch.tensor(0.0))
    assert aligned.alignment is not None
    assert close(aligned.x, B.permute(aligned.alignment.permutations), 1e-12)
    assert bool((aligned.alignment.after >= aligned.alignment.before).all())


def test_a_network_and_its_permuted_copy_mix_to_itself() -> None:
    a = stack((2, 8, 1), 3)
    mixed = augment.mixup_aligned(a, a.permute(a.random_permutations(seeded())), seeded(), between=(0.2, 0.8))
    assert close(mixed.x, a)
    assert bool(((mixed.weight >= 0.2) & (mixed.weight <= 0.8)).all())


def test_a_network_mixed_with_itself_keeps_its_label() -> None:
    mixed = augment.mixup_self(A, seeded())
    assert mixed.weight.tolist() == [1] * 4
    assert not same(mixed.x, A)


def test_labels() -> None:
    mixed = augment.mixed_labels(torch.tensor([0, 1]), torch.tensor([2, 1]), torch.tensor([0.25, 0.5]), 3)
    assert torch.allclose(mixed, torch.tensor([[0.25, 0, 0.75], [0, 1, 0]]))
    smooth = augment.label_smoothing(torch.tensor([1, 0]), 4, 0.2)
    assert torch.allclose(smooth, torch.tensor([[0.05, 0.85, 0.05, 0.05], [0.85, 0.05, 0.05, 0.05]]))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got sizes \[2, 6, 5, 1\] and \[2, 6, 4, 1\]"):
        augment.mixup(A, stack((2, 6, 4, 1), 4))
    with pytest.raises(ValueError, match="alpha: expected 1 or 4 numbers"):
        augment.mixup(A, B, alpha=torch.zeros(3))
    with pytest.raises(ValueError, match="between: expected 0 <= low <= up <= 1"):
        augment.mixup_aligned(A, B, between=(0.5, 0.2))
    with pytest.raises(ValueError, match="expected labels from 0 to 2, got 3"):
        augment.label_smoothing(torch.tensor([0, 3]), 3)
    with pytest.raises(ValueError, match="expected labels from 0 to 2, got -1"):
        augment.mixed_labels(torch.tensor([0]), torch.tensor([-1]), torch.tensor([0.5]), 3)
    with pytest.raises(ValueError, match="smoothing: expected a number"):
        augment.label_smoothing(torch.tensor([0]), 3, 1.5)
