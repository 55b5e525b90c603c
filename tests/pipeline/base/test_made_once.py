"""What a machine works out once: found again, damaged, made twice at the same time, too much of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from pipeline.base import made_once as module
from pipeline.base.made_once import made_once


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "squeeze" / "things"


def never() -> bytes:
    pytest.fail("made again")


def test_what_was_made_is_found_again_and_what_depends_on_something_else_is_not() -> None:
    assert made_once("things", ["1", "a"], lambda: b"first") == b"first"
    assert made_once("things", ["1", "a"], never) == b"first"
    assert made_once("things", ["2", "a"], lambda: b"second") == b"second"
    assert made_once("others", ["1", "a"], lambda: b"third") == b"third"
    assert made_once("things", ["1", "a"], never).readonly


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-1],
        lambda whole: whole[:10],
        lambda whole: b"",
        lambda whole: bytes(len(whole)),
        lambda whole: whole[:-1] + b"?",
        lambda whole: b"?" + whole[1:],
    ],
    ids=["cut short", "no digest", "empty", "zeros", "content", "digest"],
)
def test_what_is_damaged_is_made_again(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    made_once("things", ["a"], lambda: b"right")
    (file,) = folder.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert made_once("things", ["a"], lambda: b"right") == b"right"
    assert made_once("things", ["a"], never) == b"right"


def test_who_makes_the_same_at_once_gets_it_whole_and_leaves_one_file(folder: Path) -> None:
    together = Barrier(8)

    def make() -> bytes:
        together.wait(timeout=30)  # nobody has written when the last one begins
        return b"same" * 100_000

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: made_once("things", ["a"], make), range(8)))
    assert all(one == b"same" * 100_000 for one in made)
    assert made_once("things", ["a"], never) == made[0]
    assert len(list(folder.iterdir())) == 1


def test_what_was_not_used_for_longest_makes_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 250)
    for age, name in ((30, "old"), (20, "middle")):
        before = set(folder.iterdir()) if folder.is_dir() else set()
        made_once("things", [name], lambda: bytes(80))
        (file,) = set(folder.iterdir()) - before
        os.utime(file, (time.time() - age, time.time() - age))
    made_once("things", ["old"], never)  # used again, so another one is the oldest now
    made_once("things", ["new"], lambda: bytes(80))
    made_once("things", ["old"], never)
    made_once("things", ["new"], never)
    assert len(list(folder.iterdir())) == 2


def test_what_a_killed_process_left_goes_after_a_day(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "left.bin.tmp").write_bytes(b"half")
    (folder / "written.bin.tmp").write_bytes(b"now")
    os.utime(folder / "left.bin.tmp", (time.time() - 90_000, time.time() - 90_000))
    made_once("things", ["a"], lambda: b"whole")
    assert sorted(path.name for path in folder.glob("*.tmp")) == ["written.bin.tmp"]


def test_without_a_place_for_it_everything_is_made_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    made = [made_once("things", ["a"], lambda number=number: b"%d" % number) for number in range(2)]
    assert made == [b"0", b"1"]


def test_what_cannot_be_made_leaves_nothing(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        made_once("things", ["a"], lambda: bytes(1 // 0))
    assert made_once("things", ["a"], lambda: b"made") == b"made"
