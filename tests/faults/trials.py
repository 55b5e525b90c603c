"""One fault after another on a tiny project's store: what is injected, and whether the end is that of no fault at all.

A trial begins with a store of which a random part is built, has something happen to a run (or beside it, or to a file),
and lets the next run end in peace. It is survived when that run ends without an error, nothing on the disk is damaged,
no artifact that was whole is gone, and every fingerprint, content hash and file is that of an undisturbed run.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.base.errors import SqueezeError
from pipeline.store import Store
from pipeline.store.collection import collect, garbage
from tests.faults.injection import IN_THE_RUN
from tests.faults.mutations import mutated
from tests.faults.stages import build, put_damage_aside, stages, state, whole

FILES = ("a finished file", "an unfinished file", "a pointer")
BESIDE = ("a second run", "garbage collection", "verification")
KINDS = (*IN_THE_RUN, *FILES, *BESIDE)
MOST_SECONDS = 240


@dataclass
class Outcome:
    """What came of the faults of a session."""

    injected: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    """How runs in trouble ended, by the error's class or the signal."""
    bytes_lost: int = 0
    wrong: list[str] = field(default_factory=list)
    """A line for each trial that was not survived, with its seed."""

    def __str__(self) -> str:
        total = self.injected.total()
        failed = len(self.wrong)
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.injected.items()))
        ends = ", ".join(f"{name} {count}" for name, count in self.said.most_common())
        head = f"{total} faults injected, {total - failed} survived, {self.bytes_lost:,} bytes lost, {failed} wrong"
        return "\n".join([head, f"  injected: {kinds}", f"  runs ended: {ends}", *(f"  {line}" for line in self.wrong)])


def session(profile: Path, seconds: float, seed: int, most: int | None = None) -> Outcome:
    """Trials with the seeds from `seed` on, for that long or that many."""
    outcome = Outcome()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound"
        ended = _forked(lambda: _undisturbed(profile, sound, Path(folder) / "modules"))
        if ended != "end":
            raise SqueezeError(f"the undisturbed run ended by {ended}")
        stages(profile)  # read once, and what a run imports too, for all that are forked off
        for name in (Path(folder) / "modules").read_text().split():
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        wanted = state(sound, profile)
        end, first = time.monotonic() + seconds, seed
        while time.monotonic() < end and (most is None or seed - first < most):
            home = Path(folder) / f"trial-{seed}"
            try:
                _trial(profile, sound, home, seed, wanted, outcome)
            finally:
                shutil.rmtree(home, ignore_errors=True)
            seed += 1
    return outcome


def _undisturbed(profile: Path, home: Path, modules: Path) -> None:
    build(profile, home, "undisturbed")
    modules.write_text("\n".join(name for name in sys.modules if name != "__main__"))


def _trial(
    profile: Path, sound: Path, home: Path, seed: int, wanted: dict[str, dict[str, str]], outcome: Outcome
) -> None:
    draw = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    outcome.injected[kind] += 1
    shutil.copytree(sound, home, symlinks=True)
    keys = [asset.key for asset in stages(profile)]
    for key in keys[draw.randrange(len(keys)) :]:
        for item in (home / key).iterdir() if (home / key).is_dir() else ():
            if len(item.name) == 32 or item.name.startswith("CURRENT."):
                shutil.rmtree(item) if item.is_dir() else item.unlink()
    before = whole(home, profile)
    ended = _disturb(kind, profile, home, draw)
    outcome.said[ended] += 1
    lost = sum(size for item, size in before.items() if item not in whole(home, profile)) if kind not in FILES else 0
    outcome.bytes_lost += lost
    problems = [f"{lost:,} bytes lost"] if lost else []
    problems += [f"ended by {ended}"] if ended.startswith("foreign") else []
    peace = _forked(lambda: build(profile, home, f"peace-{seed}"))
    if kind in FILES:  # as somebody does who was told of damage
        named = put_damage_aside(home, profile)
        peace = _forked(lambda: build(profile, home, f"again-{seed}")) if named or peace != "end" else peace
    problems += [f"the next run ended by {peace}"] if peace != "end" else []
    problems += [f"damaged: {item}" for item in put_damage_aside(home, profile)[:3]]
    found = state(home, profile)
    problems += [f"{key} differs" for key in wanted if found.get(key) != wanted[key]]
    if problems:
        outcome.wrong.append(f"seed {seed} ({kind}): {'; '.join(problems)}")


def _disturb(kind: str, profile: Path, home: Path, draw: random.Random) -> str:
    if kind in IN_THE_RUN:
        return _forked(lambda: build(profile, home, "disturbed"), lambda: IN_THE_RUN[kind](draw, home))
    if kind in FILES:
        if kind == "an unfinished file":
            _forked(lambda: build(profile, home, "killed"), lambda: IN_THE_RUN["kill at a file"](draw, home))
        pattern = {"a finished file": "*/" + "[0-9a-f]" * 32, "an unfinished file": "**/.building-*", "a pointer": "**"}
        inside = "CURRENT.*" if kind == "a pointer" else "**/*"
        files = [
            file
            for folder in home.glob(pattern[kind] if kind != "a finished file" else "**/" + "[0-9a-f]" * 32)
            for file in folder.glob(inside)
            if file.is_file() and file.stat().st_size
        ]
        if files:
            file = draw.choice(sorted(files))
            file.write_bytes(mutated(file.read_bytes(), draw))
        return _forked(lambda: build(profile, home, "disturbed"))
    beside = {
        "a second run": lambda: build(profile, home, "second"),
        "garbage collection": lambda: _collect(profile, home, draw),
        "verification": lambda: [whole(home, profile) for _ in range(5)],
    }[kind]
    other = os.fork()
    if other == 0:
        _end_as(beside)
    ended = _forked(lambda: build(profile, home, "disturbed"))
    _, status = os.waitpid(other, 0)
    return ended if status == 0 else f"foreign end of {kind}"


def _collect(profile: Path, home: Path, draw: random.Random) -> None:
    for _ in range(10):
        store = Store(home, profile.stem)
        collect(store, garbage(store))
        time.sleep(draw.random())


def _end_as(work: Callable[[], Any]) -> None:
    """Do it and end the process: 0 after an end or an error of the project's own."""
    status = 1
    try:
        work()
        status = 0
    except SqueezeError:
        status = 0
    finally:
        os._exit(status)


def _forked(work: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> str:
    """Do it in a process group of its own; how it ended: `end`, the error's name, or the signal's.

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
            work()
            said = "end"
        except (SqueezeError, OSError) as error:
            said = type(error).__name__
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            said = f"foreign {type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {error}"[:200]
        os.write(there, said.encode())
        os._exit(0)
    os.close(there)
    with os.fdopen(here, "rb") as pipe:
        said = pipe.readline().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        return said
    number = signal.Signals(os.WTERMSIG(status))
    return "foreign hang" if number == signal.SIGALRM else number.name
