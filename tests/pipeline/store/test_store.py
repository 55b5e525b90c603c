"""The store builds once, commits whole or not at all, reuses, says why it rebuilds, and survives faults."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from pipeline.base.errors import StoreError
from pipeline.store import Built, Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", "sample", run_id="run-1").open()


def write(text, content_hash=None):
    def build(out: Path) -> Built:
        (out / "data.txt").write_text(text)
        return Built(content_hash or f"hash of {text}", {"letters": len(text)})

    return build


def refuse(out: Path) -> Built:
    raise AssertionError("built although it was there")


def ensure(store, key="corpus", *, version="1", identity=None, inputs=None, build=None, slices=None):
    identity = {"min_words": 50} if identity is None else identity
    build = build or write("text")
    return store.ensure(key, code_version=version, identity=identity, inputs=inputs or {}, build=build, slices=slices)


def test_what_is_built_is_found_again_by_another_process(store):
    first = ensure(store)
    again = Store(store.root, "sample").open()
    second = ensure(again, build=refuse)
    assert (first.reused, second.reused) == (False, True)
    assert second.artifact.path == first.artifact.path
    assert (second.artifact.path / "data.txt").read_text() == "text"
    assert second.artifact.summary == {"letters": 4}
    assert "run-1" in second.reason


def test_an_input_rebuilt_with_the_same_content_rebuilds_nothing(store):
    one = ensure(store, "documents", build=write("a", "same"))
    two = ensure(store, "documents", version="2", build=write("b", "same"))
    assert one.artifact.fingerprint != two.artifact.fingerprint
    ensure(store, inputs={"documents": one.artifact})
    assert ensure(store, inputs={"documents": two.artifact}, build=refuse).reused


def test_what_an_artifact_was_made_from_is_found_until_it_is_removed(store):
    parent = ensure(store, "documents").artifact
    made = ensure(store, inputs={"text": parent}).artifact
    assert store.input_of(made, "text").fingerprint == parent.fingerprint
    shutil.rmtree(parent.path)
    with pytest.raises(StoreError, match="documents, which corpus was made from, is no longer in the store"):
        store.input_of(made, "text")


def test_what_is_fresh_is_what_a_build_would_reuse(store):
    documents = ensure(store, "documents", build=write("a")).artifact
    made = ensure(store, inputs={"documents": documents}).artifact

    def fresh(identity=None, inputs=("documents",), version="1"):
        return store.find_fresh("corpus", code_version=version, identity=identity or {"min_words": 50}, inputs=inputs)

    assert fresh().path == made.path
    assert fresh(identity={"min_words": 20}) is None
    assert fresh(version="2") is None
    assert fresh(inputs=("documents", "signals")) is None
    ensure(store, "documents", version="2", build=write("b"))
    assert fresh() is None


def test_only_the_slice_of_an_input_that_counts_is_in_the_fingerprint(store):
    schedule = ensure(store, "schedule", build=write("2 epochs")).artifact
    longer = ensure(store, "schedule", identity={"epochs": 3}, build=write("3 epochs")).artifact
    ensure(store, "shards/epoch_001", inputs={"schedule": schedule}, slices={"schedule": "epoch 1"})
    again = ensure(store, "shards/epoch_001", inputs={"schedule": longer}, slices={"schedule": "epoch 1"}, build=refuse)
    assert again.reused


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"identity": {"min_words": 40}}, "config.min_words: 50 -> 40"),
        ({"version": "2"}, "code version 1 -> 2"),
    ],
)
def test_a_rebuild_says_what_changed(store, change, reason):
    assert ensure(store).reason == "first build"
    rebuilt = ensure(store, **change)
    assert not rebuilt.reused
    assert rebuilt.reason == f"rebuilt because: {reason}"
    assert rebuilt.artifact.manifest.built.reason == rebuilt.reason


def test_a_rebuild_of_a_removed_folder_says_so(store):
    shutil.rmtree(ensure(store).artifact.path)
    assert ensure(store).reason == "rebuilt because: its folder was removed"


def test_a_rebuild_names_the_inputs_that_changed(store):
    one = ensure(store, "documents/books", build=write("a")).artifact
    two = ensure(store, "documents/books", version="2", build=write("b")).artifact
    ensure(store, inputs={"documents/books": one})
    changed = ensure(store, inputs={"documents/books": two})
    assert changed.reason == "rebuilt because: input documents/books changed"


def test_a_copy_of_a_profile_is_compared_with_what_the_first_one_built(store):
    ensure(store)
    copy = Store(store.root, "copy").open()
    assert ensure(copy, identity={"min_words": 40}).reason == "rebuilt because: config.min_words: 50 -> 40"
    assert store.current("corpus").manifest.identity == {"min_words": 50}
    assert copy.current("corpus").manifest.identity == {"min_words": 40}


def test_a_failed_build_leaves_nothing_that_reads_as_finished_and_goes_on_from_its_parts(store):
    def fails(out: Path) -> Built:
        (out / "part-0").write_text("finished")
        (out / "part-1.tmp").write_text("half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        ensure(store, build=fails)
    assert store.find_current("corpus") is None
    assert list(store.artifacts()) == []

    def goes_on(out: Path) -> Built:
        assert (out / "part-0").read_text() == "finished"
        (out / "part-1").write_text("whole")
        return Built("h")

    artifact = ensure(store, build=goes_on).artifact
    assert set(artifact.manifest.files) == {"part-0", "part-1"}


def test_a_failed_rebuild_leaves_the_earlier_artifact_current(store):
    good = ensure(store).artifact

    def full(out: Path) -> Built:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StoreError, match=r"disk is full while building corpus .*squeeze gc"):
        ensure(store, version="2", build=full)
    assert store.current("corpus").path == good.path
    assert (good.path / "data.txt").read_text() == "text"


def test_a_truncated_file_is_noticed_and_built_anew(store):
    artifact = ensure(store).artifact
    (artifact.path / "data.txt").write_text("t")
    again = ensure(store)
    assert not again.reused
    assert "has 1 bytes instead of 4" in again.reason
    assert (again.artifact.path / "data.txt").read_text() == "text"


def missing(store):
    with pytest.raises(StoreError, match="documents/books is not in the store") as error:
        store.current("documents/books")
    return str(error.value).partition("with `")[2].rstrip("`")


def test_a_missing_artifact_says_the_one_command_that_builds_it_with_all_that_it_needs(store, monkeypatch):
    name = store.profile
    select = f"dagster asset materialize --select '+key:\"{name}/documents/books\"'"
    monkeypatch.delenv("SQUEEZE_PROFILE", raising=False)
    assert missing(store) == f"SQUEEZE_PROFILE={name} {select}"
    monkeypatch.setenv("SQUEEZE_PROFILE", "other.yaml")
    assert missing(store) == f"SQUEEZE_PROFILE={name} {select}"
    monkeypatch.setenv("SQUEEZE_PROFILE", f"my files/{name}.yaml")
    assert missing(store) == f"SQUEEZE_PROFILE='my files/{name}.yaml' {select}"
    assert missing(Store(store.root, name, named="a.yaml")) == f"SQUEEZE_PROFILE=a.yaml {select}"


def test_that_command_selects_everything_before_it():
    import dagster as dg

    assert str(dg.AssetSelection.from_string('+key:"sample/documents/books"')).startswith("+")  # not one layer: "1+"


@pytest.mark.parametrize("file", ["store.json", "manifest"])
def test_a_store_of_a_newer_version_is_refused(store, file):
    artifact = ensure(store).artifact
    path = store.root / "store.json" if file == "store.json" else artifact.path / "manifest.json"
    newer = json.loads(path.read_text()) | {"format": 99}
    path.write_text(json.dumps(newer))
    with pytest.raises(StoreError, match=r"newer version of squeeze \(format 99"):
        Store(store.root, "sample").open().current("corpus")


def test_a_damaged_manifest_is_named(store):
    artifact = ensure(store).artifact
    (artifact.path / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match=r"manifest.json: this manifest cannot be read"):
        store.current("corpus")


def test_lineage_beside_an_artifact_holds_its_whole_ancestry(store):
    documents = ensure(store, "documents", identity={"source": "x"}, build=write("d")).artifact
    corpus = ensure(store, inputs={"documents": documents}).artifact
    tokens = ensure(store, "tokens", inputs={"corpus": corpus}).artifact
    lineage = json.loads((tokens.path / "lineage.json").read_text())
    assert lineage["inputs"] == {"corpus": corpus.fingerprint}
    assert lineage["artifacts"][documents.fingerprint]["identity"] == {"source": "x"}
    assert lineage["artifacts"][corpus.fingerprint]["inputs"] == {"documents": documents.fingerprint}


def _build_slowly(root, log):
    def build(out: Path) -> Built:
        with Path(log).open("a") as file:
            file.write("built\n")
        time.sleep(0.5)
        (out / "data.txt").write_text("text")
        return Built("h")

    ensure(Store(Path(root), "sample").open(), build=build)


def test_of_two_builders_of_the_same_thing_one_builds_and_the_other_waits(store, tmp_path):
    context = multiprocessing.get_context("spawn")
    log = tmp_path / "log"
    workers = [context.Process(target=_build_slowly, args=(str(store.root), str(log))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert log.read_text() == "built\n"


def _hold(root, started):
    def build(out: Path) -> Built:
        (out / "part").write_text("finished")
        Path(started).touch()
        time.sleep(60)
        return Built("h")

    ensure(Store(Path(root), "sample").open(), build=build)


def test_a_builder_killed_with_minus_9_frees_its_lock_and_its_parts_are_used(store, tmp_path):
    context = multiprocessing.get_context("spawn")
    started = tmp_path / "started"
    worker = context.Process(target=_hold, args=(str(store.root), str(started)))
    worker.start()
    while not started.exists():
        time.sleep(0.02)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()

    def goes_on(out: Path) -> Built:
        assert (out / "part").read_text() == "finished"
        return Built("h")

    assert not ensure(store, build=goes_on).reused


def test_a_summary_keeps_the_order_in_which_it_was_written(store):
    """Tables in the UI have their columns in that order, reused or not."""

    def build(out: Path) -> Built:
        return Built("h", {"step": "held out", "documents": 3, "bytes": 5})

    ensure(store, build=build)
    assert list(ensure(store, build=refuse).artifact.summary) == ["step", "documents", "bytes"]
