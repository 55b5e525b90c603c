"""What a log record of a Dagster run says, apart from how Dagster words it. Pure: a record in, a `Said` out."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg

from pipeline.assets.logged import ALIVE, OUTCOME
from pipeline.base.progress import PROGRESS
from pipeline.preflight.finding import PreflightError

_TRAINING: Final = re.compile(r"step [\d,]+/[\d,]+ · ")
"""How the trainer's own progress begins: it comes through Pipes, as text alone."""
_NOISE: Final = ("Dependencies for step ", "[pipes] ")
"""How lines of Dagster's begin that say nothing of their own."""
UNEXPECTED: Final = "something unexpected went wrong"
STOPPED: Final = "stopped; the same command goes on from what is finished"
_CRASHED: Final = re.compile(
    r"child process for step \S+ (was terminated by signal \d+ \(\w+\)|unexpectedly exited with code \d+)"
)
"""How Dagster says that the process of one asset is gone."""
_AFTER_CRASH: Final = (
    "if nobody killed it, memory ran out: lower assets_at_once. The same command goes on from what is finished"
)


@dataclass(frozen=True)
class Said:
    """One record."""

    message: str
    level: int
    step: str
    """The asset's key, or the name of whatever else the step does; empty for the run as a whole."""
    event: dg.DagsterEvent | None = None
    outcome: str | None = None
    """Of a line that ends an asset: why it was built, or `reused`."""
    progress: bool = False
    """The next such line replaces it."""
    alive: bool = False
    """Only that the step is still at work: whatever it has said itself tells more."""

    @property
    def noise(self) -> bool:
        return self.message.startswith(_NOISE)

    @property
    def line(self) -> str:
        """The message behind the step's name: `books: 3 documents` is `documents/books: 3 documents`."""
        if not self.step or self.message.startswith(f"{self.step}:"):
            return self.message
        return f"{self.step}: {self.message.removeprefix(self.step.rpartition('/')[2] + ': ')}"


def said(record: logging.LogRecord) -> Said:
    """What a record says that Dagster hands to a run's loggers."""
    meta: dict[str, Any] = getattr(record, "dagster_meta", {})
    message = meta.get("orig_message") or record.getMessage()
    return Said(
        message=message,
        level=record.levelno,
        step=step_name(meta.get("step_key")),
        event=meta.get("dagster_event"),
        outcome=getattr(record, OUTCOME, None),
        progress=bool(getattr(record, PROGRESS, False)) or _TRAINING.match(message) is not None,
        alive=bool(getattr(record, ALIVE, False)),
    )


def step_name(key: str | None) -> str:
    """Dagster's `documents__books` as the asset is called, documents/books."""
    return (key or "").replace("__", "/")


@dataclass(frozen=True)
class Failure:
    """Why a step or a run failed."""

    sentence: str
    step: str
    trace: str = ""
    """Where it went wrong, of an error that the project did not foresee."""


def failure_of(event: dg.DagsterEvent) -> Failure:
    """Of an event that says that a step or a run failed: the project's own sentence, else the error with its trace."""
    data: Any = event.event_specific_data
    first = getattr(data, "first_step_failure_event", None)
    if first is not None:
        return failure_of(first)
    step = step_name(event.step_key)
    own, error = getattr(data, "user_failure_data", None), getattr(data, "error", None)
    if own is not None and own.description:
        return Failure(own.description, step)
    if error is None:
        return Failure(event.message or UNEXPECTED, step)
    if error.cls_name == "ChildProcessCrashException":
        return Failure(f"its process ended in the middle of its work; {_AFTER_CRASH}", step)
    if error.cls_name == "DagsterExecutionInterruptedError":
        return Failure(STOPPED, step)
    if error.cls_name in ("DagsterAssetCheckFailedError", PreflightError.__name__):
        return Failure(error.message.strip().partition(": ")[2], step)
    cause = error
    while cause.cause is not None:
        cause = cause.cause
    return Failure(f"{UNEXPECTED}, with the traceback above: {cause.message.strip()}", step, error.to_string())


def crash_of(message: str) -> str:
    """What a line of Dagster's says of the process of one asset that is gone; empty for any other line."""
    found = _CRASHED.search(message)
    return f"its process {found[1]}; {_AFTER_CRASH}" if found else ""
