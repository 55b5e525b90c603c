"""Progress of a long stage as log lines: how much, how fast, never more often than every two seconds."""

from __future__ import annotations

import logging
import time
from typing import Final

SECONDS: Final = 2.0


class Progress:
    """Counts items and bytes and logs them; `finish` always logs a last line."""

    def __init__(self, log: logging.Logger, verb: str, items: str) -> None:
        self._log, self._verb, self._items = log, verb, items
        self._start = self._last = time.monotonic()
        self._count = self._bytes = 0

    def add(self, count: int, size: int) -> None:
        """Count `count` more items and `size` more bytes."""
        self._count += count
        self._bytes += size
        now = time.monotonic()
        if now - self._last >= SECONDS:
            self._last = now
            self._say(now)

    def finish(self) -> None:
        """Log the total."""
        self._say(time.monotonic())

    def _say(self, now: float) -> None:
        size = self._bytes / 1e6
        rate = size / max(now - self._start, 1e-3)
        self._log.info("%s %s %s · %.1f MB · %.1f MB/s", self._verb, f"{self._count:,}", self._items, size, rate)
