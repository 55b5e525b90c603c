"""The store in a local folder, or one that machines share.

Layout: `<root>/<asset key>/<fingerprint>/{manifest.json, files...}`, pointers `<root>/<asset key>/CURRENT.<profile>`.
A build writes into `.building-<fingerprint>` beside its place, which survives a kill, so a long build goes on from its
finished parts; the rename into place is the commit.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from pipeline.base.executor import cpu_count
from pipeline.base.files import TEMPORARY, hashes_of, remove_unfinished, sync_folder, write_text
from pipeline.base.finished import forget_records
from pipeline.base.lock import exclusive, exclusive_if_free
from pipeline.store.backend import CURRENT, MANIFEST, Removable
from pipeline.store.manifest import FileRecord, Manifest

FINGERPRINT: Final = re.compile(r"[0-9a-f]{32}")
BUILDING: Final = ".building-"
DAMAGED: Final = ".damaged-"


class LocalBackend:
    """Artifacts and records as folders and files below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, record: str) -> str | None:
        try:
            return (self.root / record).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, record: str, text: str) -> None:
        write_text(self.root / record, text)

    def delete(self, record: str) -> None:
        (self.root / record).unlink(missing_ok=True)

    def manifests(self, key: str | None = None) -> Iterator[tuple[str, str]]:
        base, pattern = (self.root / key, f"*/{MANIFEST}") if key else (self.root, f"**/{MANIFEST}")
        for folder in (file.parent for file in sorted(base.glob(pattern))):
            if FINGERPRINT.fullmatch(folder.name):
                yield self._key(folder), folder.name

    def pointers(self) -> Iterator[tuple[str, str]]:
        for file in sorted(self.root.glob(f"**/{CURRENT}*")):
            if file.suffix != TEMPORARY:  # of a pointer that is being moved, or whose writer was killed
                yield self._key(file), file.name.removeprefix(CURRENT)

    def folder(self, key: str, fingerprint: str) -> Path:
        return self.root / key / fingerprint

    def damage(self, manifest: Manifest) -> str | None:
        for name, record in manifest.files.items():
            file = self.folder(manifest.key, manifest.fingerprint) / name
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

    def commit(self, manifest: Manifest) -> None:
        folder = self.workspace(manifest.key, manifest.fingerprint)
        final = self.folder(manifest.key, manifest.fingerprint)
        write_text(folder / MANIFEST, manifest.to_json())
        if final.exists():
            _put_aside(final, manifest.fingerprint)
        folder.rename(final)
        sync_folder(final.parent)

    def set_aside(self, key: str, fingerprint: str) -> Path | None:
        with exclusive_if_free(self._lock(key, fingerprint)) as held:
            return _put_aside(self.folder(key, fingerprint), fingerprint) if held else None

    def abandoned(self, *, unfinished: bool) -> Iterator[Removable]:
        reasons = {DAMAGED: "damaged, and built anew"} | ({BUILDING: "an unfinished build"} if unfinished else {})
        for prefix, why in reasons.items():
            for folder in self.root.glob(f"**/{prefix}*"):
                fingerprint = folder.name.removeprefix(prefix).split("-")[0]
                size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
                yield Removable(self._key(folder), fingerprint, folder, size, why)

    def remove(self, item: Removable) -> bool:
        with exclusive_if_free(self._lock(item.key, item.fingerprint)) as held:
            if held:
                # put aside first, so that a removal cut short never leaves a folder that reads as finished
                shutil.rmtree(_put_aside(item.path, item.fingerprint))
        return held

    def _key(self, path: Path) -> str:
        return path.parent.relative_to(self.root).as_posix()

    def _lock(self, key: str, fingerprint: str) -> Path:
        return self.root / key / f".{fingerprint}.lock"


def _put_aside(folder: Path, fingerprint: str) -> Path:
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

    with ThreadPoolExecutor(max_workers=cpu_count()) as pool:
        records = dict(pool.map(record, files))
    for inner in [*(item for item in folder.rglob("*") if item.is_dir()), folder]:
        sync_folder(inner)
    return records
