"""Asking the hub again: how often, after which pause, and when to stop.

A trouble that passes is met with growing pauses, `ATTEMPTS` of them since the last success. Where the hub has had
enough of requests it is asked again when it says, however long that is: its windows last 300 seconds. What is wrong for
good, and a hub that was never reached, end at once or after a few seconds. Every pause is said on the log.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from pipeline.base.errors import UnreachableError
from pipeline.base.numbers import duration
from pipeline.curation.sources.hub.failures import Lasting, Passing, judge

ATTEMPTS: Final = 8
"""Attempts that may fail one after the other, those aside that the hub asked to come later."""
ATTEMPTS_UNREACHED: Final = 3
"""Where no connection ever came about: a name that is misspelled, or no network."""
WINDOWS: Final = 12
"""Times in a row that the hub may ask to come later: an hour of its windows."""
FIRST_PAUSE: Final = 1.0
"""Seconds before the second attempt; doubled before each further one, up to `LONGEST_PAUSE`, with jitter."""
LONGEST_PAUSE: Final = 120.0
WINDOW: Final = 300.0
"""Seconds of the hub's windows, for an answer of 429 that does not say how long."""
LONGEST_WAIT: Final = 3600.0
"""Seconds that the hub may ask for; where it asks for more, the build ends and says when to run it again."""
R = TypeVar("R")
log = logging.getLogger(__name__)


class Patience:
    """The attempts at one thing, such as a file; a success begins the count anew."""

    reached = False
    """Whether this process has ever had an answer from the hub."""

    def __init__(self, where: str) -> None:
        """where: what is asked for, for messages."""
        self.where = where
        self._failed = self._limited = 0

    def call(self, function: Callable[[], R]) -> R:
        """What `function` returns, called again while what it raises is likely to pass.

        Raises:
            SourceError: it is wrong for good, or has failed too often.
        """
        while True:
            try:
                result = function()
            except Exception as error:
                self.failed(error)
            else:
                self.succeeded()
                return result

    def succeeded(self) -> None:
        """Something came."""
        Patience.reached = True
        self._failed = self._limited = 0

    def failed(self, error: Exception) -> None:
        """Wait until it is worth another attempt. Raises SourceError where it is none."""
        verdict = judge(error, self.where)
        if isinstance(verdict, Lasting):
            if verdict.error is error:
                raise error
            raise verdict.error from error
        pause = self._pause(verdict, error)
        log.warning("%s: %s; asking again in %s", self.where, _said(error), duration(pause) if pause >= 1 else "1 s")
        time.sleep(pause)

    def _pause(self, trouble: Passing, error: Exception) -> float:
        if not trouble.unreached:
            Patience.reached = True
        if trouble.limited:
            return self._window(trouble, error)
        self._failed += 1
        if self._failed >= (ATTEMPTS if Patience.reached else ATTEMPTS_UNREACHED):
            if not Patience.reached:
                raise UnreachableError(
                    f"{self.where} cannot be reached: check the network, a proxy and HF_ENDPOINT ({_said(error)})"
                ) from error
            raise UnreachableError(
                f"{self.where} could not be read in {self._failed} attempts; what was fetched is kept, run again later "
                f"({_said(error)})"
            ) from error
        growing = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self._failed - 1)) * (0.5 + random.random())
        return max(growing, self._allowed(trouble.pause or 0.0, error))

    def _window(self, trouble: Passing, error: Exception) -> float:
        """Until the next window, and a little more: clocks differ, and others wait for it too."""
        self._limited += 1
        if self._limited > WINDOWS:
            raise UnreachableError(
                f"{self.where}: the hub has refused {self._limited} times in a row for too many requests; what was "
                "fetched is kept. Log in (`hf auth login`), which allows more of them, or run again later"
            ) from error
        asked = WINDOW if trouble.pause is None else trouble.pause
        return self._allowed(asked, error) + random.random() * min(FIRST_PAUSE, 1.0)

    def _allowed(self, asked: float, error: Exception) -> float:
        if asked <= LONGEST_WAIT:
            return asked
        until = datetime.now(UTC) + timedelta(seconds=asked)
        raise UnreachableError(
            f"{self.where}: the hub asks to come back in {duration(asked)}, after {until:%Y-%m-%d %H:%M} UTC; what was "
            "fetched is kept, run again then"
        ) from error


def _said(error: Exception) -> str:
    """The error in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:300]}" if lines else type(error).__name__
