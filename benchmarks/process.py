"""Fresh interpreters to measure in, and the memory of the process that measures."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def child(*command: str) -> Any:
    """The JSON value that a fresh interpreter prints last."""
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        return {"error": (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1][:300]}
    return json.loads(result.stdout.splitlines()[-1])


def peak_megabytes() -> float:
    """The largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def proc_status() -> dict[str, float]:
    """Memory figures of this process in MB: resident, of that anonymous and file pages, and the peak (Linux only)."""
    fields = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {field[0].rstrip(":"): int(field[1]) / 1e3 for field in fields if field[-1] == "kB"}
