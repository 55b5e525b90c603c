"""Faults in whole runs of `dagster job execute -j full_train`, the literal command, on the tiny project.

A trial begins with a store in which what was made from a random moment on is missing, has something happen to the
command once or more, and lets it run to its end. It is survived when that run ends with status 0, with every
fingerprint, content hash and weight of an undisturbed run, nothing damaged and no process left.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import SqueezeError
from pipeline.store import Store
from tests.end_to_end.tiny_project import BIN
from tests.faults.outcome import Outcome
from tests.faults.processes import by_signal, left_of, living
from tests.faults.stages import put_damage_aside, state

MOST_SECONDS: Final = 900
KILLS: Final = {
    "kill of all": lambda there, dagster: list(there),
    "kill of dagster": lambda there, dagster: [dagster],
    "kill of the youngest": lambda there, dagster: [max(there, default=dagster)],
}
"""Which of the run's processes are killed: {pid: command line} and Dagster's own pid to pids."""
VARYING: Final = ("report",)
"""Shows how long the model took to train."""
STOP, TWICE, BESIDE = "stop", "two at once", "collection and verification"
KINDS: Final = (*KILLS, STOP, TWICE, BESIDE)


class Jobs:
    """The command of the README, as a user runs it."""

    name = "jobs"
    share = 1

    def __init__(self, profile: Path, folder: Path, outcome: Outcome) -> None:
        """Run it once, undisturbed. Raises SqueezeError where that fails."""
        self.profile, self.folder, self.sound = profile, folder, folder / "sound"
        ended = self._ended(self._start(self.sound))
        if ended != "end":
            raise SqueezeError(f"the undisturbed command ended by {ended}")
        self.wanted = _hashes(self.sound, profile)
        store = Store(self.sound, profile.stem)
        self.order = [item.key for item in sorted(store.artifacts(), key=lambda item: item.manifest.built.at)]

    def trial(self, seed: int, outcome: Outcome) -> None:
        draw, kind, home = random.Random(seed), KINDS[seed % len(KINDS)], self.folder / f"trial-{seed}"
        shutil.copytree(self.sound, home, symlinks=True)
        for key in self.order[draw.randrange(len(self.order)) :]:
            if (home / key).exists():  # a tokenizer that is not chosen lies within the chosen one's, and is made later
                shutil.rmtree(home / key)
        ended, struck = self._disturb(kind, home, draw)
        problems = left_of(str(home)) if kind != TWICE else []
        peace = self._ended(self._start(home))
        problems += [f"the next run ended by {peace}"] if peace != "end" else []
        problems += [f"damaged: {item}" for item in put_damage_aside(home, self.profile)[:3]]
        found = _hashes(home, self.profile)
        problems += [f"{key} differs" for key in self.wanted if found.get(key) != self.wanted[key]]
        problems += left_of(str(home))
        outcome.note(self.name, kind, seed, struck=int(struck), ended=[ended], problems=problems)
        shutil.rmtree(home)

    def _disturb(self, kind: str, home: Path, draw: random.Random) -> tuple[str, bool]:
        """How the disturbed run ended, and whether the fault struck it."""
        run = self._start(home)
        if kind == TWICE:
            time.sleep(draw.uniform(0, 3))
            other = self._start(home)
            ended = [self._ended(run), self._ended(other)]
            return ("end" if set(ended) == {"end"} else " and ".join(ended)), True
        if kind == BESIDE:
            while run.poll() is None:
                self._command("squeeze", "gc", "--yes", home=home)
                self._command("squeeze", "verify", home=home)
                time.sleep(draw.random())
            return self._ended(run), True
        self._wait(home, run, draw)
        struck = run.poll() is None
        if kind == STOP:
            run.terminate()
        else:
            for pid in KILLS[kind]({run.pid: "", **living(str(home))}, run.pid):
                with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(pid, signal.SIGKILL)
        return self._ended(run), struck

    def _start(self, home: Path) -> subprocess.Popen[bytes]:
        words = ("dagster", "job", "execute", "-j", "full_train")
        return self._command(*words, home=home, wait=False)

    def _command(self, *words: str, home: Path, wait: bool = True) -> subprocess.Popen[bytes]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER_", "SQUEEZE_"))}
        process = subprocess.Popen(
            [str(BIN / words[0]), *words[1:]],
            cwd=self.profile.parent,
            env=clean | {"SQUEEZE_PROFILE": str(self.profile), "SQUEEZE_HOME": str(home), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if wait:
            process.wait(MOST_SECONDS)
        return process

    def _ended(self, run: subprocess.Popen[bytes]) -> str:
        try:
            status = run.wait(MOST_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            return "foreign hang"
        return by_signal(-status) if status < 0 else f"exit {status}" if status else "end"

    def _wait(self, home: Path, run: subprocess.Popen[bytes], draw: random.Random) -> None:
        """Until a random share of what is missing has been made, and a moment more."""
        there, whole = _artifacts(home), _artifacts(self.sound)
        target, end = there + draw.random() * (whole - there), time.monotonic() + MOST_SECONDS
        while _artifacts(home) < target and run.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(draw.uniform(0, draw.choice([0.05, 1, 6])))


def _artifacts(home: Path) -> int:
    return sum(1 for _ in home.glob("**/manifest.json"))


def _hashes(home: Path, profile: Path) -> dict[str, Any]:
    """Fingerprint and content hash of each current artifact, and of the model its weights."""
    kept = ("fingerprint", "content", "model.safetensors")
    found = state(home, profile).items()
    return {key: {name: facts.get(name) for name in kept} for key, facts in found if key not in VARYING}
