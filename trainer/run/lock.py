"""One run a folder: a lock that dies with its holder."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from trainer.errors import ConfigError
from trainer.process.ranks import Ranks

LOCK_FILE = ".lock"
LOCK_WAIT_SECONDS = 60.0  # a killed run's ranks may still be writing their last checkpoint


@contextlib.contextmanager
def only_writer(out: Path, ranks: Ranks) -> Iterator[None]:
    """Hold the run's folder while the block runs; raises `ConfigError` where another run keeps holding it."""
    if not ranks.is_first:
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    path = out / LOCK_FILE
    with path.open("w") as file:
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise ConfigError(f"{out}: another run is writing here; end it or choose another out") from None
                time.sleep(0.5)
        yield
        path.unlink(missing_ok=True)
