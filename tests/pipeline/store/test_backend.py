"""What every backend promises the store: whole artifacts, whole records, leases that end with their holder."""

import dataclasses
from pathlib import Path

import pytest

from pipeline.store.backend import Backend, Removable
from pipeline.store.local import LocalBackend, sync_and_hash
from pipeline.store.manifest import Manifest, Provenance
from pipeline.store.remote.address import open_objects
from pipeline.store.remote.shared import SharedBackend

A, B = "a" * 32, "b" * 32


def shared(root: Path) -> Backend:
    """A folder with a bucket in memory behind it."""
    pytest.importorskip("obstore", reason="obstore is missing: pip install '.[s3]'")
    return SharedBackend(root, open_objects.__wrapped__("memory:///"))


@pytest.fixture(params=[LocalBackend, shared])
def backend(request, tmp_path) -> Backend:
    return request.param(tmp_path)


def manifest(backend: Backend, key: str, fingerprint: str) -> Manifest:
    built = Provenance("2026-01-01T00:00:00+00:00", 0.0, "sample", None, "first build", None, {}, {})
    files = sync_and_hash(backend.workspace(key, fingerprint))
    return Manifest(key, fingerprint, "1", {}, {}, "content", files, {}, built)


def commit(backend: Backend, key: str, fingerprint: str, text: str) -> Manifest:
    (backend.workspace(key, fingerprint) / "data.txt").write_text(text)
    made = manifest(backend, key, fingerprint)
    backend.commit(made)
    return made


def removed(backend: Backend, item: Removable) -> bool:
    place = backend.take_out(item)
    if place is not None:
        backend.discard(place)
    return place is not None and not place.exists() and not item.path.exists()


def test_a_record_is_read_as_it_was_last_written(backend):
    assert backend.read("corpus/wiki/CURRENT.sample") is None
    backend.write("corpus/wiki/CURRENT.sample", A)
    backend.write("corpus/wiki/CURRENT.sample", B)
    assert backend.read("corpus/wiki/CURRENT.sample") == B
    assert list(backend.pointers()) == [("corpus/wiki", "sample")]
    backend.delete("corpus/wiki/CURRENT.sample")
    backend.delete("corpus/wiki/CURRENT.sample")
    assert list(backend.pointers()) == []


def test_a_pointer_whose_writer_was_killed_is_no_pointer(backend, tmp_path):
    backend.write("corpus/wiki/CURRENT.sample", A)
    (tmp_path / "corpus/wiki/CURRENT.sample.host-1-00.tmp").write_text(A)
    assert list(backend.pointers()) == [("corpus/wiki", "sample")]


def test_an_artifact_is_there_once_it_is_committed_and_not_before(backend):
    (backend.workspace("corpus/wiki", A) / "data.txt").write_text("half")
    assert list(backend.manifests()) == []
    commit(backend, "corpus/wiki", A, "whole")
    commit(backend, "tokens/wiki", B, "1 2 3")
    assert list(backend.manifests()) == [("corpus/wiki", A), ("tokens/wiki", B)]
    assert list(backend.manifests("tokens/wiki")) == [("tokens/wiki", B)]
    assert (backend.folder("corpus/wiki", A) / "data.txt").read_text() == "whole"


def test_a_workspace_keeps_what_an_earlier_attempt_finished(backend):
    (backend.workspace("corpus/wiki", A) / "part").write_text("finished")
    assert (backend.workspace("corpus/wiki", A) / "part").read_text() == "finished"
    assert [item.fingerprint for item in backend.abandoned(unfinished=True)] == [A]
    assert list(backend.abandoned(unfinished=False)) == []


def test_what_is_committed_over_a_damaged_artifact_takes_its_place(backend):
    made = commit(backend, "corpus/wiki", A, "whole")
    (backend.folder("corpus/wiki", A) / "data.txt").write_text("x")
    assert "1 bytes instead of 5" in backend.damage(made)
    commit(backend, "corpus/wiki", A, "whole")
    assert backend.damage(made) is None
    (aside,) = backend.abandoned(unfinished=False)
    assert (aside.key, aside.fingerprint) == ("corpus/wiki", A)
    assert removed(backend, aside)
    assert backend.damage(made) is None, "the artifact itself stays"


def test_a_removal_that_was_cut_short_is_in_the_way_of_no_other(backend):
    commit(backend, "corpus/wiki", A, "whole")
    folder = backend.folder("corpus/wiki", A)
    folder.rename(folder.with_name(f".damaged-{A}-removing"))
    commit(backend, "corpus/wiki", A, "whole again")
    (left,) = backend.abandoned(unfinished=False)
    assert removed(backend, dataclasses.replace(left, path=folder))
    assert removed(backend, left)
    assert list(backend.abandoned(unfinished=False)) == list(backend.manifests()) == []


def test_what_somebody_builds_is_not_removed(backend):
    commit(backend, "corpus/wiki", A, "whole")
    (backend.workspace("corpus/wiki", B) / "part").write_text("finished")
    (half,) = backend.abandoned(unfinished=True)
    with backend.lease("corpus/wiki", B, "building corpus/wiki"):
        assert backend.take_out(half) is None
        assert removed(backend, dataclasses.replace(half, fingerprint=A, path=backend.folder("corpus/wiki", A)))
    assert list(backend.manifests()) == []
    assert removed(backend, half)
