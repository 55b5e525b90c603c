"""What a collection in a bucket takes, and what it leaves: nothing that is needed, young, being built or stood on."""

import json
from datetime import timedelta

import pytest
from machines import Machine, never, writes

from pipeline.base.errors import StoreError
from pipeline.store.remote import blobs
from pipeline.store.remote.address import open_objects
from pipeline.store.remote.blobs import blob_name, put_blob
from pipeline.store.remote.names import manifest_name, pointer_name
from pipeline.store.remote.sweeping import sweep

NOW, WEEK = timedelta(0), timedelta(days=7)


@pytest.fixture
def bucket():
    return open_objects.__wrapped__("memory:///")


@pytest.fixture
def machine(tmp_path, bucket) -> Machine:
    """A machine that made a corpus, tokens of it, and then other ones of both."""
    made = Machine(tmp_path / "a", bucket)
    for words in (1, 2):
        made.ensure("corpus/wiki", writes(f"text {words}"), words=words)
        made.ensure("tokens/wiki", writes(f"tokens {words}"), words=words, inputs=("corpus/wiki",))
    return made


def there(bucket) -> list[str]:
    return sorted(json.loads(bucket.read(entry.name))["identity"]["words"] for entry in bucket.entries("manifests"))


def blob_count(bucket) -> int:
    return len(list(bucket.entries("blobs")))


def test_what_no_pointer_leads_to_is_withdrawn_first_and_deleted_later(machine, bucket):
    files = blob_count(bucket)
    first = sweep(bucket, NOW, dry=False)
    assert sorted((item.key, item.identity["words"]) for item in first.withdrawn) == [
        ("corpus/wiki", 1),
        ("tokens/wiki", 1),
    ]
    assert there(bucket) == [2, 2]
    second = sweep(bucket, NOW, dry=False)
    assert second.withdrawn == []
    assert second.bytes > 0
    assert blob_count(bucket) < files
    assert machine.read("tokens/wiki") == "tokens 2"


def test_files_of_what_was_withdrawn_stay_for_as_long_again(machine, bucket, monkeypatch):
    sweep(bucket, NOW, dry=False)
    files = blob_count(bucket)
    assert sweep(bucket, WEEK, dry=False).deleted == []
    assert blob_count(bucket) == files


def test_a_look_changes_nothing(machine, bucket):
    before = sorted(entry.name for folder in ("manifests", "blobs", "pointers") for entry in bucket.entries(folder))
    assert sweep(bucket, NOW, dry=True).withdrawn
    after = sorted(entry.name for folder in ("manifests", "blobs", "pointers") for entry in bucket.entries(folder))
    assert after == before


def test_what_is_young_stays_though_nobody_needs_it(machine, bucket):
    found = sweep(bucket, WEEK, dry=False)
    assert (found.withdrawn, found.deleted) == ([], [])


def test_an_ancestor_of_what_is_current_stays(machine, bucket):
    bucket.delete(pointer_name("corpus/wiki", "tiny"))
    sweep(bucket, NOW, dry=False)
    assert there(bucket) == [2, 2]


def test_what_a_run_stands_on_stays_as_long_as_the_run_is_alive(machine, bucket, tmp_path):
    run = Machine(tmp_path / "b", bucket)
    run.store.for_run("long-run")
    run.ensure("corpus/wiki", never, words=1)
    bucket.write(
        pointer_name("corpus/wiki", "tiny"), machine.ensure("corpus/wiki", never, words=2).artifact.fingerprint.encode()
    )
    sweep(bucket, NOW, dry=False)
    assert there(bucket).count(1) == 1, "the run's corpus, and not the tokens that nobody needs"
    run.store.footing.end()
    sweep(bucket, NOW, dry=False)
    assert there(bucket) == [2, 2]


def test_a_file_without_an_artifact_goes_when_it_is_old(machine, bucket, tmp_path):
    (tmp_path / "left").write_bytes(b"of an upload that was killed")
    digest = put_blob(bucket, tmp_path / "left")
    sweep(bucket, WEEK, dry=False)
    assert bucket.entry(blob_name(digest))
    sweep(bucket, NOW, dry=False)
    assert bucket.entry(blob_name(digest)) is None


def test_an_old_file_that_is_wanted_again_is_sent_anew_so_that_it_is_young(bucket, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"bytes")
    digest = put_blob(bucket, tmp_path / "file")
    first = bucket.entry(blob_name(digest)).modified
    monkeypatch.setattr(blobs, "YOUNG", timedelta(0))
    put_blob(bucket, tmp_path / "file")
    assert bucket.entry(blob_name(digest)).modified > first


def test_what_was_withdrawn_is_built_anew_by_who_misses_it(machine, bucket, tmp_path):
    sweep(bucket, NOW, dry=False)
    other = Machine(tmp_path / "b", bucket)
    assert not other.ensure("corpus/wiki", writes("text 1"), words=1).reused
    assert there(bucket) == [1, 2, 2]


@pytest.mark.parametrize("damaged", [b"\xff", b'{"format": 99}'])
def test_where_a_manifest_cannot_be_read_nothing_is_removed(machine, bucket, damaged):
    current = machine.store.current("corpus/wiki")
    bucket.write(manifest_name(current.key, current.fingerprint), damaged)
    count = blob_count(bucket)
    with pytest.raises(StoreError, match=current.fingerprint):
        sweep(bucket, NOW, dry=False)
    assert blob_count(bucket) == count


def test_where_a_run_cannot_be_read_nothing_is_removed(machine, bucket):
    bucket.write("runs/x.json", b'{"artifacts": 3}')
    bucket.write("leases/.runs/x", b'{"free": false}')
    with pytest.raises(StoreError, match=r"runs/x.json: not what a run stands on .*; nothing is removed"):
        sweep(bucket, NOW, dry=False)
