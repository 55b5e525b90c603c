"""What is heeded and noted while a unit is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pipeline.curation.sources.choosing import Reading
from pipeline.curation.sources.formats.measure import Measure


@dataclass
class Intake:
    """Its reader is given one, and fills it."""

    most: int | None = None
    """Bytes of UTF-8 that a document may have; of a file that is one no more is read."""
    measure: Measure = field(default_factory=Measure)
    """Counts the bytes that are read, and of files that are not opened those that lie there. The sizes of all items of
    the unit add up to it."""
    readings: list[Reading] = field(default_factory=list)
    """How each file is read, as it is opened."""
    beginning: int | None = None
    """Bytes after which a file of text is cut, at the end of a line where it has lines, and a table after
    `ROWS_OF_BEGINNING`; None reads all."""


ROWS_OF_BEGINNING: Final = 1000
"""Rows that are read of a table of which only the beginning is."""
