"""Nothing is built from a damaged file: what differs from its manifest is named, set aside, and built anew."""

import json
from pathlib import Path

import pytest

from pipeline.base.errors import StoreError
from pipeline.store import Built, Store, soundness
from pipeline.store.manifest import Manifest
from pipeline.store.soundness import require_sound


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", "sample").open()


def documents(store):
    def build(out: Path) -> Built:
        (out / "stage_0").mkdir()
        (out / "stage_0/part.bin").write_bytes(bytes(range(256)))
        (out / "notes.json").write_text("[1, 2]")
        return Built("content", {"documents": 3, "share": 0.1, "by": {"1": [None, True]}})

    return store.ensure("documents", code_version="1", identity={"n": 1}, inputs={}, build=build).artifact


def in_another_process() -> None:
    """Forget what this one has seen."""
    soundness._sound.clear()


def flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 0x10
    file.write_bytes(data)


@pytest.mark.parametrize("place", [0, 100, 255])
def test_one_flipped_bit_is_named_and_the_artifact_is_built_anew(store, place):
    artifact = documents(store)
    in_another_process()
    flip(artifact.path / "stage_0/part.bin", place)
    with pytest.raises(StoreError, match=r"part\.bin is damaged: its content.*Run the same command again") as caught:
        require_sound([artifact])
    (aside,) = artifact.path.parent.glob(".damaged-*")
    assert aside.name in str(caught.value)
    again = documents(store)
    require_sound([again])
    assert (again.path / "stage_0/part.bin").read_bytes() == bytes(range(256))


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda file: file.write_bytes(b"short"), lambda file: (file.unlink(), file.mkdir())]
)
def test_a_file_that_is_gone_or_cut_is_named_too(store, damage):
    artifact = documents(store)
    in_another_process()
    damage(artifact.path / "notes.json")
    with pytest.raises(StoreError, match=r"notes\.json"):
        require_sound([artifact])


def test_a_file_is_read_once_and_again_when_it_has_changed(store, monkeypatch):
    artifact = documents(store)
    read = []
    hashed = soundness.xxh3_of
    monkeypatch.setattr(soundness, "xxh3_of", lambda file: (read.append(file.name), hashed(file))[1])
    require_sound([artifact])
    assert read == [], "this process wrote and hashed it"
    in_another_process()
    for _ in range(2):
        require_sound([artifact])
    assert sorted(read) == ["notes.json", "part.bin"]
    flip(artifact.path / "notes.json", 1)
    with pytest.raises(StoreError, match="damaged"):
        require_sound([artifact])


def test_a_manifest_of_before_is_checked_by_its_slower_hash(store):
    artifact = documents(store)
    file = artifact.path / "manifest.json"
    raw = json.loads(file.read_text())
    del raw["manifest_sha256"]
    for record in raw["files"].values():
        del record["xxh3"]
    file.write_text(json.dumps(raw))
    in_another_process()
    require_sound([store.get("documents", artifact.fingerprint)])
    flip(artifact.path / "notes.json", 1)
    with pytest.raises(StoreError, match=r"notes\.json is damaged"):
        require_sound([store.get("documents", artifact.fingerprint)])


def test_a_flipped_bit_anywhere_in_a_manifest_is_found_or_changes_nothing(store):
    text = (documents(store).path / "manifest.json").read_bytes()
    whole = Manifest.parse(text.decode(), "here")
    found = 0
    for place in range(0, len(text), 3):
        for bit in (0, 2, 5):
            data = bytearray(text)
            data[place] ^= 1 << bit
            try:
                assert Manifest.parse(data.decode("utf-8", "replace"), "here") == whole
            except StoreError:
                found += 1
    assert found > len(text) // 2


def test_an_artifact_with_a_damaged_manifest_is_built_anew(store):
    artifact = documents(store)
    (artifact.path / "manifest.json").write_text("{")
    again = documents(store)
    assert again.fingerprint == artifact.fingerprint
    assert "cannot be read" in again.manifest.built.reason
    assert store.get("documents", artifact.fingerprint) is not None
