"""A short run of the fuzzer in `benchmarks/fuzz_checkpoint.py`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_only_checkpoint_errors_escape_and_a_third_passes_the_header():
    cases = 300
    command = [sys.executable, "-m", "benchmarks.fuzz_checkpoint", "--cases", str(cases), "--seed", "7"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "0 failures" in process.stdout
    (totals,) = re.findall(r"^all +(\d+) +(\d+) +(\d+) +(\d+)$", process.stdout, re.MULTILINE)
    before, *after = map(int, totals)
    assert before + sum(after) == cases
    assert sum(after) >= cases / 3
    assert after[-1] >= cases / 10
