"""How much memory there is for files that are read more than once: decides how the shuffle reads its token stores."""

from __future__ import annotations

import os
from pathlib import Path


def available_memory() -> int:
    """Bytes the page cache can take up: what the system says is available, within a container's limit.

    Half of the machine's memory where neither is told (not Linux).
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
        sizes += _container_limit()
        return min(sizes)
    except OSError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _container_limit() -> list[int]:
    """The control group's limit, where there is one: page cache counts towards it."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # version 2, version 1
        path = Path("/sys/fs/cgroup") / name
        if path.exists() and (text := path.read_text().strip()).isdigit():
            return [int(text)]
    return []
