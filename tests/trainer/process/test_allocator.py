"""A process that keeps what it frees asks the kernel for no page twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

PROGRAM = """
import resource, torch
from trainer.process.allocator import keep_freed_memory
def step():
    blocks = [torch.ones(4_000_000) for _ in range(4)]  # 16 MB each: more than glibc keeps by itself
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
step()
plain = faults()
kept = keep_freed_memory()
step()
print(plain, min(faults() for _ in range(4)), kept)  # a small block may lie in the way of one step
"""


def _run(environment: Mapping[str, str] | None = None) -> tuple[int, int, str]:
    """Page faults of a step before and after the call, and what it said."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **(environment or {})}
    )
    plain, after, kept = done.stdout.split()
    return int(plain), int(after), kept


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_a_step_of_a_process_that_keeps_its_memory_asks_for_next_to_no_pages() -> None:
    plain, after, kept = _run()
    assert kept == "True"
    assert plain > 10 * max(after, 1), (plain, after)


def test_what_the_environment_says_of_malloc_stands() -> None:
    _, _, kept = _run({"MALLOC_TRIM_THRESHOLD_": "131072"})
    assert kept == "False"
