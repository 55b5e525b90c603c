"""Files that are either whole or not there: hashing, syncing, and writing by rename."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.base.executor import cpu_count
from pipeline.base.files import remove_unfinished, sha256_of, sync_folder
from pipeline.store.manifest import MANIFEST, FileRecord


def sync_and_hash(folder: Path) -> dict[str, FileRecord]:
    """Sync every file of a folder to the disk and record its size and hash; a killed attempt's leftovers go."""
    remove_unfinished(folder)
    (folder / MANIFEST).unlink(missing_ok=True)
    files = sorted(file for file in folder.rglob("*") if file.is_file())

    def record(file: Path) -> tuple[str, FileRecord]:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return file.relative_to(folder).as_posix(), FileRecord(file.stat().st_size, sha256_of(file))

    with ThreadPoolExecutor(max_workers=cpu_count()) as pool:
        records = dict(pool.map(record, files))
    for inner in [*(item for item in folder.rglob("*") if item.is_dir()), folder]:
        sync_folder(inner)
    return records
