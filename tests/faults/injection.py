"""What a machine does to a process, done to this one: it is killed, its disk is full, broken or slow, its clock jumps.

Called in a process forked for one fault, which never comes back from it.
"""

from __future__ import annotations

import errno
import io
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPERATIONS = ("replace", "rename", "fsync", "mkdir", "unlink", "rmdir", "open")
MOST_OPERATIONS = 250
"""Of those that a build of some stages makes; what is struck lies before."""


def kill_at_a_time(draw: random.Random, home: Path) -> None:
    """SIGKILL for the process and all it started, at a moment of the run."""
    moment = draw.uniform(0, draw.choice([0.3, 2.0, 8.0]))
    threading.Thread(target=lambda: (time.sleep(moment), os.killpg(0, signal.SIGKILL)), daemon=True).start()


def kill_at_an_operation(draw: random.Random, home: Path) -> None:
    """The same, just before or after the n-th operation on the home's files."""
    before = draw.random() < 0.5
    _strike(draw, home, lambda name: os.killpg(0, signal.SIGKILL), before=before)


def kill_itself_alone(draw: random.Random, home: Path) -> None:
    """SIGKILL for the one process, whose workers are left."""
    _strike(draw, home, lambda name: os.kill(os.getpid(), signal.SIGKILL), before=draw.random() < 0.5)


def stop(draw: random.Random, home: Path) -> None:
    """SIGTERM, as from somebody who ends the run in order."""
    moment = draw.uniform(0, 5.0)
    threading.Thread(target=lambda: (time.sleep(moment), os.kill(os.getpid(), signal.SIGTERM)), daemon=True).start()


def full_disk(draw: random.Random, home: Path) -> None:
    """From the n-th operation on, nothing can be written."""
    _strike(draw, home, _raising(errno.ENOSPC), before=True, ever_after=True)


def broken_disk(draw: random.Random, home: Path) -> None:
    """The n-th operation fails, or all from there on do."""
    _strike(draw, home, _raising(errno.EIO), before=True, ever_after=draw.random() < 0.5)


def slow_disk(draw: random.Random, home: Path) -> None:
    """Every sync takes a while, another one each time."""
    real = os.fsync

    def slow(descriptor: Any) -> None:
        time.sleep(draw.random() * 0.05)
        real(descriptor)

    os.fsync = slow


def clock_jumps(draw: random.Random, home: Path) -> None:
    """The clock goes back and forth by days between two looks at it."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + draw.uniform(-3e6, 3e6)
    time.time_ns = lambda: real_ns() + draw.randrange(-(3 * 10**15), 3 * 10**15)


def _raising(number: int) -> Callable[[str], None]:
    def fail(name: str) -> None:
        raise OSError(number, os.strerror(number), name)

    return fail


def _strike(
    draw: random.Random, home: Path, strike: Callable[[str], None], *, before: bool, ever_after: bool = False
) -> None:
    target, seen, lock = int(draw.random() ** 2 * MOST_OPERATIONS), [0], threading.Lock()

    def wrapped(real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*words: Any, **more: Any) -> Any:
            path = _path_of(name, words)
            hit = False
            if path.startswith(str(home)) and not (name == "open" and "r" in str(words[1:2] or "r")):
                with lock:
                    seen[0] += 1
                    hit = seen[0] == target or (ever_after and seen[0] > target)
            if hit and before:
                strike(path)
            result = real(*words, **more)
            if hit and not before:
                strike(path)
            return result

        return call

    for name in OPERATIONS[:-1]:
        setattr(os, name, wrapped(getattr(os, name), name))
    io.open = wrapped(io.open, "open")  # what `Path.open` calls


def _path_of(name: str, words: tuple[Any, ...]) -> str:
    try:
        if name == "fsync":
            return str(Path(f"/proc/self/fd/{words[0]}").readlink())
        return os.fspath(words[0])
    except (OSError, TypeError, IndexError):
        return ""


IN_THE_RUN = {
    "kill": kill_at_a_time,
    "kill at a file": kill_at_an_operation,
    "kill of one process": kill_itself_alone,
    "stop": stop,
    "full disk": full_disk,
    "broken disk": broken_disk,
    "slow disk": slow_disk,
    "clock": clock_jumps,
}
