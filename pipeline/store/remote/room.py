"""Room on a machine whose artifacts are in a bucket too: what is in use here, and what goes when there is too much.

In: how many bytes the local store may hold. Out: a store below that, as far as can be. The artifact that was used least
lately goes first; never one that the bucket has not, that a process alive has asked for, that a run stands on, be it at
work or to be gone on from, or a trainer that has outlived its run. A process that reads an artifact says so under the
lock that clearing takes, in a record that ends with it.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from pipeline.base.errors import DamagedError
from pipeline.base.held import is_held, stands_on
from pipeline.base.numbers import size
from pipeline.store.artifact import Artifact
from pipeline.store.backend import MANIFEST, Removable
from pipeline.store.catalogue import Catalogue, Entry
from pipeline.store.local import LocalBackend
from pipeline.store.manifest import Manifest
from pipeline.store.running import RUNS, standing_on
from trainer.records import check, parse_json

log = logging.getLogger(__name__)

USES: Final = ".uses"
"""Folder of the records of what processes read."""
_CLEARING: Final = ".clearing"
"""Name of the lock under which artifacts are cleared away, and asked for first."""
_USED: Final = "used"
"""Folder of the cache with an empty file for each artifact, as old as its last use."""


class Uses:
    """What this process reads of a local store, from its first look to its end."""

    def __init__(self, local: LocalBackend) -> None:
        self._local = local
        self._name = f"{USES}/{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._lock = ExitStack()
        """Held until the process ends: the kernel frees it."""
        self._used: set[str] = set()

    def add(self, key: str, fingerprint: str) -> None:
        """Keep an artifact from being cleared away while this process lives."""
        name = f"{key}/{fingerprint}"
        if name in self._used:
            return
        with suppress(OSError), self._local.lock(_CLEARING, "making room"):  # on a disk that cannot be written none is
            if not self._used:
                self._lock.enter_context(self._local.lock(self._name, "reading artifacts"))
            self._local.write(f"{self._name}.json", json.dumps(sorted({*self._used, name})))
            used = _mark(self._local, fingerprint)
            used.parent.mkdir(parents=True, exist_ok=True)
            used.touch()
        self._used.add(name)


def make_room(local: LocalBackend, most_bytes: int, is_shared: Callable[[str, str], bool]) -> int:
    """Clear artifacts away until the rest has at most so many bytes; returns how many bytes went.

    is_shared: (key, fingerprint) -> whether the bucket has the artifact.
    """
    entries = [item for item in _catalogue(local) if isinstance(item, Entry)]
    held = sum(item.bytes for item in entries)
    if held <= most_bytes:
        return 0
    cleared = 0
    places = []
    with local.lock(_CLEARING, "making room"):
        try:
            needed = {*_read(local), *_stood_on(local)}
        except (DamagedError, ValueError) as error:
            log.warning("%s; until then nothing is cleared away", error)
            return 0
        for item in sorted(entries, key=lambda item: _last_use(local, item)):
            if held - cleared <= most_bytes:
                break
            if f"{item.key}/{item.fingerprint}" in needed or not is_shared(item.key, item.fingerprint):
                continue
            folder = local.place(item.key, item.fingerprint)
            place = local.take_out(Removable(item.key, item.fingerprint, folder, item.bytes, "making room"))
            if place is not None:
                places.append(place)
                cleared += item.bytes
    for place in places:
        local.discard(place)
    if cleared:
        log.info("made room in %s: %s that are in the bucket too", local.root, size(cleared))
    if held - cleared > most_bytes:
        log.warning(
            "%s holds %s, more than its limit of %s: all the rest is in use, or not in the bucket yet (`squeeze push`)",
            *(local.root, size(held - cleared), size(most_bytes)),
        )
    return cleared


def _read(local: LocalBackend) -> Iterator[str]:
    """What processes alive have asked for; records of those that ended are removed. Raises DamagedError, ValueError."""
    for record in local.records(USES):
        name = f"{USES}/{record}"
        if local.is_locked(name):
            yield from check(list[str], parse_json(local.read(f"{name}.json") or "[]"))
        else:
            local.delete(f"{name}.json")
            local.unlock_for_ever(name)


def _stood_on(local: LocalBackend) -> Iterator[str]:
    """What runs stand on, also those that are over or were killed, and trainers that have outlived their runs."""
    for run in local.records(RUNS):
        yield from (f"{key}/{fingerprint}" for key, fingerprint in standing_on(local, run))
    for item in local.abandoned(unfinished=True):
        if is_held(item.path):
            yield from (f"{key}/{fingerprint}" for key, fingerprint in stands_on(item.path).items())


def _catalogue(local: LocalBackend) -> Catalogue:
    def get(key: str, fingerprint: str) -> Artifact | None:
        record = f"{key}/{fingerprint}/{MANIFEST}"
        text = local.read(record)
        return Artifact(Manifest.parse(text, record), local) if text is not None else None

    return Catalogue(local, get, local.root / ".cache")


def _last_use(local: LocalBackend, item: Entry) -> float:
    try:
        return _mark(local, item.fingerprint).stat().st_mtime
    except OSError:
        return 0.0


def _mark(local: LocalBackend, fingerprint: str) -> Path:
    return local.root / ".cache" / _USED / fingerprint
