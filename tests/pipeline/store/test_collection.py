"""Collection removes nothing that somebody wants, wherever it is stopped and whatever cannot be read."""

import json
import shutil

import pytest

from pipeline.base.errors import DamagedError
from pipeline.base.held import lock_of, write_stands_on
from pipeline.base.lock import exclusive
from pipeline.store import Built, Store
from pipeline.store.collection import collect, forget, garbage

CHAIN = ("documents", "tokens", "shards/epoch_001", "model")


def opened(root, profile="sample"):
    return Store(root, profile).open()


def ensure(store, key, identity=0, inputs=(), during=lambda: None):
    def build(out):
        (out / "data.txt").write_text(f"{key} {identity}")
        during()
        return Built(f"{key} {identity}")

    named = {item.key: item for item in inputs}
    return store.ensure(key, code_version="1", identity={"n": identity}, inputs=named, build=build).artifact


def chain(store, number=0):
    made = []
    for key in CHAIN:
        made.append(ensure(store, key, number if key == "model" else 0, made[-1:]))
    return made


@pytest.fixture
def store(tmp_path):
    return opened(tmp_path / "store")


def pointer(store, key="model", profile="sample"):
    return store.root / key / f"CURRENT.{profile}"


def test_what_became_current_after_it_was_listed_stays(store):
    *_, old = chain(store, 1)
    chain(store, 2)
    (listed,) = garbage(store)
    chain(store, 1)
    assert collect(store, [listed]) == [listed]
    assert store.current("model").fingerprint == old.fingerprint


@pytest.mark.parametrize("text", [b"", b"\0" * 33, b"\xff\xfe", b"../documents", b"a" * 5000, b"a\0b"])
def test_a_damaged_pointer_keeps_all_that_it_may_mean(store, text):
    made = [*chain(store, 1), *chain(store, 2)]
    pointer(store).write_bytes(text)
    notes = []
    assert garbage(store, notes=notes) == []
    assert "CURRENT.sample: this pointer is damaged; all 2 artifacts of model are kept" in notes[0]
    assert all(item.path.exists() for item in made)


def test_a_damaged_manifest_keeps_what_it_was_made_from(store):
    documents, tokens, shards, model = chain(store)
    for item in (documents, tokens, shards):
        pointer(store, item.key).unlink()
    (model.path / "manifest.json").write_text("{")
    notes = []
    assert garbage(store, notes=notes) == []
    assert "cannot be read" in notes[0]
    (model.path / "lineage.json").unlink()
    ensure(store, "documents", 9)
    ensure(store, "documents", 8)
    assert garbage(store, notes=notes) == []
    assert "everything is kept" in notes[-1]


def test_one_damaged_manifest_hides_no_other(store):
    _, tokens, *_ = chain(store)
    (tokens.path / "manifest.json").write_bytes(b"\0" * 50)
    unreadable = []
    assert [item.key for item in store.artifacts(unreadable=unreadable)] == ["documents", "model", "shards/epoch_001"]
    assert len(unreadable) == 1
    assert {key: item is not None for _, key, item in store.pointers(unreadable=unreadable)} == {
        "documents": True,
        "tokens": False,
        "shards/epoch_001": True,
        "model": True,
    }
    with pytest.raises(DamagedError, match="put it aside"):
        store.current("tokens")
    assert store.find_current("model") is not None
    assert ensure(store, "tokens", 0, [store.current("documents")]).path.exists()


@pytest.mark.parametrize("name", ["*", "t?ny", "[a-z]*", "../x", ""])
def test_the_name_of_a_profile_to_forget_is_no_pattern(store, name):
    chain(store)
    assert forget(store, name) == 0
    assert garbage(store) == []


@pytest.mark.parametrize("how", ["epochs", "nothing current"])
def test_what_a_build_at_work_is_made_from_stays_and_is_in_its_lineage(store, how):
    *_, shards, _ = chain(store)

    def clean():
        if how == "nothing current":
            forget(store, "sample")
        collect(store, garbage(store, epochs=True), epochs=True)

    model = ensure(store, "model", 7, [shards], during=clean)
    lineage = json.loads((model.path / "lineage.json").read_text())["artifacts"]
    assert {row["key"] for row in lineage.values()} == {"documents", "tokens", "shards/epoch_001"}
    assert shards.path.exists()


@pytest.mark.parametrize("steps", range(5))
def test_a_collection_that_is_killed_anywhere_leaves_whole_artifacts_with_their_ancestors(store, steps, monkeypatch):
    chain(store)
    forget(store, "sample")
    taken = []
    take_out = store.backend.take_out

    def killed(item):
        if len(taken) == steps:
            raise KeyboardInterrupt
        taken.append(item)
        return take_out(item)

    monkeypatch.setattr(store.backend, "take_out", killed)
    if steps < len(CHAIN):
        with pytest.raises(KeyboardInterrupt):
            collect(store, garbage(store))
    monkeypatch.undo()
    left = {item.fingerprint: item for item in store.artifacts()}
    assert len(left) == len(CHAIN) - len(taken)
    assert all(parent.fingerprint in left for item in left.values() for parent in item.manifest.inputs.values())
    assert collect(store, garbage(store)) == []
    assert garbage(store) == list(store.artifacts()) == []


def test_of_a_linked_artifact_the_link_goes_and_what_it_leads_to_stays(store, tmp_path):
    *_, shards, _ = chain(store, 1)
    elsewhere = tmp_path / "other disk"
    shutil.move(shards.path, elsewhere)
    shards.path.symlink_to(elsewhere)
    assert shards.fingerprint in {item.fingerprint for item in store.artifacts()}
    assert store.current("shards/epoch_001").damage() is None
    forget(store, "sample")
    assert collect(store, garbage(store)) == []
    assert (elsewhere / "data.txt").exists()
    assert not shards.path.is_symlink()


def test_a_link_that_leads_back_into_the_store_is_followed_once(store):
    chain(store)
    (store.root / "again").symlink_to(store.root)
    assert len(list(store.artifacts())) == len(CHAIN)


def test_what_killed_writers_of_pointers_left_is_removed(store):
    chain(store)
    left = pointer(store).with_name("CURRENT.sample.host-1-00.tmp")
    left.write_text("x")
    chain(store)
    assert not left.exists()


def test_nothing_is_taken_from_a_trainer_that_has_outlived_its_run(store):
    shards = chain(store, 1)[2]
    workspace = store.backend.workspace("model", "e" * 32)
    (workspace / "checkpoint").write_text("of a trainer")
    write_stands_on(workspace, {shards.key: shards.fingerprint})
    for key in CHAIN:
        pointer(store, key).unlink()
    with exclusive(lock_of(workspace), "training"):
        left = garbage(store, unfinished=True)
        assert [item.key for item in left] == ["model"]  # the old one; its ancestors are the trainer's too
        assert left[0].path != workspace
    listed = garbage(store, unfinished=True)
    assert workspace in [item.path for item in listed]
    with exclusive(lock_of(workspace), "training"):
        kept = collect(store, listed, unfinished=True)
    assert workspace in [item.path for item in kept]
    assert (workspace / "checkpoint").exists()
    assert shards.path.exists()
    assert collect(store, kept, unfinished=True) == []
    assert not workspace.exists()
