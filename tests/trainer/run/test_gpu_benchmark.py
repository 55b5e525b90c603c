"""The script for a GPU runs unattended to its table; without one, at toy sizes on a CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_it_prints_one_table_to_the_last_line() -> None:
    words = [sys.executable, "-m", "benchmarks.training", "gpu", "--toy", "--steps", "2"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    title, head, *rows, last = done.stdout.splitlines()
    assert "toy sizes" in title
    assert head.split() == ["model", "micro-batch", "tokens/s", "MFU", "GiB"]
    assert [row[:18].strip() for row in rows] == ["GPT-2 124M", "GPT-2 124M", "dense twin", "8 experts, top 2"]
    assert "times its twin's time" in last
