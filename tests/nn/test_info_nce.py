"""InfoNCE of two views."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from graphlab.nn.info_nce import info_nce, info_nce_logits


def test_each_row_has_its_other_view_first_then_all_others_in_their_order() -> None:
    x = torch.randn(6, 4, dtype=torch.float64)
    logits, labels = info_nce_logits(x, 0.5)
    for row in range(6):
        other = (row + 3) % 6
        columns = [other, *(column for column in range(6) if column not in (row, other))]
        expected = torch.stack([F.cosine_similarity(x[row], x[column], dim=0) for column in columns]) / 0.5
        assert torch.allclose(logits[row], expected)
    assert labels.tolist() == [0] * 6
    assert torch.allclose(info_nce(x, 0.5), -logits.log_softmax(1)[:, 0].mean())


def test_gradients() -> None:
    assert torch.autograd.gradcheck(info_nce, [torch.randn(4, 3, dtype=torch.float64, requires_grad=True)])


def test_what_does_not_fit_is_refused() -> None:
    for x in (torch.randn(3, 2), torch.randn(0, 2), torch.randn(4)):
        with pytest.raises(ValueError, match="two views of n >= 1 examples"):
            info_nce(x)
    with pytest.raises(ValueError, match="temperature: expected a positive number"):
        info_nce(torch.randn(4, 2), 0.0)
