"""How a run ends when something else ends it: SIGTERM, Ctrl-C, or the death of the process that started it.

A request to stop is a flag that the loop reads between steps, agreed on by all ranks, so that a checkpoint can be
written. Three things make sure that no process outlives its run:

- the kernel signals a rank when torchrun dies, and torchrun when the launcher's parent dies (PR_SET_PDEATHSIG), even
  by SIGKILL, which no handler sees;
- a thread, woken by the C-level handler through a pipe, ends the process after a while even where the main thread
  hangs in a collective or a kernel and never reaches a Python handler: soon while there is nothing to save yet, after
  `GRACE_SECONDS` once there is;
- an unfinished end has an exit status of its own, `EXIT_UNFINISHED`.
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

EXIT_UNFINISHED = 75
"""EX_TEMPFAIL of sysexits.h: stopped by a signal after a checkpoint; the same command goes on from there."""
GRACE_SECONDS = 25.0  # torchrun kills its ranks after 30
STARTING_SECONDS = 2.0
PARENT_PID = "SQUEEZE_TORCHRUN_PID"
_PR_SET_PDEATHSIG = 1


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
        os._exit(EXIT_UNFINISHED)


class StopRequest:
    """Whether a signal asked this process to stop. Install from the main thread."""

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self.grace_seconds = STARTING_SECONDS
        """From a signal to the end, come what may; the loop raises it once there is something to save."""
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)

    def install(self) -> None:
        """Take SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="stop-deadline", daemon=True).start()

    def __bool__(self) -> bool:
        return self.signal_name is not None

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.signal_name is None:
            self.signal_name = signal.Signals(number).name

    def _watch(self) -> None:
        stops = {int(signal.SIGTERM), int(signal.SIGINT)}
        while not stops & set(os.read(self._read_fd, 64)):
            pass
        time.sleep(self.grace_seconds)
        with contextlib.suppress(OSError):
            os.write(2, b"trainer: no clean end within the grace period after a signal to stop; ending now\n")
        os._exit(EXIT_UNFINISHED)
