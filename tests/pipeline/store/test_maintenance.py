"""Verification finds every kind of damage; collection removes only what nobody needs."""

import pytest

from pipeline.store import Built, Store
from pipeline.store.collection import collect, forget, garbage
from pipeline.store.maintenance import verify


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
