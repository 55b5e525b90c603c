"""Progress of long work as log lines: how much, of how much, how fast, how long yet; few, however long it takes."""

from __future__ import annotations

import logging
import time
from typing import Final

from pipeline.base.numbers import duration

SECONDS: Final = 2.0
"""Between two lines, early in the work."""
SHARE: Final = 0.02
"""Of the time the work has taken, where that is longer: work of days logs hundreds of lines, not thousands."""
UNITS: Final = {"MB": 1e6, "kB": 1e3, "Mtok": 1e6, "ktok": 1e3}
PROGRESS: Final = "progress"
"""Name under which a log record says that the next line will replace it: a terminal need not show every one."""


def longest_silence(seconds: float, elapsed: float) -> float:
    """Seconds that may pass until the next line: so many at first, and a share of the time it has taken later on."""
    return max(seconds, SHARE * elapsed)


class Progress:
    """Counts finished items and their size, in bytes or tokens, and logs them."""

    def __init__(
        self,
        log: logging.Logger,
        label: str,
        items: str = "",
        *,
        total: int | None = None,
        size: int | None = None,
        unit: str = "MB",
    ) -> None:
        """label: what is being done, such as `wiki: encoded`; items: what is counted; total: of how many.

        size: of all that is to come, where it is known. unit: of the sizes; MB and kB are of bytes, Mtok and ktok of
        tokens.
        """
        self._log, self._label, self._items, self._total, self._unit = log, label, items, total, unit
        self._whole = size
        self._begun = self._said = time.monotonic()
        self._count = self._size = 0

    def add(self, count: int, size: int) -> None:
        """Count `count` more items, of `size` bytes or tokens together; the last of `total` always logs a line."""
        self._count += count
        self._size += size
        now = time.monotonic()
        if self._count == self._total:
            self.finish()
        elif now - self._said >= longest_silence(SECONDS, now - self._begun):
            self._say(extra={PROGRESS: True})

    def finish(self) -> None:
        """Log a line now, as the work's last."""
        self._say()

    def _say(self, extra: dict[str, bool] | None = None) -> None:
        self._said = time.monotonic()
        elapsed = max(self._said - self._begun, 1e-3)
        of = "" if self._total is None else f" of {self._total:,}"
        counted = f"{self._count:,}{of}" if self._count or self._total is not None else ""
        words = " ".join(word for word in (self._label, counted, self._items) if word)
        amount, scale = self._size / UNITS[self._unit], UNITS[self._unit]
        whole = "" if self._whole is None else f" of {self._whole / scale:.1f}"
        left = self._left(elapsed) if extra else None
        self._log.info(
            "%s · %.1f%s %s · %.1f %s/s%s",
            *(words, amount, whole, self._unit, amount / elapsed, self._unit),
            "" if left is None else f" · {duration(left)} left",
            extra=extra,
        )

    def _left(self, elapsed: float) -> float | None:
        """Seconds still to go at the speed so far, by size where that is known, else by items."""
        if self._whole is not None:
            done = self._size / max(self._whole, 1)
        else:
            done = self._count / self._total if self._total else 0.0
        return elapsed * (1 - done) / done if 0 < done <= 1 else None
