"""How a run ends when something else ends it: a signal, Ctrl-C, or the death of the process that started it.

A request to stop is a flag that the loop reads between steps, agreed on by all ranks, so that a checkpoint can be
written. Three things make sure that no process outlives its run:

- the kernel signals a rank when torchrun dies, and torchrun when the launcher's parent dies (PR_SET_PDEATHSIG), even
  by SIGKILL, which no handler sees;
- a thread, woken by the C-level handler through a pipe, ends the process after a while even where the main thread
  hangs in a collective or a kernel and never reaches a Python handler: soon while there is nothing to save yet, after
  `GRACE_SECONDS` once there is;
- an unfinished end has an exit status of its own, `EXIT_UNFINISHED`, where there is a checkpoint to go on from, and
  otherwise the one that the signal itself gives.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Final

EXIT_UNFINISHED = 75
"""EX_TEMPFAIL of sysexits.h: stopped by a signal after a checkpoint; the same command goes on from there."""
GRACE_SECONDS = 25.0  # torchrun kills its ranks after 30
STARTING_SECONDS = 2.0
PARENT_PID = "SQUEEZE_TORCHRUN_PID"
STOPS: Final = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
)
"""What asks a run to stop: besides SIGTERM and Ctrl-C a terminal that is closed, and what schedulers send some time
before they kill (Slurm's `--signal`, Grid Engine's -notify, a limit on processor time)."""
_PR_SET_PDEATHSIG = 1


def heeded_stops() -> list[signal.Signals]:
    """Those of `STOPS` that end a run here: all but what this process was started to ignore, as `nohup` has SIGHUP
    ignored. SIGTERM and SIGINT are always heeded: a shell's background job ignores SIGINT without being asked to."""
    always = (signal.SIGTERM, signal.SIGINT)
    return [number for number in STOPS if number in always or signal.getsignal(number) is not signal.SIG_IGN]


def die_with_parent(parent: int | None = None) -> None:
    """Ask the kernel for SIGTERM when the parent thread ends; a no-op where there is no prctl (not Linux).

    `parent` is the process id expected; where it is gone already, this process ends at once. A parent that ignores
    SIGTERM hands that on: a shell's background job ignores SIGINT, and a Dagster run in it treats SIGTERM alike.
    """
    if sys.platform != "linux":
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    expected = os.getppid() if parent is None else parent
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != expected:
        os._exit(killed_by(signal.SIGTERM))


def killed_by(number: int) -> int:
    """The exit status that a shell shows for a process that a signal killed."""
    return 128 + number


class StopRequest:
    """Whether a signal asked this process to stop. Install from the main thread."""

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self.grace_seconds = STARTING_SECONDS
        """From a signal to the end, come what may; the loop raises it once there is something to save."""
        self.can_go_on = False
        """Whether there is a checkpoint of the run; the loop sets it."""
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)

    def install(self) -> None:
        """Take the signals of `STOPS`, but for those that this process was started to ignore."""
        for number in heeded_stops():
            signal.signal(number, self._handle)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="stop-deadline", daemon=True).start()

    @property
    def asked(self) -> bool:
        """Whether a signal has come: cheap enough to be looked at at any time, in one process only."""
        return self.signal_name is not None

    def __bool__(self) -> bool:
        return self.asked

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.signal_name is None:
            self.signal_name = signal.Signals(number).name

    def _watch(self) -> None:
        stops = set(map(int, STOPS))
        while not (came := stops & set(os.read(self._read_fd, 64))):
            pass
        time.sleep(self.grace_seconds)
        with contextlib.suppress(OSError):
            os.write(2, b"trainer: no clean end within the grace period after a signal to stop; ending now\n")
        os._exit(EXIT_UNFINISHED if self.can_go_on else killed_by(min(came)))
