"""A lock between processes that dies with its holder.

`fcntl.lockf` locks belong to the process: a forked pool worker does not inherit them, and the kernel frees them when
the holder is killed, so no stale lock is ever left behind. Being per process, they do not keep two threads apart;
a table of thread locks in this module does.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.2
SAY_EVERY_SECONDS: Final = 10.0

_threads: dict[str, threading.Lock] = defaultdict(threading.Lock)


@contextmanager
def exclusive(path: Path, purpose: str) -> Iterator[None]:
    """Hold the lock file `path`, waiting for whoever has it and saying so in the log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _threads[str(path.absolute())], path.open("a+") as file:
        said = -SAY_EVERY_SECONDS
        while not _try(file.fileno()):
            if time.monotonic() - said >= SAY_EVERY_SECONDS:
                file.seek(0)
                log.info("waiting for process %s, which is %s", file.read().strip() or "?", purpose)
                said = time.monotonic()
            time.sleep(POLL_SECONDS)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            fcntl.lockf(file.fileno(), fcntl.LOCK_UN)


@contextmanager
def exclusive_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock if nobody else does; yields whether it is held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    thread = _threads[str(path.absolute())]
    if not thread.acquire(blocking=False):
        yield False
        return
    try:
        with path.open("a+") as file:
            held = _try(file.fileno())
            yield held
            if held:
                fcntl.lockf(file.fileno(), fcntl.LOCK_UN)
    finally:
        thread.release()


def _try(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
