"""Kendall's tau and R^2."""

from __future__ import annotations

import pytest
import torch

from graphlab.metrics import kendall_tau, r2_score


@pytest.mark.parametrize("seed", range(20))
def test_tau_b_by_its_definition(seed):
    draws = torch.Generator().manual_seed(seed)
    predicted, true = torch.randint(-3, 4, (2, 2 + seed % 9), generator=draws).float()
    above = torch.triu_indices(len(true), len(true), 1)
    first, second = ((own[above[0]] - own[above[1]]).sign() for own in (predicted, true))
    untied = (first != 0).sum() * (second != 0).sum()
    expected = float((first * second).sum() / untied.sqrt()) if untied else 0.0
    assert kendall_tau(predicted, true) == pytest.approx(expected, abs=1e-6)


def test_r2():
    true = torch.tensor([1.0, 2.0, 4.0])
    assert r2_score(true, true) == 1
    assert r2_score(torch.full((3,), 7 / 3), true) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("metric", [kendall_tau, r2_score])
def test_what_cannot_be_compared_is_refused(metric):
    with pytest.raises(ValueError, match="two vectors of one length"):
        metric(torch.zeros(3), torch.zeros(2))
    with pytest.raises(ValueError, match="two vectors"):
        metric(torch.zeros(1), torch.zeros(1))
    with pytest.raises(ValueError, match="true: number 1 is NaN"):
        metric(torch.zeros(2), torch.tensor([0.0, float("nan")]))
