"""Bytes that a machine works out once: in the user's cache folder, beside what was measured of the machine.

In: what the bytes depend on, and a function that makes them. Out: the bytes, mapped from a file, so that all processes
of the machine share one copy of them in memory. A file is renamed into place whole, so any number of processes may
make the same one at once; what is damaged is made again; what was not used for longest goes where a folder grows past
MOST_BYTES. Without a folder to write to, everything is made each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from pipeline.base.files import TEMPORARY, whole_path
from trainer.process.machine_notes import machine_folder

MOST_BYTES: Final = 256 << 20
"""Of one kind."""
_ENDING: Final = ".bin"
_DIGEST_BYTES: Final = 16
_DAY: Final = 86_400.0


def made_once(kind: str, depends_on: Sequence[str], make: Callable[[], bytes]) -> memoryview:
    """What `make` returns, from the cache where it is there; read-only.

    depends_on: all that the bytes depend on, the version of the code that makes them included. Raises what `make`
    raises, in which case nothing is kept.
    """
    name = hashlib.sha256(json.dumps([kind, *depends_on]).encode()).hexdigest()[:32]
    try:
        file = machine_folder(kind) / f"{name}{_ENDING}"
    except RuntimeError:  # a user without a home
        return memoryview(make()).toreadonly()
    kept = _read(file)
    if kept is None:
        kept = memoryview(make()).toreadonly()
        with contextlib.suppress(OSError):
            _write(file, kept)
    return kept


def _read(file: Path) -> memoryview | None:
    """What a file holds; None where it is missing or damaged."""
    try:
        with file.open("rb") as opened:
            whole = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        if whole[:_DIGEST_BYTES] != _digest(whole[_DIGEST_BYTES:]):
            return None
    except (OSError, ValueError):  # a ValueError: an empty file cannot be mapped
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # used now
    return whole[_DIGEST_BYTES:]


def _write(file: Path, content: memoryview) -> None:
    # not synced: after a power cut the digest tells, and nothing is lost
    with whole_path(file, sync=False) as path, path.open("wb") as unfinished:
        unfinished.write(_digest(content))
        unfinished.write(content)
    _make_room(file.parent)


def _make_room(folder: Path) -> None:
    """Remove what was not used for longest, and what killed processes left half-written a day ago."""
    found = [(path.stat(), path) for path in folder.iterdir()]
    for stat, path in found:
        if path.name.endswith(TEMPORARY) and stat.st_mtime < time.time() - _DAY:
            path.unlink(missing_ok=True)
    size = 0
    kept = [(stat, path) for stat, path in found if path.suffix == _ENDING]
    for stat, path in sorted(kept, key=lambda entry: entry[0].st_mtime, reverse=True):
        size += stat.st_size
        if size > MOST_BYTES:
            path.unlink(missing_ok=True)


def _digest(content: memoryview) -> bytes:
    import xxhash

    return xxhash.xxh3_128(content).digest()
