"""How much memory there is for files that are read more than once: decides how the shuffle reads its token stores."""

from __future__ import annotations

from pathlib import Path
from typing import Final

CGROUP: Final = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes the page cache can take up: what the system says is available, within a container's limit."""
    import psutil

    return min([int(psutil.virtual_memory().available), *_container_limit()])


def _container_limit() -> list[int]:
    """The control group's limit, where there is one: page cache counts towards it, and psutil does not know it."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # version 2, version 1
        path = CGROUP / name
        if path.exists() and (text := path.read_text().strip()).isdigit():
            return [int(text)]
    return []
