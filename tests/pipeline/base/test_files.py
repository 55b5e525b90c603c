"""Files are whole or not there, whatever ends the writing of them."""

import errno
import hashlib
import json
from pathlib import Path

import pytest

from pipeline.base.errors import DiskFullError
from pipeline.base.files import HashingWriter, naming_full_disk, sha256_of, whole_file, whole_path, write_json


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    with whole_file(tmp_path / "new" / "words.bin") as file:
        file.write(b"half")
        assert not (tmp_path / "new" / "words.bin").exists()
        file.write(b" and whole")
    assert (tmp_path / "new" / "words.bin").read_bytes() == b"half and whole"


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_json(tmp_path / "numbers.json", [1])

    def write_half() -> None:
        with whole_file(tmp_path / "numbers.json") as file:
            file.write(b"[1,")
            raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["numbers.json"]
    assert json.loads((tmp_path / "numbers.json").read_text()) == [1]


def test_two_writers_of_one_file_never_share_a_temporary_one(tmp_path: Path) -> None:
    with whole_path(tmp_path / "a") as first, whole_path(tmp_path / "a") as second:
        assert first != second
        first.write_text("one")
        second.write_text("two")
    assert (tmp_path / "a").read_text() == "one", "the last to finish names the file"


def test_json_refuses_what_other_readers_would(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", float("nan"))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_named_with_what_to_do(tmp_path: Path) -> None:
    message = r"building shards .*squeeze gc.*finished parts are kept"
    with pytest.raises(DiskFullError, match=message), naming_full_disk(tmp_path, "shards"):
        raise OSError(errno.ENOSPC, "no space")
    with pytest.raises(PermissionError), naming_full_disk(tmp_path, "shards"):
        raise PermissionError("not yours")


def test_hashing_while_writing_gives_the_files_hash(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as file:
        hashing = HashingWriter(file)
        hashing.write(b"some ")
        hashing.write(b"bytes")
    assert hashing.hexdigest() == sha256_of(tmp_path / "a") == hashlib.sha256(b"some bytes").hexdigest()
