"""The folder of the board: `entries/<name>.yaml` and `.json` for each entry, and `board.csv`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pipeline.base.errors import StudyError

ENTRIES: Final = "entries"


def profile_file(board: Path, name: str) -> Path:
    """An entry's profile."""
    return board / ENTRIES / f"{name}.yaml"


def record_file(board: Path, name: str) -> Path:
    """An entry's record."""
    return board / ENTRIES / f"{name}.json"


def entries_in(board: Path) -> Iterator[str]:
    """Names of the board's entries. Raises StudyError for a profile without a record, or the other way round."""
    folder = board / ENTRIES
    names = {kind: {file.stem for file in folder.glob(f"*.{kind}")} for kind in ("yaml", "json")}
    for name in sorted(names["yaml"] ^ names["json"]):
        missing = "record" if name in names["yaml"] else "profile"
        raise StudyError(f"{folder / name}: has no {missing}; `squeeze race enter` writes both")
    yield from sorted(names["yaml"])
