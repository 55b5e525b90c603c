"""Files that are either whole or not there: written beside their place, synced, then renamed into it.

A full disk is turned into a `ShardError` that says what was written and that finished parts are kept.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.base.errors import ShardError


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; on success it is renamed to `path`. Nothing is synced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ShardError(
                f"{path}: the disk is full; free some space and run the same command again: finished parts are kept"
            ) from error
        raise


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears as `path` once it is written and synced."""
    with whole_path(path) as partial, partial.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a closing newline."""
    with whole_file(path) as file:
        file.write((json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


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
