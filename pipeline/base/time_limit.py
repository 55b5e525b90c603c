"""A limit on the processor time of a call, so that one hostile input never stops what is done to all others.

In: a number of seconds and a function. Out: its result, or `TimeIsUpError`. Processor time is counted, not the clock's,
so a busy or sleeping machine takes nothing from it. A timer's signal ends the call, in this process's main thread
alone: Python gives it to the regular expressions and to the next step of the function, and nothing runs on behind. In
other threads, to which no signal comes, a call that took too long ends as one all the same, afterwards.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_AGAIN: Final = 1.0
"""Seconds after which the signal comes again, should something have swallowed it."""


class TimeIsUpError(Exception):
    """A call took longer than it may. What it was changing may be half changed."""


class TimeLimit:
    """Used as a context manager, which holds the signal SIGVTALRM; calls are limited by `run`, one at a time."""

    def __init__(self) -> None:
        self._running = False
        self._previous: Any = None
        self._by_signal = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._by_signal:
            self._previous = signal.signal(signal.SIGVTALRM, self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._by_signal:
            signal.signal(signal.SIGVTALRM, self._previous or signal.SIG_DFL)

    def run(self, seconds: float, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`call(...)`. Raises TimeIsUpError after `seconds` of processor time, and what the call raises."""
        if not self._by_signal:
            start = time.thread_time()
            result = call(*args, **kwargs)
            if time.thread_time() - start > seconds:
                raise TimeIsUpError
            return result
        try:
            try:
                self._running = True
                signal.setitimer(signal.ITIMER_VIRTUAL, seconds, _AGAIN)
                return call(*args, **kwargs)
            finally:
                self._running = False  # a signal that comes from here on changes nothing
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self._running:
            raise TimeIsUpError
