"""The generators that a run draws from: torch's (every device), numpy's and Python's."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

_BETWEEN_PROCESSES = 1_000_003


def seed_all(seed: int, process: int = 0) -> None:
    """Seed torch on every device, numpy's and Python's global generators.

    Args:
        seed: not negative. On process 0 torch's generator is exactly as after ``torch.manual_seed(seed)``.
        process: other processes draw other numbers.
    """
    mixed = seed + process * _BETWEEN_PROCESSES
    torch.manual_seed(mixed)
    np.random.seed(mixed % 2**32)
    random.seed(mixed)


def generator_states() -> dict[str, Any]:
    """The state of every generator that :func:`seed_all` seeds, for :func:`set_generator_states`."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"torch": torch.get_rng_state(), "cuda": cuda, "numpy": np.random.get_state(), "python": random.getstate()}


def set_generator_states(states: dict[str, Any]) -> None:
    """Put every generator back to where it was; those of CUDA only on a machine with as many devices."""
    torch.set_rng_state(states["torch"])
    if len(states["cuda"]) == torch.cuda.device_count() > 0:
        torch.cuda.set_rng_state_all(states["cuda"])
    np.random.set_state(states["numpy"])
    random.setstate(states["python"])
