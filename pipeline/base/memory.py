"""How much memory there is: it decides how the shuffle reads its token stores, and is said where it ran out."""

from __future__ import annotations

from trainer.process.cgroup import limits


def available_memory() -> int:
    """Bytes the page cache can take up: what the system says is available, within a container's limit."""
    import psutil

    return min([int(psutil.virtual_memory().available), *_container_limit()])


def address_limit() -> int | None:
    """Bytes that this process may map (`ulimit -v`); None where there is no limit, or no such thing."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def _container_limit() -> list[int]:
    """Limits of control groups, where there are any: page cache counts towards them, and psutil does not know them."""
    found = limits("memory.max", "memory", "memory.limit_in_bytes")
    return [int(words[0]) for words in found if words[0].isdigit()]
