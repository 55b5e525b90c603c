"""Faults in the building of documents to shards, in processes forked off one that has imported everything already.

A trial begins with a store of which a random part is built, has something happen to up to three runs one after the
other (or beside one, or to a file), and lets the next run end in peace. It is survived when that run ends without an
error, nothing on the disk is damaged, no artifact that was whole is gone, and every fingerprint, content hash and file
is that of an undisturbed run.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.base.errors import SqueezeError
from pipeline.store import Store
from pipeline.store.collection import collect, garbage
from tests.faults.injection import IN_THE_RUN
from tests.faults.mutations import mutated
from tests.faults.outcome import Outcome
from tests.faults.processes import beside, forked
from tests.faults.stages import build, put_damage_aside, stages, state, whole

FILES = ("a finished file", "an unfinished file", "a pointer")
BESIDE = ("a second run", "garbage collection", "verification")
SMALL = "a small disk"
"""A file system of its own, mounted for the trial, that is full before the run has ended."""


class Building:
    """The tiny project's assets from documents to shards."""

    name = "building"
    share = 8
    """Trials in a turn of a session."""

    def __init__(self, profile: Path, folder: Path, outcome: Outcome) -> None:
        """Build it once, undisturbed, in the folder. Raises SqueezeError where that fails."""
        self.profile, self.folder, self.sound = profile, folder, folder / "sound"
        self.kinds = (*IN_THE_RUN, *FILES, *BESIDE, SMALL)
        if os.geteuid() != 0 or shutil.which("mount") is None:
            outcome.skipped.add(f"{SMALL}: only root may mount one")
            self.kinds = self.kinds[:-1]
        modules = folder / "modules"
        ended = forked(lambda: self._undisturbed(modules))
        if ended != "end":
            raise SqueezeError(f"the undisturbed run ended by {ended}")
        self.keys = [asset.key for asset in stages(profile)]  # read once, and what a run imports and loads too
        for name in modules.read_text().split():
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        _load_language_data()
        self.wanted = state(self.sound, profile)

    def _undisturbed(self, modules: Path) -> None:
        build(self.profile, self.sound, "undisturbed")
        modules.write_text("\n".join(name for name in sys.modules if name != "__main__"))

    def trial(self, seed: int, outcome: Outcome) -> None:
        draw, kind, home = random.Random(seed), self.kinds[seed % len(self.kinds)], self.folder / f"trial-{seed}"
        mark = self.folder / f"struck-{seed}"
        with _small_disk(home) if kind == SMALL else contextlib.nullcontext():
            self._begun(home, draw)
            before = whole(home, self.profile)
            ended, struck = [], 0
            for _ in range(draw.randint(1, 3) if kind in IN_THE_RUN else 1):
                ended.append(self._disturb(kind, home, draw, mark))
                struck += mark.exists()
                mark.unlink(missing_ok=True)
            there = whole(home, self.profile)
            lost = sum(size for item, size in before.items() if item not in there) if kind not in FILES else 0
            outcome.bytes_lost += lost
            problems = [f"{lost:,} bytes lost"] if lost else []
            problems += [f"ended by {how}" for how in ended if how.startswith("foreign")]
            problems += self._peace(kind, home, seed)
        outcome.note(self.name, kind, seed, struck=struck, ended=ended, problems=problems)
        shutil.rmtree(home, ignore_errors=True)

    def _begun(self, home: Path, draw: random.Random) -> None:
        """A store in which the assets from a random one on are missing."""
        shutil.copytree(self.sound, home, symlinks=True, dirs_exist_ok=True)
        for key in self.keys[draw.randrange(len(self.keys)) :]:
            for item in (home / key).iterdir() if (home / key).is_dir() else ():
                if len(item.name) == 32 or item.name.startswith("CURRENT."):
                    shutil.rmtree(item) if item.is_dir() else item.unlink()

    def _peace(self, kind: str, home: Path, seed: int) -> list[str]:
        """What is wrong at the end of a run that nothing happens to."""
        peace = forked(lambda: build(self.profile, home, f"peace-{seed}"))
        if kind in FILES:  # as somebody does who was told of damage
            named = put_damage_aside(home, self.profile)
            peace = forked(lambda: build(self.profile, home, f"again-{seed}")) if named or peace != "end" else peace
        problems = [f"the next run ended by {peace}"] if peace != "end" else []
        problems += [f"damaged: {item}" for item in put_damage_aside(home, self.profile)[:3]]
        found = state(home, self.profile)
        return problems + [f"{key} differs" for key in self.wanted if found.get(key) != self.wanted[key]]

    def _disturb(self, kind: str, home: Path, draw: random.Random, mark: Path) -> str:
        def run() -> None:
            build(self.profile, home, "disturbed")

        if kind in IN_THE_RUN:
            return forked(run, lambda: IN_THE_RUN[kind](draw, home, mark))
        if kind == SMALL:
            room = draw.random() * sum(file.stat().st_size for file in self.sound.rglob("*") if file.is_file())
            _resize(home, _used(home) + int(room))
            ended = forked(run)
            _resize(home, 1 << 30)
            if ended != "end":
                mark.touch()
            return ended
        if kind in FILES:
            self._damage(kind, home, draw, mark)
            return forked(run)
        mark.touch()
        ended_well = beside(
            {
                "a second run": lambda: build(self.profile, home, "second"),
                "garbage collection": lambda: self._collect(home, draw),
                "verification": lambda: [whole(home, self.profile) for _ in range(5)],
            }[kind]
        )
        ended = forked(run)
        return ended if ended_well() else f"foreign end of {kind}"

    def _damage(self, kind: str, home: Path, draw: random.Random, mark: Path) -> None:
        if kind == "an unfinished file":
            kill = IN_THE_RUN["kill at a file"]
            forked(lambda: build(self.profile, home, "killed"), lambda: kill(draw, home, mark))
            mark.unlink(missing_ok=True)
        finished = "**/" + "[0-9a-f]" * 32
        folders = {"a finished file": finished, "an unfinished file": "**/.building-*", "a pointer": "**"}[kind]
        inside = "CURRENT.*" if kind == "a pointer" else "**/*"
        found = (file for folder in home.glob(folders) for file in folder.glob(inside))
        files = sorted(file for file in found if file.is_file() and file.stat().st_size)
        if files:
            file = draw.choice(files)
            file.write_bytes(mutated(file.read_bytes(), draw))
            mark.touch()

    def _collect(self, home: Path, draw: random.Random) -> None:
        for _ in range(10):
            store = Store(home, self.profile.stem)
            collect(store, garbage(store))
            time.sleep(draw.random())


def _load_language_data() -> None:
    """What every build of documents loads first, so that the forked ones have it."""
    from pipeline.curation.signals.language import detect_language
    from pipeline.curation.text.english import english_tokenizer

    english_tokenizer()
    detect_language("The old king sang a song by the river of stone.")


@contextlib.contextmanager
def _small_disk(home: Path) -> Iterator[None]:
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "faults", str(home)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


def _used(home: Path) -> int:
    disk = os.statvfs(home)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize


def _resize(home: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(home)], check=True)
