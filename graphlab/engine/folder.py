"""The files of a run folder: which there are, and how they are written.

::

    runs/dagnn-cora/
        config.json         what is trained, all settings
        environment.json    one entry for each time that it was started: versions, device, command line, git
        seed-0/
            log.jsonl               a line an epoch
            state.safetensors       to go on from; gone when the run has ended
            result.json             the figures at the selected epoch
            model.safetensors       the weights at the selected epoch; with config.json, if the model is a `Pretrained`
            tensorboard/            if asked for
        results.json, results.md    all runs so far: each figure, mean, deviations
        curves.png
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graphlab.checkpoint import CheckpointError
from graphlab.checkpoint.atomic import atomic_file
from graphlab.checkpoint.strict_json import read_object
from graphlab.engine.errors import EngineError
from graphlab.engine.experiment import Experiment, differences

CONFIG = "config.json"
ENVIRONMENT = "environment.json"
LOG = "log.jsonl"
STATE = "state.safetensors"
RESULT = "result.json"
WEIGHTS = "model.safetensors"
RESULTS = "results.json"
TABLE = "results.md"
CURVES = "curves.png"
LOCK = ".lock"


def seed_folder(folder: Path, seed: int) -> Path:
    return folder / f"seed-{seed}"


def open_folder(folder: Path, experiment: Experiment, precision: str, processes: int) -> None:
    """Make the folder of a new experiment, or make sure that the one there is of this experiment.

    Raises:
        EngineError: it is of another (the message lists every difference), or holds something else.
    """
    config = {**experiment.document(), "precision": precision, "processes": processes}
    if (folder / CONFIG).exists():
        if different := differences(read_object(folder / CONFIG, "run's configuration"), config):
            raise EngineError(
                f"{folder} holds another experiment, which cannot be resumed with these settings. It differs in\n  "
                + "\n  ".join(different)
                + "\nGive another folder, or the settings of the first."
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EngineError(f"{folder} exists and is no run folder (it has no {CONFIG})")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, config)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from running in the folder; the lock goes with this process, however it ends.

    Raises:
        EngineError: another process is running in it.
    """
    if sys.platform == "win32":  # it has no such locks
        yield
        return
    import fcntl

    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EngineError(f"{folder} is in use: another process trains in it") from None
        yield


def write_json(path: Path, document: Any) -> None:
    """Write JSON, atomically; numbers that JSON lacks (NaN, infinity) become null."""
    write_text(path, json.dumps(finite(document), indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    with atomic_file(path) as file:
        file.write(text.encode())


def finite(value: Any) -> Any:
    """The document with None in the place of NaN and infinities."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def add_environment(folder: Path, entry: dict[str, Any]) -> None:
    """Note one more start of the experiment."""
    path = folder / ENVIRONMENT
    starts = read_object(path, "list of starts")["starts"] if path.exists() else []
    write_json(path, {"starts": [*starts, entry]})


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last line that was cut off when the process died is left out.

    Raises:
        CheckpointError: another line is not a JSON object.
    """
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
    read = []
    for number, line in enumerate(lines, 1):
        try:
            read.append(dict(json.loads(line)))
        except (ValueError, TypeError) as error:
            if number == len(lines):
                break
            raise CheckpointError(path, f"line {number} is not a JSON object: {error}") from error
    return read


def cut_log(path: Path, epochs: int) -> None:
    """Leave only the first ``epochs`` epochs in the log: what came after the checkpoint happens again."""
    kept = [line for line in read_log(path) if line["epoch"] <= epochs]
    write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
