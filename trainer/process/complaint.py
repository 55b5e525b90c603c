"""Why a rank ended: a message on stderr, in `<config>.error` for whoever started the run, and an exit status.

In: what was raised. Out: one sentence that names the cause itself, also where it is a full disk, memory that has run
out, or a fault of the trainer's own (whose traceback is printed as well). The first rank to say something is the one
whose message stays: the others then lose it, and only say so.

What always holds: the file of an error speaks of the run that is going on. It is removed when a run starts, and room
for it is set aside on the disk then, so that a full one can be told of.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Final

from trainer.errors import CheckpointError, ConfigError, DataError, TrainerError

EXIT_ERROR: Final = 1
EXIT_SETTINGS: Final = 2
PEER_SECONDS: Final = 2.0
"""How long a rank that lost another waits for that one's own words."""
STATUS_FOLDER: Final = "SQUEEZE_STATUS_FOLDER"
_PEER_IS_GONE = ("Connection closed by peer", "Connection reset by peer", "Timed out waiting", "NCCL error")
_ROOM = 4096
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Complaint:
    """One rank's say; `config` is the run's file, which the messages lie beside."""

    def __init__(self, config: Path) -> None:
        self.rank = os.environ.get("RANK", "0")
        self._file = error_file(config)
        self._room = config.with_name(f"{config.name}.error.{self.rank}.tmp")

    def begin(self) -> None:
        """Forget what an earlier run said, on the first rank, and set room aside for what this one may have to say."""
        if self.rank == "0":
            ranks = int(os.environ.get("WORLD_SIZE", "1"))
            for old in self._file.parent.glob(f"{self._file.name}.*.tmp"):
                if not (number := old.suffixes[-2][1:]).isdigit() or int(number) >= ranks:
                    old.unlink(missing_ok=True)
            if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0" or not _launcher_cleared():
                self._file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._room.write_bytes(b" " * _ROOM)

    def end(self) -> None:
        """Give the room back."""
        with contextlib.suppress(OSError):
            self._room.unlink()

    def about(self, error: BaseException) -> int:
        """Say what was raised; returns the exit status."""
        if isinstance(error, TrainerError):
            self._say(str(error))
            return status_of(error)
        if _is_of_a_peer(error):
            deadline = time.monotonic() + PEER_SECONDS
            while not self._file.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            reason = str(error).splitlines()[0]
            self._say(f"another rank ended or cannot be reached; its own message says why ({reason})")
            return EXIT_ERROR
        if not isinstance(error, OSError) and not _is_out_of_memory(error):
            with contextlib.suppress(OSError):
                traceback.print_exception(error)
        self._say(sentence(error))
        return EXIT_ERROR

    def _say(self, message: str) -> None:
        message = message if self.rank == "0" else f"rank {self.rank}: {message}"
        with contextlib.suppress(OSError):
            self._leave(message + "\n")
        with contextlib.suppress(OSError, ValueError):  # stderr may be on the full disk, or closed
            print(f"trainer: {message}", file=sys.stderr, flush=True)

    def _leave(self, text: str) -> None:
        """Put the text under the file's name, where none has done so, in the room that was set aside for it."""
        if self._file.exists():
            return
        with self._room.open("r+b" if self._room.exists() else "wb") as file:
            file.write(text.encode())
            file.truncate()
        try:
            os.link(self._room, self._file)
        except OSError:  # said by another rank meanwhile, or a file system without links
            with self._file.open("xb") as file:
                file.write(text.encode())


def status_of(error: TrainerError) -> int:
    """The exit status for an error of the trainer's own."""
    return EXIT_SETTINGS if isinstance(error, ConfigError | DataError | CheckpointError) else EXIT_ERROR


def leave_status(status: int) -> None:
    """Tell `trainer.launch`, where it started this rank, how it ends: torchrun keeps that of one rank at most."""
    folder = os.environ.get(STATUS_FOLDER)
    if folder:
        with contextlib.suppress(OSError):
            (Path(folder) / os.environ.get("RANK", "0")).write_text(str(status), encoding="ascii")


def error_file(config: Path) -> Path:
    """Where the message of a run that failed is left."""
    return config.with_name(config.name + ".error")


def sentence(error: BaseException) -> str:
    """What is no error of the trainer's own, in words for people: what happened, to what, and what to do."""
    if isinstance(error, OSError) and error.errno != errno.ENOMEM:
        what = error.strerror or str(error)
        place = f"{error.filename}: " if error.filename else ""
        if error.errno in _FULL:
            what = f"the disk is full ({what}); free some space"
            return f"{place}{what} and start again to go on from the last checkpoint"
        return f"{place}{what or type(error).__name__}; start again to go on from the last checkpoint"
    if _is_out_of_memory(error):
        said = str(error).partition("\n")[0]
        return (
            f"out of memory{f' ({said})' if said else ''}; set a smaller training.micro_batch, start fewer ranks or "
            "raise the limit on memory, and start again to go on from the last checkpoint"
        )
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'} (a fault of the trainer; see its output)"


def _launcher_cleared() -> bool:
    """Whether `trainer.launch` has removed the old message: only then may another rank have left a new one."""
    from trainer.process.signals import PARENT_PID

    return PARENT_PID in os.environ


def _is_of_a_peer(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _PEER_IS_GONE)


def _is_out_of_memory(error: BaseException) -> bool:
    """As the learner sees it, once that was loaded: before, nothing of torch can have failed."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if isinstance(error, ImportError) and "failed to map segment" in str(error):  # of a library, for want of room
        return True
    learner = sys.modules.get("trainer.run.learner")
    return learner is not None and bool(learner.is_out_of_memory(error))
