"""What carries files to nodes and back, with nodes that are folders of this machine and a bucket that is one."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.base.errors import EngineError
from pipeline.base.files import write_text
from pipeline.base.lock import exclusive_if_free
from pipeline.engine import carried
from pipeline.engine.carried import Carrier, run_carried
from pipeline.engine.executors import executor_of
from pipeline.engine.settings import RayEngine
from pipeline.store.remote.objects import Objects

pytest.importorskip("obstore", reason="obstore is missing: pip install '.[s3]'")


class Joined(NamedTuple):
    """Paths are found wherever they are in an argument."""

    inputs: tuple[Path, ...]
    out: Path


def join(task: Joined, words: str) -> Path:
    task.out.parent.mkdir(exist_ok=True)
    write_text(task.out, words.join(path.read_text() for path in task.inputs))
    (task.out.parent / "half.tmp").write_text("of an attempt that was killed")
    return task.out


def read_and_name(path: Path) -> tuple[str, Path]:
    return path.read_text(), path


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carried, "_reference_type", lambda: bytearray)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "in").mkdir(parents=True)
    for name in "ab":
        (tmp_path / "home" / "in" / name).write_text(name)
    return tmp_path / "home"


@pytest.fixture
def carrier(tmp_path: Path, home: Path) -> Carrier:
    return Carrier((tmp_path / "bucket").as_uri(), home, 1.0)


def task_of(home: Path) -> Joined:
    return Joined((home / "in" / "a", home / "in" / "b"), home / "out" / "c.txt")


def test_files_are_brought_and_what_was_left_comes_to_its_place(
    carrier: Carrier, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = carrier.load(join, task_of(home), "+")
    assert set(load.files) == {"in/a", "in/b"}
    assert load.folders == ("out",)
    assert os.fsencode(home) not in load.call, "no path of this machine travels"
    monkeypatch.setenv("SQUEEZE_NODE", str(tmp_path / "node"))
    unload = run_carried(load)
    assert set(unload.files) == {"out/c.txt"}
    assert not (home / "out").exists()
    assert carrier.unload(unload) == home / "out" / "c.txt"
    assert (home / "out" / "c.txt").read_text() == "a+b"
    assert not list((tmp_path / "node" / "attempts").iterdir())
    assert len(list((tmp_path / "node" / "blobs").iterdir())) == 3


def test_a_node_that_has_a_file_does_not_ask_for_it(
    carrier: Carrier, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = carried.fetch_blob

    def asking(objects: Objects, sha256: str, size: int, to: Path) -> None:
        asked.append(sha256)
        real(objects, sha256, size, to)

    monkeypatch.setattr(carried, "fetch_blob", asking)
    for node, fetched in (("one", 2), ("one", 0), ("two", 2)):
        monkeypatch.setenv("SQUEEZE_NODE", str(tmp_path / node))
        asked.clear()
        run_carried(carrier.load(join, task_of(home), "+"))
        assert len(asked) == fetched


def test_a_changed_file_at_the_same_path_is_another(
    carrier: Carrier, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_NODE", str(tmp_path / "node"))
    carrier.unload(run_carried(carrier.load(join, task_of(home), "+")))
    (home / "in" / "a").write_text("anew")
    path = carrier.unload(run_carried(carrier.load(join, task_of(home), "+")))
    assert path.read_text() == "anew+b"


def test_a_file_outside_the_root_comes_along_and_is_called_what_the_run_calls_it(
    carrier: Carrier, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_NODE", str(tmp_path / "node"))
    for place in (tmp_path / "source.txt", home / ".." / "source.txt"):
        place.write_text("elsewhere")
        load = carrier.load(read_and_name, place)
        place.unlink()
        unload = run_carried(load)
        assert unload.files == {}
        assert carrier.unload(unload) == ("elsewhere", tmp_path / "source.txt")


def test_what_a_killed_attempt_left_goes_once_it_is_surely_none(
    carrier: Carrier, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_NODE", str(tmp_path / "node"))
    attempts = tmp_path / "node" / "attempts"
    for name, age in (("killed", 100.0), ("running", 100.0), ("beginning", 0.0)):
        (attempts / name / "root").mkdir(parents=True)
        os.utime(attempts / name, (time.time() - age,) * 2)
    with exclusive_if_free(attempts / "running" / "lock"):
        os.utime(attempts / "running", (time.time() - 100,) * 2)
        run_carried(carrier.load(join, task_of(home), "+"))
    assert sorted(folder.name for folder in attempts.iterdir()) == ["beginning", "running"]


def test_a_node_takes_no_files_from_a_folder_of_another_user(
    carrier: Carrier, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_NODE", str(tmp_path / "node"))
    load = carrier.load(join, task_of(home), "+")
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(EngineError, match="is another user's: name a folder of your own by SQUEEZE_NODE"):
        run_carried(load)


def test_a_node_keeps_no_more_than_it_may_and_that_is_what_was_used_last(tmp_path: Path) -> None:
    for age, name in enumerate("abcd"):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    carried._keep_within(tmp_path, 250)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b"]


def test_without_a_bucket_nothing_can_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQUEEZE_STORE", raising=False)
    with pytest.raises(EngineError, match=r"engine\.files is `store`, and SQUEEZE_STORE names no bucket"):
        executor_of(RayEngine(files="store"), 0, tmp_path, setting="workers")
