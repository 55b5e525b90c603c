"""Looking after a store: verifying what is on disk, and finding what no profile needs any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pipeline.base.files import sha256_of
from pipeline.store.artifact import Artifact
from pipeline.store.backend import CURRENT, MANIFEST, Removable
from pipeline.store.store import Store

EPOCHS: Final = "shards/epoch_"


def verify(artifact: Artifact) -> Iterator[str]:
    """Hash every file of an artifact; yields a line for each that is missing, changed, or not in the manifest."""
    recorded = artifact.manifest.files
    for name, record in recorded.items():
        file = artifact.path / name
        if not file.is_file():
            yield f"{file}: missing"
        elif file.stat().st_size != record.bytes:
            yield f"{file}: {file.stat().st_size:,} bytes instead of {record.bytes:,}"
        elif sha256_of(file) != record.sha256:
            yield f"{file}: its content is not what was built (SHA-256 differs)"
    for file in artifact.path.rglob("*"):
        name = file.relative_to(artifact.path).as_posix()
        if file.is_file() and name not in recorded and name != MANIFEST:
            yield f"{file}: not part of the artifact"


def garbage(store: Store, *, epochs: bool = False, unfinished: bool = False) -> list[Removable]:
    """What no profile's current artifacts need: older builds and damaged ones, largest first.

    With `unfinished` also half-built folders, from which a build that was stopped would go on (a model's checkpoints
    among them). With `epochs` also every epoch's shards, current or not: they follow to the byte from the tokens and
    the schedule.
    """
    needed: set[str] = set()
    for _, _, artifact in store.pointers():
        if artifact is not None and artifact.fingerprint not in needed:
            needed |= store.ancestry(artifact).keys()
    removable = list(store.backend.abandoned(unfinished=unfinished))
    for artifact in store.artifacts():
        is_epoch = epochs and artifact.key.startswith(EPOCHS)
        if artifact.fingerprint not in needed or is_epoch:
            why = "shards, rebuilt when needed" if is_epoch else "no profile's current artifacts need it"
            size = artifact.manifest.size
            removable.append(Removable(artifact.key, artifact.fingerprint, artifact.path, size, why))
    return sorted(removable, key=lambda item: -item.bytes)


def forget(store: Store, profile: str) -> int:
    """Remove a profile's pointers, so that `garbage` no longer counts what only it needs; returns how many."""
    keys = [key for key, pointing in store.backend.pointers() if pointing == profile]
    for key in keys:
        store.backend.delete(f"{key}/{CURRENT}{profile}")
    return len(keys)
