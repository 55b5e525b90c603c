"""Files that are either whole or not there: hashing, syncing, and writing by rename."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.store.manifest import MANIFEST, FileRecord


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync_and_hash(folder: Path) -> dict[str, FileRecord]:
    """Sync every file of a folder to the disk and record its size and hash; a killed attempt's leftovers go."""
    for leftover in folder.rglob("*.tmp"):
        leftover.unlink()
    (folder / MANIFEST).unlink(missing_ok=True)
    files = sorted(file for file in folder.rglob("*") if file.is_file())

    def record(file: Path) -> tuple[str, FileRecord]:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return file.relative_to(folder).as_posix(), FileRecord(file.stat().st_size, sha256_of(file))

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        records = dict(pool.map(record, files))
    for inner in [*(item for item in folder.rglob("*") if item.is_dir()), folder]:
        sync_folder(inner)
    return records


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
