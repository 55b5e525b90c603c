"""What is asked of every artifact of a store at once, without reading each manifest each time.

In: a backend. Out: an `Entry` for each manifest. Reading a manifest and checking it takes a third of a millisecond; of
one that is as it was when it was last read (size, times and inode), the entry is taken from a file in the store's
folder of caches. That file decides nothing: it may be removed at any time, is not read where it is damaged, is left as
it is where the disk cannot be written, and of two processes the last one's stays. Nothing is removed, reused or called
damaged on its word alone: whoever does so reads the manifest.
"""

from __future__ import annotations

import functools
import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import xxhash
from pydantic import TypeAdapter
from pydantic_core import to_json

from pipeline.base.errors import StoreError
from pipeline.base.files import whole_file
from pipeline.store.artifact import Artifact
from pipeline.store.backend import Backend, Stamp

log = logging.getLogger(__name__)

CATALOGUE: Final = "catalogue.1"
"""Name of the file among the store's caches; its number moves with the fields of `Entry`."""


class Entry(NamedTuple):
    """An artifact, as far as collection and a look at names and sizes want to know it."""

    key: str
    fingerprint: str
    stamp: Stamp
    inputs: tuple[tuple[str, str], ...]
    """Key and fingerprint of each artifact that it was built from."""
    files: tuple[tuple[str, int], ...]
    """Name and bytes of each file."""
    folders: tuple[tuple[str, Stamp], ...] = ()
    """Its folder and those within, when all in them was last found to be as its manifest says; none before that."""

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.files)


class Unreadable(NamedTuple):
    """An artifact whose manifest cannot be read."""

    key: str
    fingerprint: str
    error: StoreError


class Catalogue:
    """The entries of a store, as far as they are known."""

    def __init__(self, backend: Backend, get: Callable[[str, str], Artifact | None], caches: Path) -> None:
        """get: an artifact by key and fingerprint, from its manifest. caches: a folder for the file of entries."""
        self._backend = backend
        self._get = get
        self._file = caches / CATALOGUE
        self._known = _read(self._file)
        self._new: dict[str, Entry] = {}
        self._changed = False

    def __iter__(self) -> Iterator[Entry | Unreadable]:
        """Every artifact that is there now, in the order of keys and fingerprints; at the end the file is written."""
        self._new.clear()
        for key, fingerprint, stamp in self._backend.stamps():
            entry = self._known.get(f"{key}/{fingerprint}")
            if entry is None or entry.stamp != stamp or not stamp:
                try:
                    artifact = self._get(key, fingerprint)
                except StoreError as error:
                    yield Unreadable(key, fingerprint, error)
                    continue
                if artifact is None:  # it was removed meanwhile
                    continue
                entry = self._enter(artifact, stamp)
            self._new.setdefault(f"{key}/{fingerprint}", entry)
            yield entry
        self._write()

    def found_whole(self, entry: Entry, folders: tuple[tuple[str, Stamp], ...]) -> None:
        """Remember that everything in an artifact's folders was as its manifest says when they had these stamps."""
        if entry.stamp and folders and folders != entry.folders:
            self._new[f"{entry.key}/{entry.fingerprint}"] = entry._replace(folders=folders)
            self._changed = True

    def _enter(self, artifact: Artifact, stamp: Stamp) -> Entry:
        manifest = artifact.manifest
        self._changed = self._changed or bool(stamp)
        return Entry(
            manifest.key,
            manifest.fingerprint,
            stamp,
            tuple((item.key, item.fingerprint) for item in manifest.inputs.values()),
            tuple((name, record.bytes) for name, record in manifest.files.items()),
        )

    def _write(self) -> None:
        if not self._changed and len(self._new) == len(self._known):
            return
        data = to_json([entry for entry in self._new.values() if entry.stamp])
        with suppress(OSError), whole_file(self._file) as file:
            file.write(_seal(data) + b"\n" + data)


def _read(file: Path) -> dict[str, Entry]:
    """The entries of a catalogue's file; none where it is not there or not as it was written."""
    try:
        seal, _, data = file.read_bytes().partition(b"\n")
        if seal != _seal(data):
            log.debug("%s is damaged, and is made anew", file)
            return {}
        with _without_collector():
            return {f"{entry.key}/{entry.fingerprint}": entry for entry in _entries().validate_json(data)}
    except (OSError, ValueError):
        return {}


@contextmanager
def _without_collector() -> Iterator[None]:
    """Half of the time of making a hundred thousand tuples is the garbage collector's, which finds nothing in them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@functools.cache
def _entries() -> TypeAdapter[list[Entry]]:
    return TypeAdapter(list[Entry])


def _seal(data: bytes) -> bytes:
    return xxhash.xxh3_128_hexdigest(data).encode()
