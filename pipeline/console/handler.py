"""A run on the terminal, in as many lines as one likes to read, while its page in the web UI has every one.

In: the log records of a run, as Dagster hands them to its loggers. Out: short lines, one `write` each. Assets that take
a few seconds share a line; a longer one is announced, shows its progress when nothing else has been said for a while,
and has a line of its own at its end, with the last that it found out. Warnings and failures come at once. The run ends
with the lines of `ending.py`; the sentence of a failure is the very last, after whatever else the command prints.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import dagster as dg

from pipeline.assets.logged import REUSED
from pipeline.base.numbers import duration
from pipeline.console.named import named
from pipeline.console.said import STOPPED, Failure, Said, crash_of, failure_of, said

SILENCE: Final = 10.0
"""Seconds without a line after which a line of a step's progress is shown,"""
SHARE: Final = 0.2
"""or this share of the run's time so far, where that is longer,"""
LONGEST: Final = 60.0
"""but no more seconds than these, which limit what follows too."""
LONG: Final = 8.0
"""Seconds after which a step has lines of its own; quicker ones wait so long for others to share theirs."""
LONG_SHARE: Final = 0.05
"""Of the run's time so far, where that is longer: a slow machine says no more than a fast one."""
_Event = dg.DagsterEventType


@dataclass
class _Step:
    """A step that is at work."""

    begun: float
    newest: str
    """The last line it said."""
    fact: str = ""
    """The last that it found out, progress apart."""
    unsaid: str = ""
    """The last line it said, where the terminal has not shown it."""
    announcement: threading.Timer | None = None


@dataclass
class _Group:
    """Assets that ended one soon after the other, in the same way."""

    outcome: str
    begun: float
    line: str
    """Of the only one there is."""
    keys: list[str] = field(default_factory=list)


class TerminalHandler(logging.Handler):
    """Says a run, through `write`."""

    def __init__(
        self,
        write: Callable[[str], None],
        opening: str,
        ending: Callable[[bool], Sequence[str]],
        *,
        level: int = logging.INFO,
    ) -> None:
        """opening: what the run is; ending: (whether it succeeded) -> the closing lines.

        level: of the lines of steps; below INFO every record is one.
        """
        super().__init__()  # takes every record, whatever its level: events are told by their kind
        self._write, self._opening, self._ending, self._least = write, opening, ending, level
        self._whole_run = multiprocessing.parent_process() is None
        """Whether this process sees more than one step, and ends as a command does."""
        self._begun = self._last = time.monotonic()
        self._newest = ""
        self._steps: dict[str, _Step] = {}
        self._group: _Group | None = None
        self._findings: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            it = said(record)
            if self._least < logging.INFO:
                self._say(f"{it.event.event_type_value} {it.line}" if it.event is not None else it.line)
            if it.event is not None:
                self._take_event(it.event, it.step)
            elif self._least >= logging.INFO and it.level >= self._least and not it.noise:
                self._take_line(it)
        except Exception:  # a line that cannot be said does not end the run
            self.handleError(record)

    # -- the run ------------------------------------------------------------------------------------------------

    def _take_event(self, event: dg.DagsterEvent, step: str) -> None:
        if event.event_type == _Event.STEP_START:
            self._begin(step)
        elif event.event_type == _Event.RUN_START and self._least <= logging.INFO:
            self._say(f"{job_name(event)}: {self._opening}")
        elif event.event_type == _Event.STEP_SUCCESS:
            self._close(step)
        elif event.event_type == _Event.ENGINE_EVENT and step and (crash := crash_of(event.message or "")):
            self._findings[step] = crash
        elif event.event_type == _Event.ASSET_CHECK_EVALUATION:
            self._take_check(event.event_specific_data, step)
        elif event.is_step_failure:
            self._close(step)
            failure = failure_of(event)
            reason = f"\n{failure.trace}" if failure.trace else f" {self._findings.get(step, failure.sentence)}"
            self._say(f"{step} failed:{reason}")
        elif event.event_type == _Event.RUN_SUCCESS:
            self._finish(f"{job_name(event)} finished after", succeeded=True)
        elif event.event_type == _Event.RUN_FAILURE:
            self._finish(f"{job_name(event)} failed after", succeeded=False)
            self._say_last(failure_of(event))
        elif event.event_type == _Event.RUN_CANCELED:
            self._finish(f"{job_name(event)} was stopped after", succeeded=False)
            self._say_last(Failure(STOPPED, ""))

    def _take_check(self, evaluation: Any, step: str) -> None:
        if not evaluation.passed:
            asset = evaluation.asset_key.to_user_string()
            self._findings[step] = f"{asset}: check {evaluation.check_name}: {evaluation.description}"

    def _finish(self, how: str, *, succeeded: bool) -> None:
        for step in list(self._steps):
            self._close(step)
        self._say(f"{how} {duration(time.monotonic() - self._begun)}")
        for line in self._ending(succeeded):
            self._write(line)

    def _say_last(self, failure: Failure) -> None:
        if failure.trace and not failure.step:  # that of a step was said when it failed
            self._write(failure.trace)
        sentence = f"error: {self._findings.get(failure.step, failure.sentence)}"
        if self._whole_run:
            atexit.register(self._write, sentence)
        else:
            self._write(sentence)

    # -- its steps ----------------------------------------------------------------------------------------------

    def _take_line(self, it: Said) -> None:
        if it.level >= logging.WARNING or not it.step:
            self._say(it.line)
        elif it.outcome is not None:
            self._end(it, it.outcome)
        else:
            line = it.line
            step = self._steps.get(it.step)
            if step is not None and it.alive:
                line = step.unsaid or line
            elif step is not None:
                step.newest = step.unsaid = line
                step.fact = step.fact if it.progress else line
            if time.monotonic() - self._last >= self._at_least(SILENCE, SHARE):
                self._say(line)
                if step is not None:
                    step.unsaid = ""

    def _begin(self, name: str) -> None:
        step = self._steps[name] = _Step(time.monotonic(), f"{name}: at work")
        if self._least == logging.INFO:
            step.announcement = threading.Timer(self._at_least(LONG, LONG_SHARE), self._announce, (name,))
            step.announcement.daemon = True
            step.announcement.start()

    def _announce(self, name: str) -> None:
        self.acquire()
        try:
            if name in self._steps:
                self._say(self._steps[name].newest)
        finally:
            self.release()

    def _close(self, name: str) -> _Step | None:
        step = self._steps.pop(name, None)
        if step is not None and step.announcement is not None:
            step.announcement.cancel()
        return step

    def _end(self, it: Said, outcome: str) -> None:
        now = time.monotonic()
        step = self._close(it.step)
        seconds = now - step.begun if step is not None else 0.0
        long = self._at_least(LONG, LONG_SHARE)
        quick = seconds < long and self._whole_run
        if self._group is not None and (self._group.outcome != outcome or not quick):
            self._flush()
        if self._group is None:
            found = step.fact if step is not None and outcome != REUSED else ""
            new = found and found != self._newest
            self._group = _Group(outcome, now, f"{found} · {outcome}, {duration(seconds)}" if new else it.line)
        self._group.keys.append(it.step)
        if not quick or now - self._group.begun >= long:
            self._flush()

    def _at_least(self, seconds: float, share: float) -> float:
        """So many seconds at first, and a share of the run's time later on, up to a limit."""
        return min(max(seconds, share * (time.monotonic() - self._begun)), LONGEST)

    def _flush(self) -> None:
        group, self._group = self._group, None
        if group is not None:
            self._write_at(group.line if len(group.keys) == 1 else f"{named(group.keys)}: {group.outcome}")

    def _say(self, text: str) -> None:
        self._flush()
        self._write_at(text)

    def _write_at(self, text: str) -> None:
        self._last, self._newest = time.monotonic(), text
        self._write(f"{datetime.now():%H:%M:%S} {text}")


def job_name(event: dg.DagsterEvent) -> str:
    """What the run's job is called by people: that of chosen assets has no name of its own."""
    return "materialize" if event.job_name.startswith("__") else event.job_name
