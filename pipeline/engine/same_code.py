"""Whether a worker elsewhere runs what the run itself does: the same Python, code and libraries.

Other versions may write other bytes, and an artifact's name would not show it. So each worker process compares its own
with the run's before its first part.
"""

from __future__ import annotations

import functools
import hashlib
import platform
import socket
import sys
from pathlib import Path
from typing import Final

from pipeline.base.errors import EngineError
from pipeline.store.provenance import libraries

ROOT: Final = Path(__file__).parents[2]
CODE: Final = ("pipeline", "trainer")
Versions = tuple[tuple[str, str], ...]
"""Name and version of everything that is compared; hashable."""


@functools.cache
def versions() -> Versions:
    """What decides the bytes that this process would write."""
    python = "{}.{}".format(*sys.version_info)
    return (("Python", python), ("machine", platform.machine()), *libraries().items(), ("code", code_hash(ROOT)))


def code_hash(root: Path) -> str:
    """A hash over the sources of Squeeze, which lie under `root`: a commit would not tell what was changed since."""
    digest = hashlib.sha256()
    for file in sorted(file for room in CODE for file in (root / room).rglob("*.py")):
        digest.update(f"{file.relative_to(root).as_posix()}\n".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


@functools.lru_cache(maxsize=1)
def require_same(expected: Versions) -> None:
    """Raise EngineError naming what differs here from what the run has."""
    here = dict(versions())
    differing = [
        f"{name} {here.get(name, 'missing')}, not {version}" for name, version in expected if here.get(name) != version
    ]
    if differing:
        raise EngineError(
            f"the worker on {socket.gethostname()} has {'; '.join(differing)}, as the run has: install the same "
            "versions of everything on every node, from the same checkout or wheel and constraints.txt"
        )
