"""Progress of long work as log lines: how much, of how much, how fast, at most one every two seconds."""

from __future__ import annotations

import logging
import time
from typing import Final

SECONDS: Final = 2.0
UNITS: Final = {"MB": 1e6, "kB": 1e3, "Mtok": 1e6, "ktok": 1e3}


class Progress:
    """Counts finished items and their size, in bytes or tokens, and logs them."""

    def __init__(
        self, log: logging.Logger, label: str, items: str = "", *, total: int | None = None, unit: str = "MB"
    ) -> None:
        """label: what is being done, such as `wiki: encoded`; items: what is counted; total: of how many.

        unit: of the sizes; MB and kB are of bytes, Mtok and ktok of tokens.
        """
        self._log, self._label, self._items, self._total, self._unit = log, label, items, total, unit
        self._begun = self._said = time.monotonic()
        self._count = self._size = 0

    def add(self, count: int, size: int) -> None:
        """Count `count` more items, of `size` bytes or tokens together; the last of `total` always logs a line."""
        self._count += count
        self._size += size
        if time.monotonic() - self._said >= SECONDS or self._count == self._total:
            self.finish()

    def finish(self) -> None:
        """Log a line now."""
        self._said = time.monotonic()
        of = "" if self._total is None else f" of {self._total:,}"
        amount = self._size / UNITS[self._unit]
        rate = amount / max(self._said - self._begun, 1e-3)
        words = " ".join(word for word in (self._label, f"{self._count:,}{of}", self._items) if word)
        self._log.info("%s · %.1f %s · %.1f %s/s", words, amount, self._unit, rate, self._unit)
