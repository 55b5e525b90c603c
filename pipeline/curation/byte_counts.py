"""The law of counts: every byte of a source is in a document, or is gone by a named step, or is in the quarantine.

In: what was read, counted where it was read; what each step took, counted there; what is in the quarantine files; and
the documents. Out: `ByteCounts`, which are refused where the four do not add up. Each comes from another place, so a
record that got lost between two of them is found.

What counts as read: of a text file its bytes, decompressed; of an archive those of its files, without what the archive
is made of; of a table's rows the text in UTF-8. A file that is not opened, or could not be, counts as it lies. Until
text is decoded the bytes of the file are counted, from then on those of UTF-8.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.base.errors import CurationError
from pipeline.base.parquet import read_metadata, reading
from pipeline.curation.sources.formats.removal import Removal

KEY: Final = "squeeze.byte_counts"
"""Key of a part's counts in the metadata of its Parquet file."""


@dataclass(frozen=True)
class ByteCounts:
    """Where the bytes of a corpus's sources are. Raises CurationError where they do not add up."""

    read: int
    removed: dict[str, int]
    """By step; with a minus where the step made the text longer."""
    quarantined: dict[str, int]
    """By reason."""
    kept: int
    unmeasured: int = 0
    """Files on other machines that settings leave out, whose bytes nobody said."""

    def __post_init__(self) -> None:
        gone = sum(self.removed.values()) + sum(self.quarantined.values())
        if self.read != self.kept + gone:
            raise CurationError(
                f"{self.read:,} bytes were read, but {self.kept:,} are in documents, "
                f"{sum(self.removed.values()):,} removed and {sum(self.quarantined.values()):,} quarantined, which "
                f"leaves {self.read - self.kept - gone:,}: a fault of the program, please report it with the source"
            )

    @property
    def rows(self) -> list[dict[str, str | int]]:
        """As a table: what was read, what each step took, and what is left."""
        steps = [(name, -size) for name, size in self.removed.items()]
        reasons = [(f"quarantined: {name}", -size) for name, size in self.quarantined.items()]
        found = [("read", self.read), *((name, size) for name, size in [*steps, *reasons] if size)]
        return [{"step": name, "bytes": size} for name, size in [*found, ("in documents", self.kept)]]


@dataclass
class Tally:
    """What was read, and what steps took, while it happens."""

    read: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    masks: Counter[str] = field(default_factory=Counter)
    """What points at a person and was masked, by category."""

    def remove(self, removal: Removal, size: int) -> None:
        """Count bytes that a step took, or gave back."""
        self.removed[removal] += size

    @property
    def metadata(self) -> dict[str, str]:
        """For the metadata of a part's file."""
        return {KEY: json.dumps({"read": self.read, "removed": self.removed, "masks": self.masks})}


def mask_counts(parts: Iterable[Path]) -> dict[str, int]:
    """How many masks the documents hold, by category; parts of before they were counted have none."""
    counts: Counter[str] = Counter()
    for path in parts:
        facts = read_metadata(path).metadata or {}
        with reading(path):
            counts.update(json.loads(facts[KEY.encode()]).get("masks", {}))
    return dict(counts.most_common())


def byte_counts(
    parts: Iterable[Path], left_out: Tally, quarantined: Mapping[str, int], kept: int, unmeasured: int
) -> ByteCounts:
    """The counts of a corpus.

    Args:
        parts: the files of its documents, each with a `Tally`.
        left_out: the same of files that are in no part.
        quarantined: bytes by reason.
        kept: bytes of the documents.
        unmeasured: files whose bytes are not known.

    Raises:
        CurationError: they do not add up.
    """
    read, removed = left_out.read, Counter(left_out.removed)
    for path in parts:
        facts = read_metadata(path).metadata or {}
        with reading(path):
            tally = json.loads(facts[KEY.encode()])
        read += tally["read"]
        removed.update(tally["removed"])
    return ByteCounts(
        read=read,
        removed={step.value: removed[step] for step in Removal},
        quarantined=dict(quarantined),
        kept=kept,
        unmeasured=unmeasured,
    )
