"""A step's memory stays with its process, instead of going back to the kernel and coming again in the next step.

glibc gives blocks beyond a threshold back as soon as they are freed, and the free end of its heap too. A training step
on a CPU frees all of its activations and asks for as much again a moment later, so the kernel hands out and clears the
same pages at every step: a tenth of the sample's time (docs/benchmarks/training.md). What a process holds at its peak
is the same; it holds it between peaks as well.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

# of mallopt(3), as glibc's malloc.h numbers them
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
NEVER: Final = -1
LARGEST_KEPT: Final = 1 << 30
"""Bytes of a block that still goes back at once: such a hole in the heap might never be filled again."""
LARGEST_OF_OLD_GLIBC: Final = 32 << 20


def keep_freed_memory() -> bool:
    """Have malloc keep what this process frees; whether it does: where malloc is not glibc's, or somebody has set it
    by its environment, nothing is changed."""
    chosen = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
    if any(name in os.environ for name in chosen):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # macOS, musl, Windows
        return False
    kept = mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT) or mallopt(M_MMAP_THRESHOLD, LARGEST_OF_OLD_GLIBC)
    return bool(kept and mallopt(M_TRIM_THRESHOLD, NEVER))
