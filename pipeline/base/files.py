"""Files that are either whole or not there, and what else every asset's function does with a file.

The trainer's own kit (`trainer.files`), handed on, and what only the pipeline needs beside it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.base.errors import DiskFullError
from trainer.files import (
    TEMPORARY,
    remove_unfinished,
    sha256_of,
    sync_folder,
    whole_file,
    whole_path,
    write_json,
    write_text,
)

__all__ = [
    "TEMPORARY",
    "HashingWriter",
    "files_below",
    "hashes_of",
    "naming_full_disk",
    "read_ahead",
    "remove_unfinished",
    "sha256_of",
    "sync_folder",
    "whole_file",
    "whole_path",
    "write_json",
    "write_text",
    "xxh3_of",
]


@contextmanager
def naming_full_disk(folder: Path, what: str) -> Iterator[None]:
    """Turn a full disk in the block, which writes `what` under `folder`, into a DiskFullError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(folder).free if folder.exists() else 0
        raise DiskFullError(
            f"the disk is full while building {what} in {folder} ({free:,} bytes free): make room, for example with "
            "`squeeze gc`, and run the same command again; finished parts are kept"
        ) from error


def xxh3_of(path: Path) -> str:
    """XXH3 (128 bits) of a file's bytes, in hexadecimal: it finds accidents at the speed of memory, but no forger."""
    import xxhash

    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def hashes_of(path: Path) -> tuple[str, str]:
    """SHA-256 and XXH3 of a file's bytes, in one pass."""
    import xxhash

    sha256, xxh3 = hashlib.sha256(), xxhash.xxh3_128()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            sha256.update(piece)
            xxh3.update(piece)
    return sha256.hexdigest(), xxh3.hexdigest()


def files_below(folder: Path) -> list[Path]:
    """Every file of a folder and those in it, in the order of their paths."""
    return sorted(file for file in folder.rglob("*") if file.is_file())


def read_ahead(path: Path) -> None:
    """Ask the system to read a whole file into its page cache in the background, where it can."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


class HashingWriter:
    """A binary file that hashes what passes through it, so that a shard is not read again for its SHA-256."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.closed = False

    def write(self, data: Any) -> int:
        self._hash.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def tell(self) -> int:
        return self._file.tell()

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
