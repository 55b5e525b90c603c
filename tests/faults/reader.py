"""What the fuzzer knows of a reader: where sound files come from, what of them is damaged, and how they are read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

STORE_VARIABLE: Final = "SQUEEZE_FAULTS_STORE"
"""Names the finished tiny project's store."""


@dataclass(frozen=True)
class Reader:
    """How the damaged copy of a folder is read."""

    make: Callable[[Path], None]
    """Fills an empty folder with sound files."""
    files: tuple[str, ...]
    """What is damaged, one at a time."""
    read: Callable[[Path], Any]
    seal: Callable[[str, bytes], bytes] | None = None
    """Puts the right hash into damaged content, so that what is read after the hash is tried too."""


def store() -> Path:
    return Path(os.environ[STORE_VARIABLE])


def artifact(key: str) -> Path:
    """The folder of the one artifact of that key in the tiny project's store."""
    return next(file.parent for file in (store() / key).glob("*/manifest.json"))


def newest(folder: Path, pattern: str) -> Path:
    """The file that was written last: the damaged one, where each of many is read by itself."""
    return max(folder.glob(pattern), key=lambda file: file.stat().st_mtime_ns)


def of(
    key: str,
    files: str,
    read: Callable[[Path], Any],
    seal: Callable[[str, bytes], bytes] | None = None,
) -> Reader:
    """A reader of an artifact's folder. files: patterns, with blanks between."""

    def make(folder: Path) -> None:
        shutil.copytree(artifact(key), folder, dirs_exist_ok=True)

    return Reader(make, tuple(files.split()), read, seal)
