"""The store in a local folder, or one that machines share.

Layout: `<root>/<asset key>/<fingerprint>/{manifest.json, files...}`, pointers `<root>/<asset key>/CURRENT.<profile>`.
A build writes into `.building-<fingerprint>` beside its place, which survives a kill, so a long build goes on from its
finished parts; the rename into place is the commit.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

from pipeline.base.errors import DamagedError
from pipeline.base.files import TEMPORARY, hashes_of, remove_unfinished, sync_folder, write_text
from pipeline.base.finished import forget_records
from pipeline.base.lock import exclusive, exclusive_if_free
from pipeline.store.backend import CURRENT, FINGERPRINT, MANIFEST, Removable, Stamp, fingerprint_in
from pipeline.store.manifest import FileRecord, Manifest
from trainer.process.cores import core_count

BUILDING: Final = ".building-"
DAMAGED: Final = ".damaged-"
FETCHING: Final = ".fetching-"
"""Begins the folder of an artifact that is on its way here from a bucket."""
CLOCK_NS: Final = 2_000_000_000
"""No disk's clock is coarser: two changes further apart have different times."""


class LocalBackend:
    """Artifacts and records as folders and files below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, record: str) -> str | None:
        file = self.root / record
        try:
            return file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:  # a ValueError: neither UTF-8 nor a name that a file can have
            raise DamagedError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from error

    def write(self, record: str, text: str) -> None:
        write_text(self.root / record, text)

    def delete(self, record: str) -> None:
        (self.root / record).unlink(missing_ok=True)

    def manifests(self, key: str | None = None) -> Iterator[tuple[str, str]]:
        for name, folder, names in self._folders(key):
            for item in names:
                if FINGERPRINT.fullmatch(item) and (folder / item / MANIFEST).exists():
                    yield name, item

    def stamps(self) -> Iterator[tuple[str, str, Stamp]]:
        sure = _sure()
        for key, folder, names in self._folders():
            for item in filter(FINGERPRINT.fullmatch, names):
                try:
                    status = _status(f"{folder}/{item}/{MANIFEST}")
                except OSError:
                    continue
                yield key, item, _stamp(status, sure)

    def listing(self, key: str, fingerprint: str) -> tuple[tuple[tuple[str, Stamp], ...], set[str]]:
        place, sure = os.fspath(self.place(key, fingerprint)), _sure()
        folders, names = [], set[str]()
        for folder, _, files in os.walk(place):
            within = folder[len(place) + 1 :]
            with suppress(OSError):  # what comes or goes meanwhile leaves it no stamp that is sure
                folders.append((within, _stamp(_status(folder), sure)))
            names |= {f"{within}/{name}" if within else name for name in files}
        return (tuple(folders) if all(stamp for _, stamp in folders) else ()), names

    def holds(
        self, key: str, fingerprint: str, folders: Iterable[tuple[str, Stamp]], files: Iterable[tuple[str, int]]
    ) -> bool:
        place = f"{self.root}/{key}/{fingerprint}"
        try:
            for name, stamp in folders:
                if _stamp(_status(f"{place}/{name}"), None) != stamp:
                    return False
            for name, size in files:
                status = _status(f"{place}/{name}")
                if status.st_size != size or not stat.S_ISREG(status.st_mode):
                    return False
        except OSError:
            return False
        return True

    def pointers(self) -> Iterator[tuple[str, str]]:
        for key, _, names in self._folders():
            for name in names:
                if name.startswith(CURRENT) and not name.endswith(TEMPORARY):  # of one that is being moved
                    yield key, name.removeprefix(CURRENT)

    def profiles_at(self, key: str, fingerprint: str) -> list[str]:
        """The profiles whose pointers in this folder say that the artifact is current."""
        names = [name for name in _names(self.root / key) if name.startswith(CURRENT) and not name.endswith(TEMPORARY)]
        texts = {name: LocalBackend.read(self, f"{key}/{name}") for name in names}
        return [name.removeprefix(CURRENT) for name, text in texts.items() if fingerprint_in(text) == fingerprint]

    def lock(self, name: str, purpose: str) -> AbstractContextManager[None]:
        return exclusive(self.root / f"{name}.lock", purpose)

    def is_locked(self, name: str) -> bool:
        if not (self.root / f"{name}.lock").exists():
            return False
        with exclusive_if_free(self.root / f"{name}.lock") as held:
            return not held

    def unlock_for_ever(self, name: str) -> None:
        (self.root / f"{name}.lock").unlink(missing_ok=True)

    def records(self, folder: str) -> list[str]:
        return sorted(file.stem for file in (self.root / folder).glob("*.json"))

    def tidy(self, key: str) -> None:
        for file in (self.root / key).glob(f"{CURRENT}*{TEMPORARY}"):
            file.unlink(missing_ok=True)

    def replace(self, record: str, text: str, seen: str | None) -> bool:
        with suppress(DamagedError):
            if fingerprint_in(self.read(record)) != seen:
                return False
        self.write(record, text)
        return True

    def place(self, key: str, fingerprint: str) -> Path:
        return self.root.joinpath(key, fingerprint)

    def folder(self, key: str, fingerprint: str) -> Path:
        return self.place(key, fingerprint)

    def glimpse(self, key: str, fingerprint: str) -> Path:
        return self.place(key, fingerprint)

    def restore(self, manifest: Manifest) -> bool:
        return False

    def share(self, key: str, fingerprint: str) -> None:
        """Whoever shares the folder has it already."""

    def damage(self, manifest: Manifest) -> str | None:
        for name, record in manifest.files.items():
            file = self.place(manifest.key, manifest.fingerprint) / name
            if not file.is_file():
                return f"the file {file} is missing"
            if file.stat().st_size != record.bytes:
                return f"the file {file} has {file.stat().st_size:,} bytes instead of {record.bytes:,}"
        return None

    def lease(self, key: str, fingerprint: str, purpose: str) -> AbstractContextManager[None]:
        return exclusive(self._lock(key, fingerprint), purpose)

    def workspace(self, key: str, fingerprint: str) -> Path:
        folder = self.root / key / (BUILDING + fingerprint)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def commit(self, manifest: Manifest) -> Manifest:
        folder = self.workspace(manifest.key, manifest.fingerprint)
        final = self.place(manifest.key, manifest.fingerprint)
        write_text(folder / MANIFEST, manifest.to_json())
        if final.exists():
            put_aside(final, manifest.fingerprint)
        folder.rename(final)
        sync_folder(final.parent)
        return manifest

    def set_aside(self, key: str, fingerprint: str) -> Path | None:
        with exclusive_if_free(self._lock(key, fingerprint)) as held:
            return put_aside(self.place(key, fingerprint), fingerprint) if held else None

    def abandoned(self, *, unfinished: bool) -> Iterator[Removable]:
        reasons = {DAMAGED: "damaged and built anew, or half removed"}
        reasons |= {BUILDING: "an unfinished build", FETCHING: "a fetch that was stopped"} if unfinished else {}
        prefixes = tuple(reasons)
        for key, parent, names in self._folders():
            for name in (name for name in names if name.startswith(prefixes)):
                prefix = next(prefix for prefix in reasons if name.startswith(prefix))
                folder, fingerprint = parent / name, name.removeprefix(prefix).split("-")[0]
                inside = () if folder.is_symlink() else folder.rglob("*")
                size = sum(file.stat().st_size for file in inside if file.is_file())
                yield Removable(key, fingerprint, folder, size, reasons[prefix])

    def take_out(self, item: Removable) -> Path | None:
        fetched = item.path.name.startswith(FETCHING)
        lock = self.fetching_lock if fetched else self._lock
        with exclusive_if_free(lock(item.key, item.fingerprint)) as held:
            return put_aside(item.path, item.fingerprint) if held else None

    def discard(self, place: Path) -> None:
        if place.is_symlink():
            place.unlink(missing_ok=True)
        else:
            shutil.rmtree(place, ignore_errors=True)  # another collection may be at it too

    def fetching_lock(self, key: str, fingerprint: str) -> Path:
        """The lock under which an artifact arrives from a bucket."""
        return self.root / key / f".{fingerprint}.fetching.lock"

    def _folders(self, key: str | None = None) -> Iterator[tuple[str, Path, list[str]]]:
        """(key, folder, names in it) of every folder that may hold artifacts, links to folders included, or of one key.

        Artifacts themselves are not looked into: a store of many shards is listed by their names alone.
        """
        if key is not None:
            if (self.root / key).is_dir():
                yield key, self.root / key, _names(self.root / key)
            return
        seen: set[str] = set()
        waiting = [self.root]
        while waiting:
            folder = waiting.pop()
            if (real := os.path.realpath(folder)) in seen or not folder.is_dir():  # a link may lead back up
                continue
            seen.add(real)
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda item: item.name)
            inner = [item.name for item in entries if not _own_or_artifact(item.name) and item.is_dir()]
            waiting += [folder / name for name in reversed(inner)]
            if folder != self.root:
                yield folder.relative_to(self.root).as_posix(), folder, [item.name for item in entries]

    def _lock(self, key: str, fingerprint: str) -> Path:
        return self.root / key / f".{fingerprint}.lock"


def _sure() -> int:
    """The latest time, in nanoseconds, whose changes cannot be followed by another one with the same times."""
    return time.time_ns() - CLOCK_NS


def _status(path: str) -> os.stat_result:
    """For every file of a store: to make a Path of each takes longer than to ask the disk."""
    return os.stat(path)  # noqa: PTH116


def _stamp(status: os.stat_result, sure: int | None) -> Stamp:
    """sure: of what was changed after it the stamp is empty."""
    if sure is not None and max(status.st_mtime_ns, status.st_ctime_ns) > sure:
        return ()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:  # no path is made for what is passed over
        return sorted(item.name for item in entries)


def _own_or_artifact(name: str) -> bool:
    """Whether a name is none of a key's: an artifact's, or of what the store keeps for itself."""
    return name.startswith((".", CURRENT)) or FINGERPRINT.fullmatch(name) is not None


def put_aside(folder: Path, fingerprint: str) -> Path:
    """Give an artifact's folder, or what a build left, a name by which it is no artifact, and no other's."""
    return folder.replace(folder.with_name(f"{DAMAGED}{fingerprint}-{time.time_ns()}"))


def sync_and_hash(folder: Path) -> dict[str, FileRecord]:
    """Sync every file of a folder to the disk and record its size and hash; a killed attempt's leftovers go."""
    remove_unfinished(folder)
    forget_records(folder)
    (folder / MANIFEST).unlink(missing_ok=True)
    files = sorted(file for file in folder.rglob("*") if file.is_file())

    def record(file: Path) -> tuple[str, FileRecord]:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return file.relative_to(folder).as_posix(), FileRecord(file.stat().st_size, *hashes_of(file))

    with ThreadPoolExecutor(max_workers=core_count()) as pool:
        records = dict(pool.map(record, files))
    for inner in [*(item for item in folder.rglob("*") if item.is_dir()), folder]:
        sync_folder(inner)
    return records
