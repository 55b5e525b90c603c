"""Which reader a file gets: that of its source's format, or for rows (`format: records`) the one that its content asks
for where its name leaves that open.

In: a file's kind and its beginning. Out: the reader and why, for people to see. A source whose format is any other than
`records` has said how its text holds documents, and is taken at its word.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from pipeline.curation.sources.formats.csv_table import table_shape
from pipeline.curation.sources.formats.encoding import marked
from pipeline.curation.sources.kinds import SAYS_NOTHING, TABLES
from pipeline.curation.sources.packing import Unpacked
from pipeline.curation.sources.settings import Source

JSON_LINES: Final = (".jsonl", ".ndjson", ".jsonlines", ".json")
CSV: Final = (".csv", ".tsv", ".tab")
_BEGINNING: Final = 1 << 16
_LINES: Final = 50
_READERS: Final = {
    ".parquet": "Parquet",
    ".arrow": "Arrow",
    "records": "JSON lines",
    "csv": "CSV",
    "json_field": "one JSON value",
    "whole": "text, a document a file",
    "lines": "text, a document a line",
}


@dataclass(frozen=True)
class Reading:
    """How a file is read, and why so."""

    entry: str
    reader: str
    by_content: bool
    """Whether its content decided, and not its name or its source's format alone."""
    format: str = "records"
    """The format of documents that reads it; that of rows where it is a table."""
    cut: bool = False
    """Whether only its beginning is read."""


@dataclass(frozen=True)
class NoReader:
    """Why a file has none, and what to set."""

    details: str


def reading(entry: str, file: Unpacked, reader: str, *, by_content: bool = False, cut: bool = False) -> Reading:
    """A file's reading in words: `gzip, JSON lines`."""
    words = [*(layer[1:] for layer in file.layers), _READERS.get(reader, f"format {reader}")]
    form = "records" if reader in TABLES else reader
    return Reading(entry, ", ".join(words), by_content or file.by_content, form, cut)


def choose(source: Source, file: Unpacked, *, rows_alone: bool = False) -> tuple[str, bool] | NoReader:
    """The name of the format that reads a file of text, and whether its content decided that.

    rows_alone: a text without rows has no reader, as in an archive, where it may be about the others.
    """
    if source.format != "records":
        return source.format, False
    named = "csv" if file.kind in CSV else "records" if file.kind in JSON_LINES else None
    seen = look(file.file.peek(_BEGINNING)[:_BEGINNING], source)
    if seen is not None:
        return seen, seen != named
    if named is not None:
        return named, False
    if file.kind not in SAYS_NOTHING or rows_alone:
        return NoReader(
            "it holds text and no rows, which `format: records` reads: set the source's `format` to `whole` (a file is "
            "a document) or `lines`, or leave it out with `exclude`"
        )
    return "whole", True


def look(head: bytes, source: Source) -> str | None:
    """The format of rows that the beginning of a text is in, if it is in any."""
    rest, codec = marked(head, source.encoding)
    text = rest.decode(codec, errors="replace")
    beginning = text.lstrip()
    lines = [line for line in text.split("\n")[:_LINES] if line.strip()]
    if not lines or beginning.startswith("{"):
        return "records"
    if beginning.startswith("[") and beginning[1:].lstrip()[:1] in ("{", '"', "]", ""):
        several = len(lines) > 1 and _is_row(lines[0], list) and lines[1].lstrip()[0] in "{["
        return "records" if several else "json_field"
    if any(_is_row(line, dict | str) for line in lines):
        return "records"
    if source.column_names:
        return "csv"
    names = table_shape(text, source).names
    return "csv" if len(names) > 1 and set(source.columns) <= set(names) else None


def _is_row(line: str, kind: type | object) -> bool:
    try:
        return isinstance(json.loads(line), kind)  # type: ignore[arg-type]
    except (ValueError, RecursionError):
        return False
