"""One run a folder: a lock that dies with its holder.

The lock file lies with the checkpoints, which it guards, and stays there: were it removed, a run that waited for it and
one that came later would each hold a lock of their own. Where somebody else removes it, or moves the checkpoints away,
whoever waits takes the file that has its name by then (`filelock` compares them), and the holder takes it again before
it writes its next checkpoint, or ends where another run was faster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from trainer.errors import ConfigError
from trainer.process.ranks import Ranks
from trainer.run.folder import CHECKPOINTS

LOCK_FILE = ".lock"
LOCK_WAIT_SECONDS = 60.0  # a killed run's ranks may still be writing their last checkpoint
POLL_SECONDS = 0.5


class RunLock:
    """The first rank's hold on a run's folder; `renew` is all that others do with it."""

    def __init__(self, out: Path, *, holds: bool) -> None:
        self._out, self._holds = out, holds
        self._path = out / CHECKPOINTS / LOCK_FILE
        self._locks: list[FileLock] = []
        self._inode: tuple[int, int] | None = None

    def acquire(self, seconds: float) -> None:
        """Wait for the lock; raises `ConfigError` where another run keeps holding it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._path)
        try:
            lock.acquire(timeout=seconds, poll_interval=POLL_SECONDS)
        except Timeout:
            raise ConfigError(f"{self._out}: another run is writing here; end it or choose another out") from None
        self._locks.append(lock)
        self._inode = self._there()

    def renew(self) -> None:
        """Take the lock again where its file is not there any more; raises `ConfigError` where another run has it."""
        if self._holds and self._there() != self._inode:
            self.acquire(0.0)

    def release(self) -> None:
        """Let others in."""
        for lock in self._locks:
            lock.release()

    def _there(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino


@contextlib.contextmanager
def only_writer(out: Path, ranks: Ranks) -> Iterator[RunLock]:
    """Hold the run's folder while the block runs; raises `ConfigError` where another run keeps holding it."""
    lock = RunLock(out, holds=ranks.is_first)
    if ranks.is_first:
        lock.acquire(LOCK_WAIT_SECONDS)
    try:
        yield lock
    finally:
        lock.release()
