"""Why a run ended is said in a sentence, by the one that knows, and left beside it; nothing half-written stays."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from trainer import files  # noqa: E402
from trainer.__main__ import main  # noqa: E402
from trainer.errors import CheckpointError, TrainerError  # noqa: E402
from trainer.launch import config_of, status_of_ranks  # noqa: E402
from trainer.process.complaint import STATUS_FOLDER, Complaint, leave_status, sentence  # noqa: E402
from trainer.run.learner import Learner  # noqa: E402

LOST = RuntimeError("[gloo/pair.cc] Connection closed by peer [127.0.0.1]:1\nand more")


def train(path: Path) -> int:
    return main(["train", "--config", str(path)])


def said(path: Path) -> str:
    return path.with_name("run.json.error").read_text()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A disk that has no room for files whose name begins as `full_for` says."""
    sync = files._sync

    def syncing(path: Path) -> None:
        if path.name.startswith(os.environ.get("FULL_FOR", "?")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(path)

    monkeypatch.setattr(files, "_sync", syncing)
    return monkeypatch


@pytest.mark.parametrize(
    "name",
    ["optimizer.safetensors", "state.json.", "config.json", "summary.json", "metrics.jsonl", "model.safetensors"],
)
def test_a_full_disk_is_told_of_with_the_file_and_leaves_nothing_half_written(
    make_run: Any, full_disk: pytest.MonkeyPatch, name: str
) -> None:
    path = make_run("run", max_steps=7)
    if name == "metrics.jsonl":
        path.with_suffix("").mkdir()
        (path.with_suffix("") / name).touch()
    full_disk.setenv("FULL_FOR", name)
    assert train(path) == 1
    assert f"{name.rstrip('.')}: the disk is full" in said(path)
    assert "(No space left on device); free some space and start again" in said(path)
    assert not list(path.parent.rglob("*.tmp"))
    full_disk.delenv("FULL_FOR")
    assert train(path) == 0
    assert not path.with_name("run.json.error").exists()


def test_what_is_no_error_of_the_trainer_s_own_is_named_and_shown(
    make_run: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_run("run", max_steps=7)
    monkeypatch.setattr(Learner, "clip", lambda _: {}["of tomorrow"])
    assert train(path) == 1
    assert said(path) == "KeyError: 'of tomorrow' (a fault of the trainer; see its output)\n"
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory")])
def test_memory_that_has_run_out_is_a_sentence(
    make_run: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    path = make_run("run", max_steps=7)

    def no_room(*_: Any) -> float:
        raise error

    monkeypatch.setattr(Learner, "clip", no_room)
    assert train(path) == 1
    assert said(path).startswith("out of memory")
    assert "Traceback" not in capsys.readouterr().err


def test_a_rank_that_lost_another_leaves_that_one_s_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    first, second = Complaint(path), Complaint(path)
    second.rank = "1"
    first.begin()
    assert first.about(TrainerError("the cause")) == 1
    assert second.about(LOST) == 1
    assert said(path) == "the cause\n"
    monkeypatch.setattr("trainer.process.complaint.PEER_SECONDS", 0.0)
    first.begin()
    assert second.about(LOST) == 1
    assert said(path).startswith("rank 1: another rank ended or cannot be reached")


def test_what_was_said_before_is_forgotten_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    complaint = Complaint(path)
    complaint.begin()
    assert complaint.about(CheckpointError("loss is nan")) == 2
    (tmp_path / "run.json.error.7.tmp").touch()  # of a rank that there is none of now
    complaint.begin()
    complaint.end()
    assert list(tmp_path.iterdir()) == []


def test_a_message_fits_where_room_was_set_aside_for_it(tmp_path: Path) -> None:
    complaint = Complaint(tmp_path / "run.json")
    complaint.begin()
    (room,) = tmp_path.iterdir()
    assert room.stat().st_size == 4096
    complaint.about(TrainerError("short"))
    complaint.end()
    assert said(tmp_path / "run.json") == "short\n"


def test_a_library_that_finds_no_room_is_memory_that_has_run_out() -> None:
    error = ImportError("libtorch_cpu.so: failed to map segment from shared object")
    assert sentence(error).startswith("out of memory (libtorch_cpu.so: failed to map segment")


def test_a_disk_that_cannot_be_read_is_named() -> None:
    assert sentence(OSError(errno.EIO, "Input/output error", "shard")) == (
        "shard: Input/output error; start again to go on from the last checkpoint"
    )


@pytest.mark.parametrize(
    ("ranks", "status"), [([75, 75], 75), ([1, 75], 1), ([75, 2, 1], 2), ([0, 75], 75), ([], None)]
)
def test_the_launcher_ends_with_what_the_ranks_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: list[int], status: int | None
) -> None:
    monkeypatch.setenv(STATUS_FOLDER, str(tmp_path))
    for rank, left in enumerate(ranks):
        monkeypatch.setenv("RANK", str(rank))
        leave_status(left)
    assert status_of_ranks(tmp_path) == status


def test_the_launcher_knows_the_run_it_starts() -> None:
    from torch.distributed.run import get_args_parser

    words = ["--standalone", "-m", "trainer", "train", "--config", "a/run.json"]
    assert config_of(get_args_parser().parse_args(words)) == Path("a/run.json")
    assert config_of(get_args_parser().parse_args(["other.py", "--config", "a/run.json"])) is None
