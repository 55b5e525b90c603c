"""Files mapped into memory, kept from one task of a worker to the next.

A page that was touched once costs nothing the next time, so a worker's tasks share their maps. But a worker may outlive
a build, and another build may write other files at the same paths: so a map is used again only while its path leads to
the very file that was mapped, and a task lets go of all that it does not need itself (a map keeps a deleted file's disk
space taken).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.base.errors import ShardError


class _Map(NamedTuple):
    identity: tuple[int, int, int, int]
    bytes: memoryview


_kept: dict[Path, _Map] = {}
"""Never changed, only replaced: tasks in threads of one process may each read it."""


def mapped(paths: Sequence[Path]) -> list[memoryview]:
    """The files' bytes, and no other file's from here on. Raises `ShardError` where there is none."""
    global _kept
    before, maps = _kept, {}
    for path in dict.fromkeys(paths):
        try:
            identity = _identity(path.stat())
            earlier = before.get(path)
            maps[path] = earlier if earlier and earlier.identity == identity else _map(path)
        except OSError as error:
            raise ShardError(f"{path}: cannot be read ({error}); run again, the shuffle goes on from there") from None
    _kept = maps
    return [maps[path].bytes for path in paths]


def release() -> None:
    """Let go of the maps that this process keeps."""
    global _kept
    _kept = {}


def _map(path: Path) -> _Map:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if status.st_size else b"")
    return _Map(_identity(status), view)


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    """What tells a file from another that took its path."""
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
