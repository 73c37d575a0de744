"""Runs the small protocol as a program of its own: ``python -m tests.engine.runner FOLDER EPOCHS [KILL_AT_STEP]``."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from pathlib import Path

import torch

from graphlab.engine import Experiment, Means, train
from tests.engine import toy


class Killed(toy.Regression):
    """Kills its own process in the middle of a training step."""

    steps = 0
    last = -1

    def step(self, loss: torch.Tensor) -> None:
        type(self).steps += 1
        if self.steps == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        super().step(loss)


def main(folder: str, epochs: str, kill_at: str = "-1") -> None:
    faulthandler.dump_traceback_later(120, exit=True)  # instead of waiting for a process that is no more
    torch.set_num_threads(1)
    Killed.last = int(kill_at)
    config = toy.Config(epochs=int(epochs))
    with toy.registered(Killed):
        train(Experiment("toy-mlp", toy.Options(), config), [0, 1], Path(folder), means=Means(save_every=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
