"""What is remembered of manifests saves reading them, and never has the last word."""

import os
import threading
import time

import pytest

from pipeline.base.errors import DamagedError
from pipeline.store import Built, Store, local
from pipeline.store.catalogue import CATALOGUE, Entry, Unreadable
from pipeline.store.collection import collect, garbage
from pipeline.store.maintenance import damaged_in


def ensure(store, key, number=0, inputs=(), folder="."):
    def build(out):
        (out / folder).mkdir(exist_ok=True)
        (out / folder / "data.txt").write_text(f"{key} {number}")
        return Built(f"{key} {number}")

    named = {item.key: item for item in inputs}
    return store.ensure(key, code_version="1", identity={"n": number}, inputs=named, build=build).artifact


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Two documents, and a model that was made from the first."""
    monkeypatch.setattr(local, "CLOCK_NS", 0)  # else what was just written is read again
    opened = Store(tmp_path / "store", "sample").open()
    documents = ensure(opened, "documents/web", folder="within")
    ensure(opened, "model", 1, [documents])
    ensure(opened, "documents/web", 2)
    return opened


@pytest.fixture
def read(store, monkeypatch):
    """The manifests that were read, by key."""
    keys, get = [], store.get

    def counted(key, fingerprint):
        keys.append(key)
        return get(key, fingerprint)

    monkeypatch.setattr(store, "get", counted)
    return keys


def looked(store):
    return {(item.key, item.fingerprint): item.faults for item in damaged_in(store, quick=True)}


def test_a_manifest_that_is_as_it_was_is_read_once(store, read):
    first = looked(store)
    assert len(first) == len(read) == 3
    read.clear()
    assert looked(store) == first
    assert garbage(store) == []
    assert read == []
    new = ensure(store, "tokens/web")
    assert (new.key, new.fingerprint) in looked(store)
    assert set(read) == {"tokens/web"}


def test_entries_say_what_manifests_say(store):
    for _ in range(2):
        for entry in store.catalogue():
            manifest = store.get(entry.key, entry.fingerprint).manifest
            assert entry.bytes == manifest.size
            assert entry.inputs == tuple((item.key, item.fingerprint) for item in manifest.inputs.values())
            assert dict(entry.files) == {name: record.bytes for name, record in manifest.files.items()}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "within/data.txt").write_text("x"), "1 bytes instead of 15"),
        (lambda folder: (folder / "within/data.txt").unlink(), "missing"),
        (lambda folder: (folder / "within/more.txt").write_text("x"), "not part of the artifact"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "not a manifest of this store"),
        (lambda folder: os.truncate(folder / "manifest.json", 20), "cannot be read"),
    ],
)
def test_damage_after_a_look_is_found_by_the_next(store, damage, said):
    model = store.current("model")
    ((key, parent),) = ((item.key, item.fingerprint) for item in model.manifest.inputs.values())
    assert not any(looked(store).values())
    assert not any(looked(store).values())
    damage(store.root / key / parent)
    for _ in range(2):
        (fault,) = looked(store)[key, parent]
        assert said in fault


def test_what_changed_a_moment_ago_is_read_again(store, read, monkeypatch):
    monkeypatch.setattr(local, "CLOCK_NS", 10**12)
    for _ in range(2):
        read.clear()
        looked(store)
        assert len(read) == 3


@pytest.mark.parametrize("damage", [b"", b"x", b"\xff" * 2000, "flip", "cut"])
def test_a_damaged_catalogue_is_made_anew(store, read, damage):
    first = looked(store)
    file = store.cache / CATALOGUE
    whole = file.read_bytes()
    flipped = bytes([*whole[:-9], whole[-9] ^ 1, *whole[-8:]])
    file.write_bytes({"flip": flipped, "cut": whole[:-30]}.get(damage, damage))
    read.clear()
    assert looked(store) == first
    assert len(read) == 3
    read.clear()
    assert looked(store) == first
    assert read == []


def test_collection_removes_nothing_on_the_catalogues_word(store, monkeypatch):
    """As if it had forgotten what the model was made from."""
    model = store.current("model")
    (parent,) = model.manifest.inputs.values()
    entries = [entry._replace(inputs=()) for entry in store.catalogue() if isinstance(entry, Entry)]
    monkeypatch.setattr(Store, "catalogue", lambda self: entries)
    (doomed,) = garbage(store)
    assert doomed.fingerprint == parent.fingerprint
    assert collect(store, [doomed]) == [doomed]
    assert store.get(parent.key, parent.fingerprint) is not None


def test_a_manifest_that_cannot_be_read_is_named_each_time(store):
    model = store.current("model")
    (model.path / "manifest.json").write_text("{")
    for _ in range(2):
        (unreadable,) = (entry for entry in store.catalogue() if isinstance(entry, Unreadable))
        assert (unreadable.key, unreadable.fingerprint) == ("model", model.fingerprint)
        assert isinstance(unreadable.error, DamagedError)


def test_a_store_that_cannot_be_written_is_looked_through_all_the_same(store):
    first = looked(store)
    (store.cache / CATALOGUE).unlink()
    store.cache.rmdir()
    store.cache.write_text("in the way of a folder")
    assert looked(store) == first
    assert garbage(store) == []


def test_two_at_once_see_the_same(store):
    first = looked(store)
    found = []

    def look():
        for _ in range(10):
            (store.cache / CATALOGUE).unlink(missing_ok=True)
            found.append(looked(Store(store.root, "sample")))

    threads = [threading.Thread(target=look) for _ in range(3)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begun < 60
    assert found == [first] * 30
