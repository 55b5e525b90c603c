"""Progress of long work as log lines, at most one every two seconds."""

from __future__ import annotations

import logging
import time

log = logging.getLogger(__name__)


class Progress:
    """Counts finished parts of work that handles `tokens` tokens in all."""

    def __init__(self, label: str, tokens: int) -> None:
        self._label, self._tokens = label, tokens
        self._done = 0
        self._began = self._last = time.monotonic()

    def parts(self, more: int, total: int) -> None:
        """`more` of `total` parts are finished."""
        self._done += more
        now = time.monotonic()
        if now - self._last >= 2 or self._done == total:
            tokens = self._tokens * self._done / total
            rate = tokens / max(now - self._began, 1e-9)
            log.info("%s %d of %d · %.1f Mtok · %.0f Mtok/s", self._label, self._done, total, tokens / 1e6, rate / 1e6)
            self._last = now
