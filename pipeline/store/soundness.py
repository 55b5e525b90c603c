"""Whether the bytes of an artifact are those that were built: looked at before a build uses them.

In: artifacts that something is to be built from. Out: nothing, or an error that names the damaged file. A file is read
once a process, at the speed of XXH3; one that has the size, time and inode of then is not read again. Reuse looks at
names and sizes alone, so a store of any size is reused in seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from pipeline.base.errors import StoreError
from pipeline.base.files import sha256_of, xxh3_of
from pipeline.store.artifact import Artifact
from pipeline.store.manifest import FileRecord
from trainer.process.cores import core_count

log = logging.getLogger(__name__)

State = tuple[int, int, int]
"""Size, time of the last change in nanoseconds, inode."""

_sound: Final[dict[tuple[Path, str], State]] = {}
"""Files that were sound when this process looked, by path and SHA-256."""


def require_sound(artifacts: Iterable[Artifact]) -> None:
    """Compare every file of the artifacts with its manifest, unless this process has done so.

    Raises StoreError naming the first damaged file, after its artifact is set aside: it is built anew the next time.
    """
    damaged = [(artifact, damage) for artifact, damage in _looked_at(artifacts) if damage]
    if not damaged:
        return
    first = {artifact.path: (artifact, damage) for artifact, damage in reversed(damaged)}
    said = [f"{damage}; {set_aside(artifact)}" for artifact, damage in reversed(first.values())]
    raise StoreError(" ".join(said) + " Run the same command again to build it anew.")


def unsound(artifact: Artifact) -> str | None:
    """What is wrong with the first file of an artifact that is not what was built, or None."""
    return next((damage for _, damage in _looked_at([artifact]) if damage), None)


def _looked_at(artifacts: Iterable[Artifact]) -> list[tuple[Artifact, str | None]]:
    """Each file's artifact, with what is wrong with the file."""
    files = [(artifact, name) for artifact in artifacts for name in artifact.manifest.files]
    with ThreadPoolExecutor(core_count()) as pool:
        found = pool.map(lambda pair: damage_of(pair[0].path / pair[1], pair[0].manifest.files[pair[1]]), files)
        return [(artifact, damage) for (artifact, _), damage in zip(files, found, strict=True)]


def set_aside(artifact: Artifact) -> str:
    """Have nothing build on a damaged artifact any more; says where it is now."""
    place = artifact.backend.set_aside(artifact.key, artifact.fingerprint)
    if place is None:
        return f"{artifact.key} is being built anew by another process."
    return f"nothing is built from it, and {artifact.key} {artifact.fingerprint[:8]} now lies in {place.name}."


def damage_of(file: Path, record: FileRecord) -> str | None:
    """What is wrong with a file, in words, or None; a file that is as it was when it was found sound is not read."""
    try:
        state = _state(file)
        if _sound.get((file, record.sha256)) == state:
            return None
        if state[0] != record.bytes:
            return f"the file {file} has {state[0]:,} bytes instead of {record.bytes:,}"
        if (xxh3_of(file) != record.xxh3) if record.xxh3 else (sha256_of(file) != record.sha256):
            return f"the file {file} is damaged: its content is not what was built (hashes differ)"
    except OSError as error:
        return f"the file {file} cannot be read ({error.strerror or error})"
    _sound[file, record.sha256] = state
    return None


def remember_sound(file: Path, record: FileRecord) -> None:
    """Count a file as sound without reading it: this process has just written it."""
    _sound[file, record.sha256] = _state(file)


def _state(file: Path) -> State:
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino
