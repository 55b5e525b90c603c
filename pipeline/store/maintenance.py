"""Looking after a store: verifying what is on disk, and finding what no profile needs any more."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.base.files import sha256_of
from pipeline.base.lock import exclusive_if_free
from pipeline.store.manifest import Artifact
from pipeline.store.store import BUILDING, CURRENT, DAMAGED, Store

log = logging.getLogger(__name__)

EPOCHS: Final = "shards/epoch_"


@dataclass(frozen=True)
class Garbage:
    """A folder that no current artifact needs. `lock` guards it; a folder somebody builds in is not removed."""

    path: Path
    lock: Path
    bytes: int
    why: str


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
        if file.is_file() and name not in recorded and name != "manifest.json":
            yield f"{file}: not part of the artifact"


def garbage(store: Store, *, epochs: bool = False, unfinished: bool = False) -> list[Garbage]:
    """What no profile's current artifacts need: older builds and damaged ones, largest first.

    With `unfinished` also half-built folders, from which a build that was stopped would go on (a model's checkpoints
    among them). With `epochs` also every epoch's shards, current or not: they follow to the byte from the tokens and
    the schedule.
    """
    needed: set[str] = set()
    for _, _, artifact in store.pointers():
        if artifact is not None and artifact.fingerprint not in needed:
            needed |= store.ancestry(artifact).keys()
    found = []
    for artifact in store.artifacts():
        is_epoch = epochs and artifact.key.startswith(EPOCHS)
        if artifact.fingerprint not in needed or is_epoch:
            lock = store.lock_file(artifact.key, artifact.fingerprint)
            why = "shards, rebuilt when needed" if is_epoch else "no profile's current artifacts need it"
            found.append(Garbage(artifact.path, lock, artifact.manifest.size, why))
    leftovers = [(DAMAGED, "damaged, and built anew"), *([(BUILDING, "an unfinished build")] if unfinished else [])]
    for prefix, why in leftovers:
        for folder in store.root.glob(f"**/{prefix}*"):
            name = folder.name.removeprefix(prefix).split("-")[0]
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            found.append(Garbage(folder, folder.with_name(f".{name}.lock"), size, why))
    return sorted(found, key=lambda item: -item.bytes)


def remove(item: Garbage) -> bool:
    """Remove a folder unless a build holds its lock; returns whether it is gone."""
    with exclusive_if_free(item.lock) as held:
        if held:
            # renamed first, so that a removal cut short never leaves a folder that reads as finished
            doomed = item.path.with_name(f"{DAMAGED}{item.path.name.split('-')[-1]}-removing")
            if item.path != doomed:
                item.path.replace(doomed)
            shutil.rmtree(doomed)
    return held


def forget(store: Store, profile: str) -> int:
    """Remove a profile's pointers, so that `garbage` no longer counts what only it needs; returns how many."""
    pointers = list(store.root.glob(f"**/{CURRENT}{profile}"))
    for pointer in pointers:
        pointer.unlink()
    return len(pointers)
