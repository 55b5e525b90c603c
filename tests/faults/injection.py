"""What a machine does to a process, done to this one: it is killed, its disk is full, broken or slow, its clock jumps.

Called in a process forked for one fault, which never comes back from it. `mark` is a file that is made as the fault
strikes: without it the run had ended before.
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
MOST_READS = 60


def kill_at_a_time(draw: random.Random, home: Path, mark: Path) -> None:
    """SIGKILL for the process and all it started, at a moment of the run."""
    moment = draw.uniform(0, draw.choice([0.3, 2.0, 5.0]))
    _later(moment, mark, lambda: os.killpg(0, signal.SIGKILL))


def kill_at_an_operation(draw: random.Random, home: Path, mark: Path) -> None:
    """The same, just before or after the n-th operation on the home's files."""
    before = draw.random() < 0.5
    _strike(draw, home, mark, lambda name: os.killpg(0, signal.SIGKILL), before=before)


def kill_itself_alone(draw: random.Random, home: Path, mark: Path) -> None:
    """SIGKILL for the one process, whose workers are left."""
    _strike(draw, home, mark, lambda name: os.kill(os.getpid(), signal.SIGKILL), before=draw.random() < 0.5)


def stop(draw: random.Random, home: Path, mark: Path) -> None:
    """SIGTERM, as from somebody who ends the run in order."""
    _later(draw.uniform(0, draw.choice([1.0, 5.0])), mark, lambda: os.kill(os.getpid(), signal.SIGTERM))


def full_disk(draw: random.Random, home: Path, mark: Path) -> None:
    """From the n-th operation on, nothing can be written."""
    _strike(draw, home, mark, _raising(errno.ENOSPC), before=True, ever_after=True)


def broken_disk(draw: random.Random, home: Path, mark: Path) -> None:
    """The n-th operation fails, or all from there on do."""
    _strike(draw, home, mark, _raising(errno.EIO), before=True, ever_after=draw.random() < 0.5)


def broken_reads(draw: random.Random, home: Path, mark: Path) -> None:
    """The n-th file that is opened to be read cannot be."""
    _strike(draw, home, mark, _raising(errno.EIO), before=True, reading=True)


def slow_disk(draw: random.Random, home: Path, mark: Path) -> None:
    """Every sync takes a while, another one each time."""
    mark.touch()
    real = os.fsync

    def slow(descriptor: Any) -> None:
        time.sleep(draw.random() * 0.05)
        real(descriptor)

    os.fsync = slow


def clock_jumps(draw: random.Random, home: Path, mark: Path) -> None:
    """The clock goes back and forth by days between two looks at it."""
    mark.touch()
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + draw.uniform(-3e6, 3e6)
    time.time_ns = lambda: real_ns() + draw.randrange(-(3 * 10**15), 3 * 10**15)


def _raising(number: int) -> Callable[[str], None]:
    def fail(name: str) -> None:
        raise OSError(number, os.strerror(number), name)

    return fail


def _later(moment: float, mark: Path, strike: Callable[[], None]) -> None:
    def wait() -> None:
        time.sleep(moment)
        mark.touch()
        strike()

    threading.Thread(target=wait, daemon=True).start()


def _strike(
    draw: random.Random,
    home: Path,
    mark: Path,
    strike: Callable[[str], None],
    *,
    before: bool,
    ever_after: bool = False,
    reading: bool = False,
) -> None:
    """Strike at the n-th operation that changes the home's files, or at the n-th that opens one to read."""
    most = MOST_READS if reading else MOST_OPERATIONS
    target, seen, lock = int(draw.random() ** 2 * most), [0], threading.Lock()
    make = os.open  # before anything is in its place

    def struck(path: str) -> None:
        os.close(make(mark, os.O_CREAT | os.O_WRONLY))
        strike(path)

    def wrapped(real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*words: Any, **more: Any) -> Any:
            path, hit = _path_of(name, words), False
            if path.startswith(str(home)) and (name == "open" and _reads(words, more)) == reading:
                with lock:
                    hit = seen[0] == target or (ever_after and seen[0] > target)
                    seen[0] += 1
            if hit and before:
                struck(path)
            try:
                return real(*words, **more)
            finally:
                if hit and not before:
                    struck(path)

        return call

    for name in OPERATIONS[:-1]:
        setattr(os, name, wrapped(getattr(os, name), name))
    io.open = wrapped(io.open, "open")  # what `Path.open` calls


def _reads(words: tuple[Any, ...], more: dict[str, Any]) -> bool:
    mode = str(words[1] if len(words) > 1 else more.get("mode", "r"))
    return "r" in mode and "+" not in mode


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
    "broken reads": broken_reads,
    "slow disk": slow_disk,
    "clock": clock_jumps,
}
