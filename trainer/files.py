"""Files that are either whole or not there: written beside their place under a name of their own, synced, renamed.

In: a path and its content. Out: the file under its name, its bytes on the disk before the name is. A write that is cut
short leaves at most a `*.tmp`, which nothing reads; its name holds the writer, so two attempts at one file, even on two
machines that share the folder, never write into each other.

The trainer runs without the pipeline, so its few live here; `pipeline.base.files` hands them on.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

TEMPORARY: Final = ".tmp"
"""Ending of files that are being written."""


@contextmanager
def whole_path(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """A path beside `path` to write to; when the block ends without an error, it is synced and renamed to `path`.

    Makes the folder. After an error the half-written file is removed. Without `sync`, for scratch files that are made
    again where they are damaged, the bytes may reach the disk after the name. Raises what the disk raises (OSError).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f"{path.name}.{writer}{TEMPORARY}")
    try:
        with naming(path):
            yield temporary
            if sync:
                _sync(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have what the disk raises within the block name `path`: a full one does not say what it was to hold."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:  # of one that a library worded, nothing but the name would be shown
            error.filename = error.filename or str(path)
        raise


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that appears as `path` once it is written and synced."""
    with whole_path(path) as temporary, temporary.open("wb") as file:
        yield file


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text whole or not at all; line ends stay as they are."""
    with whole_file(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any, *, indent: int | None = 1) -> None:
    """Write `value` as JSON with a closing newline, whole or not at all. Raises ValueError for NaN and infinities."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Put a folder's names on the disk: what was renamed into it is there after a power cut."""
    _sync(folder)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed attempts left half-written anywhere in a folder that nobody else writes into."""
    for leftover in list(folder.rglob(f"*{TEMPORARY}")):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def remove_attempts(path: Path) -> None:
    """Remove what killed attempts at one file left beside it, in a folder that others may write into as well."""
    for leftover in path.parent.glob(f"{path.name}.*{TEMPORARY}"):
        leftover.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
