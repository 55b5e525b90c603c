"""A lock between processes and threads that dies with its holder.

It is an flock on a file that stays (`filelock`): the kernel frees it when the holder is killed, so no stale lock is
ever left behind. The holder's process id stands in the file, for whoever waits.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.2
SAY_EVERY_SECONDS: Final = 10.0


@contextmanager
def exclusive(path: Path, purpose: str) -> Iterator[None]:
    """Hold the lock file `path`, waiting for whoever has it and saying so in the log."""
    lock = _lock(path)
    patience = 0.0
    while not lock.is_locked:
        try:
            lock.acquire(timeout=patience, poll_interval=POLL_SECONDS)
        except Timeout:
            log.info("waiting for process %s, which is %s", _holder(path), purpose)
            patience = SAY_EVERY_SECONDS
    try:
        path.write_text(str(os.getpid()), encoding="ascii")
        yield
    finally:
        lock.release()


@contextmanager
def exclusive_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock if nobody else does; yields whether it is held."""
    lock = _lock(path)
    with contextlib.suppress(Timeout):
        lock.acquire(timeout=0)
    try:
        yield lock.is_locked
    finally:
        lock.release()


def _lock(path: Path) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, thread_local=False)


def _holder(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace").strip() or "?"
