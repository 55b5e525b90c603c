"""Pinned archives: fetched once, checked always, and clear about what to do when that is not possible."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.base import archives
from pipeline.base.archives import (
    Archive,
    fetch_archive,
    in_cache,
    list_members,
    member_sizes,
    open_member,
    read_member,
)
from pipeline.base.errors import SourceError


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "cache" / "fairy_tales-1.2.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fairy_tales/texts/a.txt", "Once upon a time")
        archive.writestr("fairy_tales/texts/b.txt", "there was")
        archive.writestr("fairy_tales/code.py", "raise SystemExit")
        info = "fairy_tales-1.2.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: fairy_tales\nVersion: 1.2.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def pinned(wheel: Path, **changes: str) -> Archive:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Archive(**{"package": "Fairy.Tales", "version": "1.2.0", "sha256": digest, **changes})


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pip finds an empty index: the nearest thing to no network that is the same on every machine."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))


def test_a_wheel_in_the_cache_is_used_without_a_network(wheel: Path, no_index: None) -> None:
    assert fetch_archive(pinned(wheel), wheel.parent) == wheel


def test_a_wheel_that_is_not_in_the_cache_is_downloaded_into_it(wheel: Path, tmp_path: Path, no_index: None) -> None:
    (tmp_path / "links").mkdir()
    wheel.replace(tmp_path / "links" / wheel.name)
    archive = pinned(tmp_path / "links" / wheel.name)
    fetched = fetch_archive(archive, tmp_path / "new" / "cache")
    assert fetched == tmp_path / "new" / "cache" / wheel.name
    assert list(fetched.parent.iterdir()) == [fetched], "nothing else is left in the cache"


def test_members_are_listed_by_pattern_and_read(wheel: Path) -> None:
    assert list_members(wheel, "*.txt") == ["fairy_tales/texts/a.txt", "fairy_tales/texts/b.txt"]
    with open_member(wheel, "fairy_tales/texts/a.txt") as file:
        assert file.read() == b"Once upon a time"


def test_a_wrong_hash_is_refused_and_the_file_kept(wheel: Path) -> None:
    with pytest.raises(SourceError, match=r"SHA-256 [0-9a-f]{64}, but the profile pins Fairy.Tales==1.2.0 to 0000"):
        fetch_archive(pinned(wheel, sha256="0" * 64), wheel.parent)
    assert wheel.exists()


def test_a_download_with_a_wrong_hash_does_not_reach_the_cache(wheel: Path, tmp_path: Path, no_index: None) -> None:
    (tmp_path / "links").mkdir()
    wheel.replace(tmp_path / "links" / wheel.name)
    archive = pinned(tmp_path / "links" / wheel.name, sha256="0" * 64)
    with pytest.raises(SourceError, match="but the profile pins"):
        fetch_archive(archive, wheel.parent)
    assert list(wheel.parent.iterdir()) == []


def test_without_a_network_the_message_says_what_to_fetch_and_where_it_looked(
    wheel: Path, tmp_path: Path, no_index: None
) -> None:
    with pytest.raises(SourceError) as raised:
        fetch_archive(pinned(wheel, version="9.9"), wheel.parent)
    message = str(raised.value)
    assert "pip download --no-deps --only-binary :all: Fairy.Tales==9.9" in message
    assert str(wheel.parent) in message


def test_a_missing_member_names_the_nearest_ones(wheel: Path) -> None:
    with pytest.raises(SourceError, match=r"no member 'texts/a.txt'; it has fairy_tales/texts/a.txt"):
        open_member(wheel, "texts/a.txt")


def test_a_file_that_is_no_zip_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken-1-py3-none-any.whl"
    path.write_bytes(b"not a zip archive")
    with pytest.raises(SourceError, match="broken-1"):
        list_members(path, "*")


def test_an_archive_of_a_later_format_or_with_a_nameless_member_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "nameless.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(""), "x")
        archive.writestr("text.txt", "y")
    assert (list_members(path, "*"), member_sizes(path)) == (["text.txt"], {"text.txt": 1})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 84  # the version that is needed to read it
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"nameless\.whl cannot be read as a wheel"):
        list_members(path, "*")


def test_a_download_says_how_much_is_there(wheel: Path, tmp_path: Path, monkeypatch, caplog) -> None:
    class Pip(subprocess.Popen):
        """Stands for pip: writes what it has so far into its own temporary folder, and then the wheel."""

        def __init__(self, command: list[str], **settings: Any) -> None:
            program = (
                "import os, pathlib, shutil, sys, time\n"
                "part = pathlib.Path(os.environ['TMPDIR']) / 'part'\n"
                "part.write_bytes(bytes(3_000_000)); time.sleep(1); part.unlink()\n"
                "shutil.copy(sys.argv[1], sys.argv[2])\n"
            )
            to = command[command.index("--dest") + 1]
            super().__init__([sys.executable, "-c", program, str(wheel), to], **settings)

    monkeypatch.setattr(archives.subprocess, "Popen", Pip)
    monkeypatch.setattr(archives, "LOOK_EVERY", 0.05)
    monkeypatch.setattr("pipeline.base.progress.SECONDS", 0.0)
    with caplog.at_level("INFO"):
        fetch_archive(pinned(wheel), tmp_path / "new")
    assert any("Fairy.Tales==1.2.0: fetched" in line and "3.0 MB" in line for line in caplog.messages)


def test_a_file_that_is_no_archive_is_in_nobodys_way(tmp_path):
    archive = Archive(package="stories", version="1.0", sha256="0" * 64)
    (tmp_path / "stories-1.0-py3-none-any.whl").write_bytes(b"")
    assert not in_cache(archive, tmp_path)


@pytest.mark.parametrize("damage", [b"Twice upon a time", None], ids=["bytes", "encrypted"])
def test_a_member_that_cannot_be_read_is_named(wheel: Path, damage: bytes | None) -> None:
    data = wheel.read_bytes()
    if damage:
        wheel.write_bytes(data.replace(b"Once upon a time", damage[:16]))
    else:  # the first flag of each header says so
        wheel.write_bytes(data.replace(b"PK\x01\x02\x14\x03\x14\0\0", b"PK\x01\x02\x14\x03\x14\0\1"))
    with pytest.raises(SourceError, match=r"a\.txt' cannot be read \("):
        read_member(wheel, "fairy_tales/texts/a.txt")
