"""Linear warm-up."""

from __future__ import annotations

import pytest
import torch

from graphlab.engine.warmup import linear_warmup


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_the_rate_rises_to_its_value_and_stays(steps: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    schedule = linear_warmup(optimizer, steps)
    for step in range(6):
        assert optimizer.param_groups[0]["lr"] == 0.5 * min(1, (step + 1) / max(steps, 1))
        optimizer.step()
        schedule.step()
