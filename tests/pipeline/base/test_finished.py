"""A part is finished where its record says so and every file is as it was then."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.base.finished import finish, forget_records, is_finished

Damage = Callable[[Path], object]
DAMAGES: dict[str, Damage] = {
    "emptied": lambda file: file.write_bytes(b""),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "one bit": lambda file: file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:]),
    "gone": lambda file: file.unlink(),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A part whose second file lies in another folder."""
    (tmp_path / "work").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "work/one.json").write_bytes(b"[1]")
    (tmp_path / "out/one.arrow").write_bytes(b"tokens")
    finish(tmp_path / "work/one.json", tmp_path / "out/one.arrow")
    return tmp_path / "work/one.json"


def test_a_file_without_a_record_is_not_finished(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"whole")
    assert not is_finished(tmp_path / "part")
    finish(tmp_path / "part")
    assert is_finished(tmp_path / "part")


@pytest.mark.parametrize("name", ["work/one.json", "out/one.arrow"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_and_its_part_made_again(
    part: Path, tmp_path: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert is_finished(part)
    DAMAGES[damage](tmp_path / name)
    with caplog.at_level(logging.WARNING):
        assert not is_finished(part)
    assert Path(name).name in caplog.text
    assert not is_finished(part), "nor later, whatever is in its place"


@pytest.mark.parametrize(
    "record", [b"", b"\0\0\0", b"[]", b'{"one.json": 3}', b'{"one.json": [3]}', b"\xff", b"[" * 9999]
)
def test_a_damaged_record_is_none(part: Path, record: bytes) -> None:
    (part.parent / ".one.json.finished").write_bytes(record)
    assert not is_finished(part)


def test_a_folder_moved_as_a_whole_stays_finished(part: Path, tmp_path: Path) -> None:
    moved = tmp_path.rename(tmp_path.with_name("elsewhere"))
    assert is_finished(moved / "work/one.json")
    forget_records(moved)
    assert sorted(file.name for file in moved.rglob("*") if file.is_file()) == ["one.arrow", "one.json"]
