"""What a run ran on: versions, device, command line, the state of the sources."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import graphlab

_PACKAGES = ("graphlab-torch", "torch", "torch-geometric", "lightning-fabric", "numpy", "scipy", "numba", "triton")


def environment(device: torch.device, precision: str, processes: int) -> dict[str, Any]:
    """A JSON object that says what the present process runs on, and from which sources."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.orig_argv),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "device": _described(device),
        "precision": precision,
        "processes": processes,
        "threads": torch.get_num_threads(),
        "git": {"graphlab": git_state(Path(graphlab.__file__).parent), "here": git_state(Path.cwd())},
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit that the folder is at and the files that differ from it; None outside a repository or without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", ".")
    if commit is None or changed is None:
        return None
    return {"commit": commit.strip(), "changed": [line[3:] for line in changed.splitlines()]}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _described(device: torch.device) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
