"""Every reader of the project's own files on damaged ones: it gives what it read, or the project's own error.

A worker process tries seed after seed and notes each before it reads, so that a signal or a hang names its input too.
"""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.base.errors import SqueezeError
from tests.faults.mutations import damaged
from tests.faults.reader import Reader
from tests.faults.readers import READERS
from trainer.errors import TrainerError

SAY_EVERY = 300
"""Seconds between two looks at what came of a long session so far."""
MOST_SECONDS = 60
"""Of a processor, for one input of some kilobytes; twenty times as long by the clock, on a machine that does much
else."""


@dataclass
class Tally:
    """What happened: inputs accepted, refused in the project's own words (also by class of error), and the rest."""

    accepted: Counter[str] = field(default_factory=Counter)
    """By reader, as `refused`."""
    refused: Counter[str] = field(default_factory=Counter)
    own: Counter[str] = field(default_factory=Counter)
    foreign: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    """(error, place) to [how often, its text, the first input that did it]."""

    @property
    def inputs(self) -> int:
        return self.accepted.total() + self.own.total() + sum(item[0] for item in self.foreign.values())

    def note(self, what: str, place: str, text: str, name: str, seed: int) -> None:
        self.foreign.setdefault((what, place), [0, text, f"{name}:{seed}"])[0] += 1

    def __str__(self) -> str:
        errors = ", ".join(f"{name} {count:,}" for name, count in self.own.most_common())
        readers = sorted({*self.accepted, *self.refused})
        lines = [
            f"{self.inputs:,} inputs over {len(readers)} readers: {self.accepted.total():,} read, "
            f"{self.own.total():,} refused ({errors}), {len(self.foreign)} kinds of foreign error",
            "  " + ", ".join(f"{name} {self.accepted[name] + self.refused[name]:,}" for name in readers),
        ]
        for (what, place), (count, text, first) in sorted(self.foreign.items(), key=lambda item: -item[1][0]):
            lines.append(f"  {count:,} {what} at {place}: {text!r}; again with: fuzz --input {first}")
        return "\n".join(lines)


def fuzz(seconds: float, seed: int, names: Sequence[str] = ()) -> Tally:
    """Try damaged files on all readers, or the named ones, in turns for as long as that."""
    tally, end = Tally(), time.monotonic() + seconds
    names = list(names or READERS)
    numbers = dict.fromkeys(names, seed)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        sound = {name: _sound(READERS[name], Path(folder) / name) for name in names}
        said = time.monotonic()
        while time.monotonic() < end:
            if time.monotonic() > said + SAY_EVERY:
                said = time.monotonic()
                print(tally, file=sys.stderr, flush=True)
            for name in names:
                share = max(min(end - time.monotonic(), 20, seconds / len(names) / 3), 0.2)
                numbers[name] = _in_worker(name, sound[name], numbers[name], share, tally)
                if time.monotonic() >= end:
                    break
    return tally


def try_input(text: str) -> None:
    """One input again, `name:seed`, in this process: whatever it raises passes through."""
    name, _, seed = text.partition(":")
    with tempfile.TemporaryDirectory() as folder:
        place = _sound(READERS[name], Path(folder) / name)
        file, data = _input(name, place, int(seed))
        print(f"{file.relative_to(place)}: {data[:2000]!r}")
        file.write_bytes(data)
        print(READERS[name].read(place))


def _sound(reader: Reader, folder: Path) -> Path:
    folder.mkdir(parents=True)
    reader.make(folder)
    reader.read(folder)
    return folder


def _input(name: str, folder: Path, seed: int) -> tuple[Path, bytes]:
    draw = random.Random(f"{name} {seed}")
    files = sorted({file for pattern in READERS[name].files for file in folder.glob(pattern) if file.is_file()})
    file = draw.choice(files)
    data = damaged(file.read_bytes(), draw)
    seal = READERS[name].seal
    if seal is not None and draw.random() < 0.6:  # with the right hash, so that what follows is tried too
        data = seal(file.name, data)
    return file, data


def _in_worker(name: str, folder: Path, seed: int, seconds: float, tally: Tally) -> int:
    """Go on from `seed` in a process of its own; returns the seed to go on with."""
    here, there = multiprocessing.Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        try:
            _work(name, folder, seed, seconds, there)
        finally:
            os._exit(0)
    there.close()
    last = seed - 1
    while True:
        try:
            kind, *rest = here.recv()
        except EOFError:
            break
        if kind == "try":
            last = rest[0]
        elif kind == "read":
            tally.accepted[name] += 1
        elif kind == "own":
            tally.own[rest[0]] += 1
            tally.refused[name] += 1
        else:
            tally.note(*rest, name, last)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        number = signal.Signals(os.WTERMSIG(status))
        what = "hang" if number in (signal.SIGALRM, signal.SIGPROF) else number.name
        tally.note(what, name, "the process ended by a signal", name, last)
        shutil.rmtree(folder)
        _sound(READERS[name], folder)
    return last + 1


def _work(name: str, folder: Path, seed: int, seconds: float, pipe: Any) -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    faulthandler.disable()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    end = time.monotonic() + seconds
    read = READERS[name].read
    while time.monotonic() < end:
        file, data = _input(name, folder, seed)
        pipe.send(("try", seed))
        sound = file.read_bytes()
        _replace(file, data)
        _limit(MOST_SECONDS)
        try:
            read(folder)
            pipe.send(("read",))
        except (SqueezeError, TrainerError) as error:
            pipe.send(("own", type(error).__name__))
        except BaseException as error:  # what comes out of Rust's panics is no Exception
            pipe.send(("foreign", type(error).__name__, _place(error), str(error)[:200]))
        _limit(0)
        _replace(file, sound)
        seed += 1


def _limit(seconds: int) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(20 * seconds)


def _replace(file: Path, data: bytes) -> None:
    new = file.with_name(f"{file.name}.new")  # another inode: maps of the one before stay what they are
    new.write_bytes(data)
    new.replace(file)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/pipeline/" in frame.filename or "/trainer/" in frame.filename]
    frame = (ours or frames)[-1]
    return f"{'/'.join(Path(frame.filename).parts[-3:])}:{frame.lineno}"
