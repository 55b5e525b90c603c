"""Verification finds every kind of damage; collection removes only what nobody needs."""

import json

import pytest

from pipeline.base.errors import DamagedError
from pipeline.store import Built, Store
from pipeline.store.collection import collect, forget, garbage
from pipeline.store.maintenance import damaged_in, verify


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", "sample").open()


def ensure(store, key, identity, inputs=None):
    def build(out):
        (out / "data.txt").write_text(str(identity))
        return Built(f"{key} {identity}")

    return store.ensure(key, code_version="1", identity=identity, inputs=inputs or {}, build=build).artifact


def test_a_whole_artifact_verifies(store):
    assert list(verify(ensure(store, "corpus", {"n": 1}))) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.write_text("{'n': 2}"), "SHA-256 differs"),
        (lambda file: file.write_text("{"), "1 bytes instead of 8"),
        (lambda file: file.unlink(), "missing"),
        (lambda file: file.with_name("extra").write_text("x"), "not part of the artifact"),
    ],
)
def test_damage_is_found_and_named(store, damage, message):
    artifact = ensure(store, "corpus", {"n": 1})
    damage(artifact.path / "data.txt")
    faults = list(verify(artifact))
    assert len(faults) == 1
    assert message in faults[0]
    assert str(artifact.path) in faults[0]


def test_the_ancestors_of_every_profiles_current_artifacts_are_kept(store):
    documents = ensure(store, "documents", {"n": 1})
    ensure(store, "corpus", {"n": 1}, {"documents": documents})
    other = Store(store.root, "other").open()
    ensure(other, "corpus", {"n": 2}, {"documents": documents})
    assert garbage(store) == []

    newer = ensure(store, "documents", {"n": 2})
    assert garbage(store) == []  # the corpora still come from the older documents
    ensure(store, "corpus", {"n": 1}, {"documents": newer})
    assert [item.path.parent.name for item in garbage(store)] == ["corpus"]
    forget(store, "other")
    doomed = garbage(store)
    assert sorted(item.path.parent.name for item in doomed) == ["corpus", "corpus", "documents"]
    assert collect(store, doomed) == []
    assert {item.key for item in store.artifacts()} == {"corpus", "documents"}
    assert garbage(store) == []


def test_a_folder_that_is_being_built_is_not_removed(store):
    ensure(store, "corpus", {"n": 1})
    half = store.root / "corpus" / f".building-{'0' * 32}"
    half.mkdir()
    assert garbage(store) == []  # a stopped build goes on from it
    (item,) = garbage(store, unfinished=True)
    with store.backend.lease("corpus", "0" * 32, "building corpus"):
        assert collect(store, [item], unfinished=True) == [item]
    assert half.exists()
    assert collect(store, [item], unfinished=True) == []
    assert not half.exists()


def test_every_artifact_is_looked_at_whatever_is_wrong_with_one(store):
    documents = ensure(store, "documents", {"n": 1})
    corpus = ensure(store, "corpus", {"n": 1}, {"documents": documents})
    (corpus.path / "manifest.json").write_text("[" * 100_000)
    (documents.path / "data.txt").write_text("{'n': 2}")
    assert [looked.key for looked in damaged_in(store, quick=True) if looked.faults] == ["corpus"]
    looked = list(damaged_in(store))
    assert [item.key for item in looked if item.faults] == ["corpus", "documents"]
    for item in looked:
        assert "now lies in" in item.put_aside(store)
    assert list(damaged_in(store)) == []
    assert ensure(store, "documents", {"n": 1}).path.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"key": 5},
        {"key": "../../elsewhere"},
        {"fingerprint": "0" * 32},
        {"files": {"../../outside": {"bytes": 3, "sha256": "x"}}},
        {"summary": None},
        {"inputs": []},
        {"built": {"at": "yesterday"}},
    ],
)
def test_a_manifest_without_a_hash_of_its_own_is_looked_through(store, change):
    documents = ensure(store, "documents", {"n": 1})
    file = documents.path / "manifest.json"
    raw = json.loads(file.read_text())
    del raw["manifest_sha256"]
    merged = raw | change
    if "built" in change:
        merged["built"] = raw["built"] | change["built"]
    file.write_text(json.dumps(merged))
    with pytest.raises(DamagedError, match="squeeze verify --repair"):
        store.get("documents", documents.fingerprint)


def test_what_is_asked_for_thoroughly_is_built_anew_where_its_content_is_damaged(store):
    def made(*, thorough):
        def build(out):
            (out / "data.txt").write_text("sound")
            return Built("same")

        return store.ensure("corpus", code_version="1", identity={}, inputs={}, build=build, thorough=thorough)

    file = made(thorough=False).artifact.path / "data.txt"
    file.write_text("SOUND")
    assert made(thorough=False).reused
    again = made(thorough=True)
    assert not again.reused
    assert "its content is not what was built" in again.reason
    assert file.read_text() == "sound"
