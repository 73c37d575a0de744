"""Linear warm-up of the learning rate."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def linear_warmup(optimizer: Optimizer, steps: int) -> LambdaLR:
    """``lr min(1, (s + 1) / steps)`` in optimiser step s = 0, 1, ...

    Args:
        optimizer: Whose learning rates are those after the warm-up.
        steps: Until they are reached; 0 or 1 for none.

    Returns:
        A schedule to be stepped after each step of the optimiser.
    """
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(steps, 1)))
