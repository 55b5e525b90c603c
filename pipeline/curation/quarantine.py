"""The quarantine of a corpus: what could not become a document, a line of JSON each, and what of it a manifest keeps.

In: refused records, of a part as it is built, and files that were left out. Out: `*.quarantine.jsonl` with the file,
row, reason, details, bytes and beginning of every one; their number and bytes by reason, and a few of each as
examples. Lines are written as they come, so that millions of bad rows need no memory.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from pipeline.base.files import whole_file
from pipeline.curation.sources.formats.reason import NO_LOSS, OF_FILES, Reason
from pipeline.curation.sources.formats.record import Record, Refused
from pipeline.curation.sources.settings import Source

ENDING: Final = ".quarantine.jsonl"
LEFT_OUT: Final = "left-out" + ENDING
_EXAMPLES: Final = 3
log = logging.getLogger(__name__)


class Quarantine:
    """A quarantine file that is being written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, source: Source, item: Refused) -> None:
        """Write down what was refused."""
        line = {
            "source": source.label,
            "entry": item.entry,
            "row": item.row,
            "reason": item.reason,
            "details": item.details,
            "bytes": item.size,
            "excerpt": item.excerpt,
        }
        text = json.dumps(line, ensure_ascii=False) + "\n"
        self._file.write(text.encode("utf-8", errors="backslashreplace"))

    def refuse(self, source: Source, record: Record, reason: Reason, details: str, size: int) -> None:
        """Write down a record that was read, but is no document, and its bytes in UTF-8."""
        self.add(source, Refused(record.entry, record.row, reason, record.text[:120], details, size))


@contextmanager
def quarantine(path: Path) -> Iterator[Quarantine]:
    """A quarantine file, there once it is whole."""
    with whole_file(path) as file:
        yield Quarantine(file)


def write_left_out(folder: Path, left_out: Iterable[tuple[Source, Refused]]) -> None:
    """Write down the files that are no units of a corpus."""
    with quarantine(folder / LEFT_OUT) as written:
        for source, item in left_out:
            written.add(source, item)


@dataclass
class Quarantined:
    """What is in the quarantine files of a folder."""

    reasons: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[dict[str, str | int]]] = field(default_factory=dict)
    bytes_of_files: int = 0
    """Of files that were set aside as wholes and held text: `bytes` less those of records within files."""

    @classmethod
    def of(cls, folder: Path) -> Quarantined:
        """Read them all."""
        quarantined = cls()
        undecodable: dict[str, int] = {}
        """Bytes of the files of which the first record alone is not in the encoding, as it is of a whole file."""
        for path in sorted(folder.glob(f"*{ENDING}")):
            with path.open(encoding="utf-8") as file:
                for item in map(json.loads, file):
                    quarantined.reasons[item["reason"]] += 1
                    quarantined.bytes[item["reason"]] += item["bytes"]
                    some = quarantined.examples.setdefault(item["reason"], [])
                    if len(some) < _EXAMPLES:
                        some.append(item)
                    if item["reason"] == Reason.BAD_BYTES:
                        first = item["entry"] not in undecodable and item["row"] == 0
                        undecodable[item["entry"]] = item["bytes"] if first else 0
        of_files = sum(quarantined.bytes[reason] for reason in OF_FILES - NO_LOSS)
        quarantined.bytes_of_files = of_files + sum(undecodable.values())
        return quarantined

    def warn_of_files(self, corpus: str) -> None:
        """Say in the log which whole files were set aside: a record more or less is usual, a file is not."""
        for reason in sorted(OF_FILES & self.reasons.keys()):
            items = self.examples[reason]
            names = [
                f"{item['entry']} ({item['details']})" if item["details"] else str(item["entry"]) for item in items
            ]
            log.warning("%s: %d: %s: %s", corpus, self.reasons[reason], reason, "; ".join(names))

    def __str__(self) -> str:
        """The reasons by their number, each with its first example."""
        said = []
        for reason, count in self.reasons.most_common():
            example = self.examples[reason][0]
            row = "" if reason in OF_FILES else f" row {example['row']}"
            details = f": {example['details']}" if example["details"] else ""
            said.append(f"{count:,} {reason}, such as {example['entry']}{row}{details}")
        return "; ".join(said) or "its files are empty"
