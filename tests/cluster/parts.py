"""Functions of parts, as workers import them."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from pipeline.base.errors import ShardError
from pipeline.base.executor import Shared


def square(number: int) -> int:
    time.sleep(0.02 * (number % 3))
    return number * number


def look_up(table: Shared[np.ndarray], place: int) -> int:
    return int(table.value[place])


def refuse(number: int) -> int:
    if number == 3:
        raise ShardError("part 3 says no")
    return number


def enter_and_leave(room: Path, number: int) -> int:
    """Tasks that are in the room at the same time, this one included."""
    (room / str(number)).touch()
    time.sleep(0.3)
    together = len(list(room.iterdir()))
    (room / str(number)).unlink()
    return together


def note_and_wait(room: Path, number: int, seconds: float) -> int:
    """Leaves a file with this process's id for each attempt."""
    (room / f"{number}-{os.getpid()}").touch()
    time.sleep(seconds)
    (room / f"done-{number}").touch()
    return number


def own_process() -> int:
    return os.getpid()


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def upper(text: Path, out: Path) -> tuple[Path, str]:
    """Writes the text in capitals into the folder, under its own name; where that is, as a path and in words."""
    (out / text.name).write_text(text.read_text().upper())
    return out / text.name, str(out)
