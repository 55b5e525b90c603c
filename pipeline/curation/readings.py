"""How the files of a corpus were read where their names did not say it: kept beside each part, shown in the log and the
summary, so that nobody has to guess what a file was taken for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pipeline.base.files import write_json
from pipeline.curation.sources.choosing import Reading

ENDING: Final = ".readings.json"
_MOST_KEPT: Final = 200
_MOST_SHOWN: Final = 20
_MOST_LOGGED: Final = 3
log = logging.getLogger(__name__)


def write_readings(part: Path, readings: Iterable[Reading]) -> None:
    """Write down the files of a part whose content decided how they are read; nothing, where there are none."""
    chosen = [reading for reading in readings if reading.by_content]
    if chosen:
        named = {reading.entry: reading.reader for reading in chosen[:_MOST_KEPT]}
        write_json(part.with_suffix(ENDING), {"files": len(chosen), "readers": named})


def chosen_readers(corpus: str, folder: Path) -> dict[str, str]:
    """The reader of files whose content decided it, the first of them, and a line in the log about them all."""
    files, readers = 0, dict[str, str]()
    for path in sorted(folder.glob(f"part-*{ENDING}")):
        data = json.loads(path.read_text(encoding="utf-8"))
        files += data["files"]
        readers |= dict(list(data["readers"].items())[: _MOST_SHOWN - len(readers)])
    if files:
        some = "; ".join(f"{entry} ({reader})" for entry, reader in list(readers.items())[:_MOST_LOGGED])
        log.info("%s: files whose names do not say how to read them, but their content: %d: %s", corpus, files, some)
    return readers
