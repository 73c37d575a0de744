"""Runs that are killed, and runs of several processes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graphlab.engine import Experiment, Means, read_summary, train
from graphlab.engine.folder import read_log
from tests.engine import toy

ROOT = Path(__file__).parents[2]
EPOCHS, STEPS = 12, 4  # steps an epoch


def _program(folder, *arguments):
    return [sys.executable, "-m", "tests.engine.runner", str(folder), str(EPOCHS), *map(str, arguments)]


def _experiment():
    return Experiment("toy-mlp", toy.Options(), toy.Config(epochs=EPOCHS))


def _killed_at_a_step(folder, step):
    done = subprocess.run(_program(folder, step), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_run_killed_at_a_random_step_ends_bit_for_bit_as_one_that_was_not(tmp_path):
    step = random.SystemRandom().randrange(1, 2 * EPOCHS * STEPS)
    _killed_at_a_step(tmp_path / "killed", step)
    expected = train(_experiment(), [0, 1], tmp_path / "whole", means=Means(save_every=0))
    got = train(_experiment(), [0, 1], tmp_path / "killed", means=Means(save_every=0))
    toy.assert_same_runs(tmp_path / "whole", tmp_path / "killed", expected, got)


def test_a_run_killed_at_a_random_moment_ends_bit_for_bit_as_one_that_was_not(tmp_path):
    """The moment may lie anywhere: in the writing of a checkpoint, of the log, of the results."""
    killed = subprocess.Popen(_program(tmp_path / "killed"), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "killed" / "seed-0" / "log.jsonl"
    while not log.exists() and killed.poll() is None:
        time.sleep(0.001)
    time.sleep(random.SystemRandom().uniform(0, 1))
    killed.kill()
    killed.communicate()
    assert log.exists()
    expected = train(_experiment(), [0, 1], tmp_path / "whole", means=Means(save_every=0))
    got = train(_experiment(), [0, 1], tmp_path / "killed", means=Means(save_every=0))
    toy.assert_same_runs(tmp_path / "whole", tmp_path / "killed", expected, got)


def _two_processes(folder, *arguments):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command = [*launcher, *_program(folder, *arguments)[2:]]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)


@pytest.mark.slow
def test_two_processes_train_one_model_and_can_be_killed(tmp_path):
    done = _two_processes(tmp_path / "whole")
    assert done.returncode == 0, done.stderr
    expected = read_summary(tmp_path / "whole")
    assert expected.config["processes"] == 2
    assert [run.epochs for run in expected.runs] == [EPOCHS, EPOCHS]
    log = read_log(tmp_path / "whole" / "seed-0" / "log.jsonl")
    assert [line["epoch"] for line in log] == list(range(1, EPOCHS + 1))
    assert log[-1]["train_loss"] < log[0]["train_loss"]
    alone = train(_experiment(), [0], tmp_path / "alone", means=Means(save_every=0))
    assert alone.runs[0].parameters == expected.runs[0].parameters
    assert alone.runs[0].selected != expected.runs[0].selected  # half as many steps, of twice as many samples

    assert _two_processes(tmp_path / "killed", 2 * 5 + 1).returncode != 0  # two steps an epoch for each of them
    assert 0 < len(read_log(tmp_path / "killed" / "seed-0" / "log.jsonl")) < EPOCHS
    done = _two_processes(tmp_path / "killed")
    assert done.returncode == 0, done.stderr
    toy.assert_same_runs(tmp_path / "whole", tmp_path / "killed", expected, read_summary(tmp_path / "killed"))
