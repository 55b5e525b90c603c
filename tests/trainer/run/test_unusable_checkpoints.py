"""Checkpoints that cannot be used: passed over beside a good one, never started anew over, never counted or deleted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from in_process import StopAfter, go  # noqa: E402

from trainer.__main__ import EXIT_SETTINGS, main  # noqa: E402
from trainer.errors import CheckpointError, TrainerError  # noqa: E402
from trainer.run.checkpointing import Checkpoints  # noqa: E402
from trainer.run.checkpoints.checkpoint import newest_checkpoint, read_state  # noqa: E402
from trainer.run.folder import sorted_checkpoints  # noqa: E402
from trainer.run.learner import Learner  # noqa: E402

ROOT = Path(__file__).parents[3]


def change_state(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def do(place: Path) -> None:
        document = json.loads((place / "state.json").read_text())
        change(document)
        (place / "state.json").write_text(json.dumps(document))

    return do


def cut(place: Path) -> None:
    (place / "model.safetensors").write_bytes(b"x" * 100)


def not_a_file(place: Path) -> None:
    (place / "optimizer.safetensors").unlink()
    (place / "optimizer.safetensors").mkdir()


newer = change_state(lambda document: document.update(version=2))
UNUSABLE = {
    "a newer format": (newer, "found 'squeeze-checkpoint' version 2"),
    "a file cut short": (cut, r"model\.safetensors: damaged"),
    "a file missing": (lambda place: (place / "optimizer.safetensors").unlink(), "no file"),
    "a folder for a file": (not_a_file, r"optimizer\.safetensors: cannot be read"),
    "no state": (lambda place: (place / "state.json").unlink(), r"state\.json: cannot be read"),
    "bytes for a state": (lambda place: (place / "state.json").write_bytes(b"\xff\xfe{"), "cannot be read"),
    "a list for a state": (lambda place: (place / "state.json").write_text("[]"), "expected a mapping, found list"),
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


def contents(path: Path) -> dict[str, bytes]:
    folder = path.with_suffix("") / "checkpoints"
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


def test_a_run_that_can_use_none_of_its_checkpoints_stops_and_touches_nothing(stopped: Path) -> None:
    older, newest = sorted_checkpoints(stopped.with_suffix("") / "checkpoints")
    newer(older)
    cut(newest)
    before = contents(stopped)
    with pytest.raises(CheckpointError, match="none of 2 checkpoints can be used") as refusal:
        go(stopped)
    said = str(refusal.value)
    assert f"{newest / 'model.safetensors'}: damaged" in said
    assert f"{older / 'state.json'}: expected squeeze-checkpoint version 1" in said
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
    assert after_each == [["10", "15", "24", "28"], ["15", "20", "24", "28"], ["20", "24", "25", "28"]]


def test_one_that_cannot_be_read_is_neither_counted_nor_deleted(
    stopped: Path, after_each: list[list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    newest = sorted_checkpoints(stopped.with_suffix("") / "checkpoints")[-1]
    cut(newest)
    assert go(stopped).resumed_from == [10]
    assert after_each == [["10", "12", "15"], ["12", "15", "20"], ["12", "20", "25"]]
    assert caplog.text.count("step_00000012 stays where it is") == 1


def test_good_checkpoints_of_earlier_starts_are_deleted_in_their_turn(
    stopped: Path, after_each: list[list[str]]
) -> None:
    go(stopped)
    assert after_each == [["12", "15"], ["15", "20"], ["20", "25"]]


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
