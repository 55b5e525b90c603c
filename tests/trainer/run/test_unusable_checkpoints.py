"""Checkpoints that cannot be used: passed over beside a good one, never started anew over, never counted or deleted."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from in_process import StopAfter, go  # noqa: E402

from trainer.__main__ import main  # noqa: E402
from trainer.errors import CheckpointError, TrainerError  # noqa: E402
from trainer.process.complaint import EXIT_SETTINGS  # noqa: E402
from trainer.run.checkpointing import Checkpoints  # noqa: E402
from trainer.run.checkpoints.checkpoint import newest_checkpoint, read_state  # noqa: E402
from trainer.run.folder import sorted_checkpoints  # noqa: E402
from trainer.run.learner import Learner  # noqa: E402
from trainer.run.trained_model import load_model  # noqa: E402

ROOT = Path(__file__).parents[3]


def write_state(place: Path, text: bytes) -> None:
    """A state that another trainer might have written: with its hash."""
    (place / "state.json").write_bytes(text)
    (place / "state.json.sha256").write_text(f"{hashlib.sha256(text).hexdigest()}  state.json\n")


def change_state(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def do(place: Path) -> None:
        document = json.loads((place / "state.json").read_text())
        change(document)
        write_state(place, json.dumps(document).encode())

    return do


def flip(file: Path, at: int, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1 << bit
    file.write_bytes(content)


def cut(place: Path) -> None:
    (place / "model.safetensors").write_bytes(b"x" * 100)


def folder_for(name: str) -> Callable[[Path], None]:
    def do(place: Path) -> None:
        (place / name).unlink()
        (place / name).mkdir()

    return do


def file_for_it(place: Path) -> None:
    for file in place.iterdir():
        file.unlink()
    place.rmdir()
    place.write_text("a checkpoint")


newer = change_state(lambda document: document.update(version=3))
UNUSABLE = {
    "a newer format": (newer, r"written by a newer version of this trainer \(it has version 3"),
    "a key of a newer format": (change_state(lambda document: document.update(of_tomorrow=1)), "it has of_tomorrow"),
    "another format": (change_state(lambda document: document.update(format="tomorrow")), "found 'tomorrow'"),
    "a version that is none": (change_state(lambda document: document.update(version="2")), "found .* version '2'"),
    "a file cut short": (cut, r"model\.safetensors: damaged"),
    "a file missing": (lambda place: (place / "optimizer.safetensors").unlink(), "no file"),
    "a folder for a file": (folder_for("optimizer.safetensors"), r"optimizer\.safetensors: cannot be read"),
    "no state": (lambda place: (place / "state.json").unlink(), r"state\.json: cannot be read"),
    "bytes for a state": (lambda place: write_state(place, b"\xff\xfe{"), "cannot be read"),
    "random bytes for a state": (lambda place: (place / "state.json").write_bytes(os.urandom(500)), "cannot be read"),
    "a list for a state": (lambda place: write_state(place, b"[]"), "expected a mapping, found list"),
    "a state nested without end": (lambda place: write_state(place, b"[" * 100_000), "cannot be read"),
    "a folder for a state": (folder_for("state.json"), r"state\.json: cannot be read"),
    "a folder for its hash": (folder_for("state.json.sha256"), r"state\.json\.sha256: cannot be read"),
    "no hash of the state": (lambda place: (place / "state.json.sha256").unlink(), "nothing says that .* is whole"),
    "a file for a checkpoint": (file_for_it, "cannot be read"),
    "another's name": (change_state(lambda document: document["run"].update(step=11)), "of step 11, in a folder of"),
    "a switch within the model": (
        change_state(lambda document: document["model"].update(moe={"experts": 2, "of_tomorrow": 1})),
        "a newer version of this trainer",
    ),
    "a field less": (change_state(lambda document: document["run"].pop("steps")), "damaged, or written by another"),
    "no files named": (change_state(lambda document: document.pop("files")), "`files` does not name"),
    "no hashes": (change_state(lambda document: document.update(files={})), "`files` does not name"),
    "no run": (change_state(lambda document: document.pop("run")), "run: expected a mapping"),
    "a field of another version": (
        change_state(lambda document: document["run"].update(of_tomorrow=1)),
        r"run\.of_tomorrow: unknown key",
    ),
    "a switch of another version": (
        change_state(lambda document: document["model"].update(of_tomorrow=1)),
        r"model\.of_tomorrow: unknown key",
    ),
}


def names(path: Path) -> list[str]:
    return [place.name for place in sorted_checkpoints(path.with_suffix("") / "checkpoints")]


def contents(path: Path, inside: str = "") -> dict[str, bytes]:
    folder = path.with_suffix("") / "checkpoints" / inside
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def stopped(make_run: Any) -> Path:
    """A run stopped after step 12: checkpoints of the steps 10 and 12."""
    path = make_run("run", max_steps=30, keep_checkpoints=2)
    go(path, StopAfter(12))
    assert names(path) == ["step_00000010", "step_00000012"]
    return path


@pytest.mark.parametrize(("spoil", "said"), UNUSABLE.values(), ids=UNUSABLE)
def test_whatever_makes_a_checkpoint_unusable_is_a_checkpoint_error(stopped: Path, spoil: Any, said: str) -> None:
    place = sorted_checkpoints(stopped.with_suffix("") / "checkpoints")[-1]
    spoil(place)
    with pytest.raises(CheckpointError, match=said):
        read_state(place)


def test_a_flipped_bit_in_any_file_is_found_and_named(stopped: Path) -> None:
    place = sorted_checkpoints(stopped.with_suffix("") / "checkpoints")[-1]
    read_state(place)
    draw = random.Random(1)
    for file in sorted(place.iterdir()):
        size = file.stat().st_size
        for at in {0, size - 1, *(draw.randrange(size) for _ in range(20))}:
            bit = draw.randrange(8)
            flip(file, at, bit)
            with pytest.raises(CheckpointError, match=file.name.removesuffix(".sha256")):
                read_state(place)
            flip(file, at, bit)
    read_state(place)


def test_a_checkpoint_of_before_the_hash_of_the_state_is_gone_on_from(stopped: Path) -> None:
    place = sorted_checkpoints(stopped.with_suffix("") / "checkpoints")[-1]
    change_state(lambda document: document.update(version=1))(place)
    (place / "state.json.sha256").unlink()
    assert go(stopped).resumed_from == [12]


def test_a_folder_of_checkpoints_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("no folder")
    with pytest.raises(CheckpointError, match="checkpoints: cannot be read"):
        newest_checkpoint(tmp_path / "checkpoints")
    assert newest_checkpoint(tmp_path / "none") is None


def test_one_that_was_passed_over_is_set_aside_when_the_run_reaches_its_step(
    make_run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_run("run", max_steps=30, keep_checkpoints=9)
    go(path, StopAfter(15))
    newer(path.with_suffix("") / "checkpoints" / "step_00000015")
    before = contents(path, "step_00000015/")
    assert go(path).resumed_from == [10]
    assert names(path) == [f"step_000000{step:02d}" for step in (5, 10, 15, 20, 25, 30)]
    assert contents(path, "unusable_step_00000015_1/") == before
    assert contents(path, "step_00000015/") != before
    assert "the old one is kept as unusable_step_00000015_1" in caplog.text


def test_a_checkpoint_of_another_run_is_neither_counted_nor_deleted(make_run: Any, after_each: Any) -> None:
    path, other = make_run("run", max_steps=30), make_run("other", max_steps=30, seed=2)
    go(other, StopAfter(5))
    go(path, StopAfter(8))
    folder = path.with_suffix("") / "checkpoints"
    shutil.rmtree(folder / "step_00000005")
    shutil.copytree(other.with_suffix("") / "checkpoints" / "step_00000005", folder / "step_00000005")
    after_each.clear()
    go(path)
    assert after_each == [
        ["05", "08", "10"],
        ["05", "10", "15"],
        ["05", "15", "20"],
        ["05", "20", "25"],
        ["05", "25", "30"],
    ]


def test_a_run_that_can_use_none_of_its_checkpoints_stops_and_touches_nothing(stopped: Path) -> None:
    older, newest = sorted_checkpoints(stopped.with_suffix("") / "checkpoints")
    newer(older)
    cut(newest)
    before = contents(stopped)
    with pytest.raises(CheckpointError, match="none of 2 checkpoints can be used") as refusal:
        go(stopped)
    said = str(refusal.value)
    assert f"{newest / 'model.safetensors'}: damaged" in said
    assert f"{older / 'state.json'}: written by a newer version" in said
    assert "to begin anew, move them away" in said
    assert contents(stopped) == before


def test_that_is_exit_status_2_with_the_reasons_left_beside_the_run(stopped: Path) -> None:
    for place in sorted_checkpoints(stopped.with_suffix("") / "checkpoints"):
        cut(place)
    assert main(["train", "--config", str(stopped)]) == EXIT_SETTINGS == 2
    assert "none of 2 checkpoints can be used" in stopped.with_name("run.json.error").read_text()


def test_under_torchrun_the_first_ranks_reasons_are_the_ones_left(stopped: Path) -> None:
    for place in sorted_checkpoints(stopped.with_suffix("") / "checkpoints"):
        cut(place)
    command = [sys.executable, "-m", "trainer.launch", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "trainer", "train", "--config", str(stopped)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert "none of 2 checkpoints can be used" in stopped.with_name("run.json.error").read_text()
    assert names(stopped) == ["step_00000010", "step_00000012"]


def test_once_they_are_moved_away_the_run_begins_anew(stopped: Path) -> None:
    folder = stopped.with_suffix("") / "checkpoints"
    for place in sorted_checkpoints(folder):
        cut(place)
    folder.rename(folder.with_name("unusable"))
    assert newest_checkpoint(folder) is None
    assert go(stopped).resumed_from == []


@pytest.fixture
def after_each(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The checkpoints that are there after each one is written."""
    seen: list[list[str]] = []
    write = Checkpoints.write

    def writing(self: Checkpoints, *arguments: Any) -> None:
        write(self, *arguments)
        seen.append([place.name[-2:] for place in sorted_checkpoints(self.folder)])

    monkeypatch.setattr(Checkpoints, "write", writing)
    return seen


def test_a_damaged_checkpoint_of_a_higher_step_pushes_no_good_one_out(
    make_run: Any, after_each: list[list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    path = make_run("run", max_steps=30, keep_checkpoints=2)
    go(path, StopAfter(10))
    folder = path.with_suffix("") / "checkpoints"
    for step in (24, 28):
        (folder / f"step_{step:08d}").mkdir()
    after_each.clear()
    assert go(path).resumed_from == [10]
    assert "step_00000028/state.json: cannot be read" in caplog.text
    assert after_each == [
        ["10", "15", "24", "28"],
        ["15", "20", "24", "28"],
        ["20", "24", "25", "28"],
        ["24", "25", "28", "30"],
    ]


def test_one_that_cannot_be_read_is_neither_counted_nor_deleted(
    stopped: Path, after_each: list[list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    newest = sorted_checkpoints(stopped.with_suffix("") / "checkpoints")[-1]
    cut(newest)
    assert go(stopped).resumed_from == [10]
    assert after_each == [["10", "12", "15"], ["12", "15", "20"], ["12", "20", "25"], ["12", "25", "30"]]
    assert caplog.text.count("step_00000012 stays where it is") == 1


def test_good_checkpoints_of_earlier_starts_are_deleted_in_their_turn(
    stopped: Path, after_each: list[list[str]]
) -> None:
    go(stopped)
    assert after_each == [["12", "15"], ["15", "20"], ["20", "25"], ["25", "30"]]


def test_a_roll_back_that_finds_none_to_use_says_where_and_why(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_run("run", max_steps=14, on_bad_loss="roll_back")
    clip = Learner.clip

    def bad_after_the_damage(self: Learner) -> float:
        places = sorted_checkpoints(path.with_suffix("") / "checkpoints")
        if places[-1].name != "step_00000005":
            return clip(self)
        for place in places:
            cut(place)
        return float("nan")

    monkeypatch.setattr(Learner, "clip", bad_after_the_damage)
    with pytest.raises(TrainerError, match=r"step 6, sequences 40 to 47 .*none of 2 checkpoints can be used"):
        go(path)
    assert names(path) == ["step_00000000", "step_00000005"]


def test_weights_that_are_none_are_a_checkpoint_error_wherever_they_are_read(make_run: Any) -> None:
    path = make_run("run", max_steps=1)
    go(path)
    file = path.with_suffix("") / "model.safetensors"
    whole, draw = file.read_bytes(), random.Random(1)
    for damaged in (b"", whole[:7], whole[:500], b"\xff" * 16 + whole[16:], *(draw.randbytes(300) for _ in range(20))):
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"model\.safetensors: (damaged|of another architecture)"):
            load_model(path.with_suffix(""))
