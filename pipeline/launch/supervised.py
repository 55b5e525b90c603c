"""Programs that a supervisor looks after: on this machine or on many nodes, and beyond the end of Dagster.

In: a program with a folder of its own. Out: a handle on whatever runs there, whoever started it: what it says is read
from its log, whether it lives from the folder's lock, how it ended from the file that its supervisor leaves.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from pipeline.base.errors import LaunchError
from pipeline.base.held import write_stands_on
from pipeline.launch.launcher import Program
from pipeline.launch.local import environment
from pipeline.launch.run_folder import Job, RunFolder
from pipeline.launch.settings import LaunchSettings
from trainer.process.complaint import EXIT_ERROR

POLL_SECONDS: Final = 0.5
ATTEND_SECONDS: Final = 10.0
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 180.0
"""From the request to stop to the kill of a supervisor of this machine; it makes its nodes end before that."""
_TIMED: Final = re.compile(r"\d\d:\d\d:\d\d (.*)")
"""A line that the trainer or the supervisor meant for people; what torch prints beside them has no time in front."""


class SupervisedLauncher:
    """Starts a supervisor, which starts the rest."""

    inherits = False

    def __init__(self, settings: LaunchSettings) -> None:
        self._settings = settings

    def start(self, program: Program, log: logging.Logger) -> Attached:
        if program.folder is None or program.shared is None:
            raise LaunchError(f"{program.module} has no folder or ranks of its own, so nobody can look after it")
        folder = RunFolder(program.folder)
        folder.path.mkdir(parents=True, exist_ok=True)
        write_stands_on(program.folder, program.stands_on)
        folder.write_job(
            Job(
                module=program.module,
                arguments=list(program.arguments),
                environment=dict(program.environment),
                launch=self._settings,
                sequences=program.shared.batch.sequences,
                tokens=program.shared.batch.tokens,
                device=program.shared.device,
            )
        )
        with (folder.path / "supervisor.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.launch.supervisor", str(program.folder)],
                env=environment(program),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=self._settings.detached,
            )
        try:
            _wait_for_its_lock(folder, process)
        except BaseException:
            folder.ask_to_stop()
            raise
        return Attached(folder, log, process)


def _wait_for_its_lock(folder: RunFolder, process: subprocess.Popen[bytes]) -> None:
    """Wait until a supervisor holds its folder, or has ended."""
    deadline = time.monotonic() + START_SECONDS
    while folder.supervisor_here() is None and process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
            raise LaunchError(f"{folder.path}: the supervisor did not begin within {START_SECONDS:.0f} s")
        time.sleep(0.05)


def running_in(out: Path, log: logging.Logger) -> Attached | None:
    """A handle on the program that runs in a folder, if one does."""
    folder = RunFolder(out)
    return Attached(folder, log) if folder.is_held() else None


class Attached:
    """A program that a supervisor looks after; what it says from now on is logged while it is waited for."""

    def __init__(self, folder: RunFolder, log: logging.Logger, process: subprocess.Popen[bytes] | None = None) -> None:
        self._folder, self._log = folder, log
        self._process = process
        """The supervisor, where this process has started it and has to take its status."""
        self._position = folder.log.stat().st_size if folder.log.exists() else 0
        self._attended_at = 0.0

    def wait(self, seconds: float | None = None) -> int | None:
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            if time.monotonic() - self._attended_at > ATTEND_SECONDS or not self._attended_at:
                self._attended_at = time.monotonic()
                self._folder.attend()
            ended = not self._folder.is_held() and (self._process is None or self._process.poll() is not None)
            self._tell()
            if ended:
                return self._status()
            if deadline is not None and time.monotonic() >= deadline:
                return None
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        self._folder.ask_to_stop()
        if self.wait(STOP_SECONDS) is None and (pid := self._folder.supervisor_here()) is not None:
            with contextlib.suppress(ProcessLookupError):  # what it has placed here dies with it
                os.kill(pid, signal.SIGKILL)

    def _status(self) -> int:
        end = self._folder.exit()
        if end is None:
            self._log.warning("the supervisor of the trainer was killed; what it looked after ends after a checkpoint")
            return EXIT_ERROR
        if end.status and end.said:
            self._log.warning(end.said)
        return end.status

    def _tell(self) -> None:
        """Log the whole lines that were added to the trainer's log."""
        try:
            with self._folder.log.open("rb") as file:
                file.seek(self._position)
                added = file.read()
        except FileNotFoundError:
            return
        whole = added[: added.rfind(b"\n") + 1]
        self._position += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            if meant := _TIMED.fullmatch(line):
                self._log.info(meant[1])
            elif line.strip():
                self._log.debug(line)
