"""What the project says while an asset is built or checked, as lines of Dagster's run.

In: the context of a step. While the block runs, what any module of the project logs with Python's `logging` is logged
through that context: in the run's page and on its terminal, whichever `dagster.yaml` is in force and however the run
was started. A step that has said nothing for a while says that it is still at work.

The context's own handler is lent to the project's loggers. It marks the records it has seen and takes none twice, so
where a `dagster.yaml` names the same loggers as `managed_python_loggers` every line is still there once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pipeline.base.numbers import duration
from pipeline.base.progress import longest_silence
from pipeline.base.redaction import redact

LOGGERS: Final = ("pipeline", "trainer")
OUTCOME: Final = "outcome"
"""Name under which the record that ends an asset says why it was built, or that it was `REUSED`."""
REUSED: Final = "reused"
ALIVE: Final = "alive"
"""Name under which a record says that it tells nothing but that a step is still at work."""
SILENCE: Final = 10.0
"""Seconds without a line, early in a step, after which one says that it is still at work."""


@contextmanager
def logged(log: logging.Logger, what: str) -> Iterator[None]:
    """Log what the project says until the block ends through `log`, a context's own; what: the asset's key."""
    heard = _LastLine()
    done = threading.Event()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    lent = list(log.handlers)
    alive = threading.Thread(target=_say_so, args=(log, what, heard, done), daemon=True)
    log.addHandler(heard)
    for handler in lent:
        handler.addFilter(_without_credentials)
    for logger in loggers:
        logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
        for handler in (*lent, heard):
            logger.addHandler(handler)
    alive.start()
    try:
        yield
    finally:
        done.set()
        alive.join()
        for logger, level in zip(loggers, levels, strict=True):
            for handler in (*lent, heard):
                logger.removeHandler(handler)
            logger.setLevel(level)
        log.removeHandler(heard)
        for handler in lent:
            handler.removeFilter(_without_credentials)


def _without_credentials(record: logging.LogRecord) -> bool:
    said = record.getMessage()
    if (plain := redact(said)) != said:
        record.msg, record.args = plain, ()
    return True


class _LastLine(logging.Handler):
    """Keeps when the last line was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.at = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        self.at = time.monotonic()


def _say_so(log: logging.Logger, what: str, heard: _LastLine, done: threading.Event) -> None:
    begun = time.monotonic()
    while not done.wait(SILENCE / 10):
        now = time.monotonic()
        if now - heard.at >= longest_silence(SILENCE, now - begun):
            log.info(f"{what}: still at work after {duration(now - begun)}", extra={ALIVE: True})
