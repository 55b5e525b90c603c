"""Files by their content: put once, fetched whole and checked, and what is damaged is named."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from buckets import behind, proxy

from pipeline.base.errors import BucketUnreachableError, DamagedError
from pipeline.store.remote import blobs
from pipeline.store.remote.blobs import blob_name, fetch_blob, put_blob


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "shard.arrow"
    made.write_bytes(bytes(range(256)) * 400)
    return made


def test_a_file_comes_back_as_it_was(objects, file, tmp_path):
    digest = put_blob(objects, file)
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    fetch_blob(objects, digest, file.stat().st_size, tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").read_bytes() == file.read_bytes()
    assert [item.name for item in (tmp_path / "deep").iterdir()] == ["copy"]


def test_an_empty_file_is_a_file(objects, tmp_path):
    (tmp_path / "empty").touch()
    fetch_blob(objects, put_blob(objects, tmp_path / "empty"), 0, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b""


def test_what_is_there_is_not_sent_again(objects, file):
    digest = put_blob(objects, file)
    sent = objects.traffic.sent
    put_blob(objects, file)
    assert objects.traffic.sent == sent == file.stat().st_size
    put_blob(objects, file, digest)
    assert objects.traffic.sent == sent


def test_a_large_file_goes_and_comes_in_parts(objects, file, tmp_path, monkeypatch):
    monkeypatch.setattr(blobs, "REQUEST_BYTES", 40_000)
    digest = put_blob(objects, file)
    fetch_blob(objects, digest, file.stat().st_size, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()
    assert objects.traffic.requests["get"] == 3


def test_a_file_that_many_put_at_once_is_whole(objects, file, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        (digest,) = set(pool.map(lambda _: put_blob(objects, file), range(4)))
    fetch_blob(objects, digest, file.stat().st_size, tmp_path / "copy")


def test_a_blob_that_is_not_there_is_a_missing_file(objects, tmp_path):
    with pytest.raises(FileNotFoundError):
        fetch_blob(objects, "0" * 64, 5, tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))


@pytest.mark.parametrize("damaged", [b"X" * 102_400, b"cut short", b""])
def test_a_damaged_blob_is_named_and_put_aside(objects, file, tmp_path, damaged, caplog):
    digest = put_blob(objects, file)
    objects.write(blob_name(digest), damaged)
    with pytest.raises(DamagedError, match=f"{re.escape(objects.where(blob_name(digest)))}: this blob is damaged"):
        fetch_blob(objects, digest, file.stat().st_size, tmp_path / "copy")
    assert "arrived damaged" in caplog.text
    assert not list(tmp_path.glob("copy*"))
    assert objects.read(f"damaged/{digest}") == damaged
    assert put_blob(objects, file) == digest, "who has it puts it again"
    fetch_blob(objects, digest, file.stat().st_size, tmp_path / "copy")


def test_what_was_damaged_on_its_way_is_fetched_again(s3, s3_address, file, tmp_path, caplog):
    digest = put_blob(behind(s3, s3_address), file)
    with proxy(s3, lambda method, path, count: "damage" if (method, count) == ("GET", 0) else None) as endpoint:
        fetch_blob(behind(endpoint, s3_address), digest, file.stat().st_size, tmp_path / "copy")
    assert f"blobs/{digest}: arrived damaged" in caplog.text
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()


def test_what_arrives_damaged_each_time_otherwise_is_left_in_the_bucket(objects, file, tmp_path, monkeypatch):
    digest = put_blob(objects, file)
    answers = iter([b"one", b"two"])
    monkeypatch.setattr(blobs, "_pieces", lambda *_: iter([next(answers)]))
    with pytest.raises(BucketUnreachableError, match="arrived damaged twice, each time otherwise"):
        fetch_blob(objects, digest, file.stat().st_size, tmp_path / "copy")
    assert objects.entry(blob_name(digest)).bytes == file.stat().st_size
