"""A process that keeps what it frees asks the kernel for no page twice, and for large ones where it gives them."""

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


LARGE = """
import sys
from trainer.process.allocator import freed_memory_kept, huge_pages_are_for_the_asking, keep_freed_memory
def held(field):
    with open("/proc/self/smaps_rollup") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) >> 10
def in_a_part():
    with freed_memory_kept():
        blocks = [bytearray(b"x" * (8 << 20)) for _ in range(32)]
        in_huge_pages = held("AnonHugePages")
        del blocks
    return in_huge_pages
first, second = in_a_part(), in_a_part()
left = held("Rss")
keep_freed_memory()
before = held("Rss")
keep_freed_memory()
print(huge_pages_are_for_the_asking(), first, second, left, before, held("Rss"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_a_part_works_in_huge_pages_again_and_again_and_leaves_no_memory_behind() -> None:
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    given, first, second, left, _, again = done.stdout.split()
    assert int(left) < 150, "MiB of the 256 stayed in the process"
    assert int(again) - int(left) < 40, "addresses took memory"
    if given != "True":
        pytest.skip("the kernel gives no huge pages to those who ask")
    assert min(int(first), int(second)) > 200, (first, second)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_a_limit_on_addresses_stands() -> None:
    program = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from trainer.process.allocator import keep_freed_memory
print(keep_freed_memory(), len(bytearray(1 << 30)) >> 20)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "1024"]
