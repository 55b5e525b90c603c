"""One run a folder: a lock that dies with its holder.

The lock file lies with the checkpoints, which it guards, and stays there: were it removed, a run that waited for it and
one that came later would each hold a lock of their own.
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


@contextlib.contextmanager
def only_writer(out: Path, ranks: Ranks) -> Iterator[None]:
    """Hold the run's folder while the block runs; raises `ConfigError` where another run keeps holding it."""
    if not ranks.is_first:
        yield
        return
    (out / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(out / CHECKPOINTS / LOCK_FILE).acquire(timeout=LOCK_WAIT_SECONDS, poll_interval=POLL_SECONDS)
    except Timeout:
        raise ConfigError(f"{out}: another run is writing here; end it or choose another out") from None
    with lock:
        yield
