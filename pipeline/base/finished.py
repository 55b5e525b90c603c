"""Which parts of a build are finished: by a record written after them, with the size and hash of every file.

In: a part, which is a file, and the files that belong to it, where a function that builds an artifact left them. Out:
whether a later attempt may take the part as it is. A kill leaves no file half-written, but after a power cut a renamed
file can be empty or full of zeros, and a disk can change a byte: what differs from its record is made again.

A record lies beside its part, hidden, while the artifact is built; the store takes the records away when it commits.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from pipeline.base.files import write_json, xxh3_of
from trainer.records import check, parse_json

log = logging.getLogger(__name__)

RECORD: Final = ".finished"
"""Ending of the records' names, which begin with a dot."""


def finish(part: Path, *belonging: Path) -> None:
    """Record that `part` and the files `belonging` to it, which may be in other folders, are whole and on the disk."""
    files = {os.path.relpath(file, part.parent): _measure(file) for file in (part, *belonging)}
    write_json(_record(part), dict(sorted(files.items())))


def is_finished(part: Path) -> bool:
    """Whether the part has a record, and its files are what that says; a part that differs is named in the log."""
    try:
        files = check(dict[str, tuple[int, str]], parse_json(_record(part).read_bytes()))
    except (OSError, ValueError):
        return False
    wrong = [name for name, expected in files.items() if _measure(part.parent / name) != expected]
    if wrong:
        log.warning("%s: %s is not as it was written and is made again", part.parent, ", ".join(wrong))
        _record(part).unlink(missing_ok=True)
    return not wrong


def forget_records(folder: Path) -> None:
    """Take the records in a folder away: it is complete, and its manifest says more."""
    for record in folder.rglob(f".*{RECORD}"):
        record.unlink()


def _record(part: Path) -> Path:
    return part.with_name(f".{part.name}{RECORD}")


def _measure(file: Path) -> tuple[int, str] | None:
    try:
        return file.stat().st_size, xxh3_of(file)
    except (OSError, ValueError):  # a ValueError: no name that a file can have
        return None
