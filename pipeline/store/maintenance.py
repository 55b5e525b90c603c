"""Verifying what is on disk: every file of an artifact against its manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import DamagedError, StoreError
from pipeline.base.files import sha256_of
from pipeline.store.artifact import Artifact
from pipeline.store.backend import MANIFEST
from pipeline.store.catalogue import Catalogue, Entry
from pipeline.store.store import Store


def verify(artifact: Artifact, *, quick: bool = False) -> Iterator[str]:
    """Hash every file of an artifact; yields a line for each that is missing, changed, or not in the manifest.

    quick: names and sizes alone.
    """
    recorded = artifact.manifest.files
    for name, record in recorded.items():
        file = artifact.path / name
        if not file.is_file():
            yield f"{file}: {'not a file' if file.exists() else 'missing'}"
        elif file.stat().st_size != record.bytes:
            yield f"{file}: {file.stat().st_size:,} bytes instead of {record.bytes:,}"
        elif not quick and _hash(file) != record.sha256:
            yield f"{file}: its content is not what was built (SHA-256 differs)"
    for file in artifact.path.rglob("*"):
        name = file.relative_to(artifact.path).as_posix()
        if file.is_file() and name not in recorded and name != MANIFEST:
            yield f"{file}: not part of the artifact"


def _hash(file: Path) -> str:
    try:
        return sha256_of(file)
    except OSError as error:
        return f"cannot be read: {error}"


@dataclass(frozen=True)
class Looked:
    """What a look at one artifact found."""

    key: str
    fingerprint: str
    faults: list[str]
    bytes: int | None = None
    """Of all its files, as its manifest says; None where that cannot be read."""
    newer: bool = False
    """Written by a newer version, so that nothing is wrong with it as far as this one can say."""

    def put_aside(self, store: Store) -> str:
        """Have nothing build on it, so that the next run builds it anew; says so."""
        if self.newer:
            return f"{self.key} {self.fingerprint[:8]} stays where it is"
        place = store.backend.set_aside(self.key, self.fingerprint)
        where = f"now lies in {place}" if place else "is being built by another process, and stays"
        return f"{self.key} {self.fingerprint[:8]} {where}"


def damaged_in(store: Store, *, quick: bool = False) -> Iterator[Looked]:
    """Every artifact of a store with what is wrong with it.

    quick: names and sizes alone, and a manifest that is as it was when it was last read is not read again.
    """
    if not quick:
        yield from filter(None, (_look(store, *pair) for pair in store.backend.manifests()))
        return
    catalogue = store.catalogue()
    for entry in catalogue:
        if isinstance(entry, Entry) and _is_whole(store, entry, catalogue):
            yield Looked(entry.key, entry.fingerprint, [], entry.bytes)
        elif (looked := _look(store, entry.key, entry.fingerprint, quick=True)) is not None:
            yield looked


def _look(store: Store, key: str, fingerprint: str, *, quick: bool = False) -> Looked | None:
    """What is wrong with one artifact; None where it has just been removed."""
    try:
        artifact = store.get(key, fingerprint)
        if artifact is None:
            return None
        return Looked(key, fingerprint, list(verify(artifact, quick=quick)), artifact.manifest.size)
    except StoreError as error:
        return Looked(key, fingerprint, [str(error)], newer=not isinstance(error, DamagedError))


def _is_whole(store: Store, entry: Entry, catalogue: Catalogue) -> bool:
    """Whether an artifact has the files that its manifest names, of these sizes, and no others."""
    folders = entry.folders
    if not folders or not store.backend.holds(entry.key, entry.fingerprint, folders, entry.files):
        folders, names = store.backend.listing(entry.key, entry.fingerprint)
        if names - {MANIFEST} != {name for name, _ in entry.files}:
            return False
        if not store.backend.holds(entry.key, entry.fingerprint, (), entry.files):
            return False
        catalogue.found_whole(entry, folders)
    return True
