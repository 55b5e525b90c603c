"""Work in a process of its own, how it ended, and which processes are left of it."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.base.errors import SqueezeError
from trainer.errors import TrainerError

MOST_SECONDS = 3600
"""After which a run counts as one that hangs: on a machine that does much else, what takes seconds took twenty
minutes."""
GONE_SECONDS = 60.0


def forked(work: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> str:
    """Do it in a process group of its own; how it ended: what it said, `end`, the error's name, or the signal's.

    An OSError is its own words where a disk failed; any other error that is not the project's is foreign.
    """
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(here)
        try:
            os.setpgid(0, 0)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            signal.alarm(MOST_SECONDS)
            before()
            said = work()
            said = said if isinstance(said, str) else "end"
        except (SqueezeError, TrainerError, OSError) as error:
            said = type(error).__name__
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            said = f"foreign {type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {error}"[:200]
        os.write(there, said.encode(errors="replace"))
        os._exit(0)
    os.close(there)
    with os.fdopen(here, "rb") as pipe:
        said = pipe.readline().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return by_signal(os.WTERMSIG(status))
    return said or f"exit {os.WEXITSTATUS(status)}"  # what ends by `os._exit` says nothing


def by_signal(number: int) -> str:
    """How a process ended by a signal; SIGALRM is what ends one that hangs."""
    return "foreign hang" if number == signal.SIGALRM else signal.Signals(number).name


def beside(work: Callable[[], Any]) -> Callable[[], bool]:
    """Begin it in a process of its own; what is returned waits for it: whether it ended well, or by the project's own
    error."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except (SqueezeError, TrainerError):
            status = 0
        finally:
            os._exit(status)
    return lambda: os.waitpid(pid, 0)[1] == 0


def living(text: str) -> dict[int, str]:
    """{pid: command line} of every living process but this one whose command line has the text in it."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if text in words and state not in "ZX" and int(entry.name) != os.getpid():
            found[int(entry.name)] = words
    return found


def left_of(text: str) -> list[str]:
    """What is still there of the processes with the text in their command lines, after a while; then it is ended."""
    end = time.monotonic() + GONE_SECONDS
    while (there := living(text)) and time.monotonic() < end:
        time.sleep(0.1)
    for pid in there:
        os.kill(pid, signal.SIGKILL)
    return [f"left: {words[:80]}" for words in there.values()]
