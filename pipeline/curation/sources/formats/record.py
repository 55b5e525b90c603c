"""How the bytes of a file become records: the raw text of one document each, before any normalising.

In: the file's bytes and its `Source`. Out: `Record`s in the file's order, or `Refused` ones with the reason, so that
one bad record never costs the others. Nothing here changes text beyond decoding it; what the held-out split has to keep
together (a book, an article, a page) is named in `group`.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa

from pipeline.base.errors import SourceError
from pipeline.curation.settings import Source

_WIKI_DOCUMENT = re.compile(r'<doc\b[^>]*?\btitle="([^"\n]*)"[^>]*>\n?(.*?)</doc>', re.DOTALL)
_TITLE = re.compile(r"^[^a-z\n]*[A-Z]{2}[^a-z\n]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Record:
    """Raw text of one document: `entry` is the file it is from, `row` its number there, from 0."""

    text: str
    group: str
    lang: str
    entry: str
    row: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that cannot be a document, and why."""

    entry: str
    row: int
    reason: str
    excerpt: str


def read_records(file: BinaryIO, entry: str, source: Source) -> Iterator[Record | Refused]:
    """The records of a text or JSON file.

    Args:
        file: the decompressed bytes.
        entry: a name for the file that is unique within the source.
        source: `format` and the settings that go with it.

    Raises:
        SourceError: the whole file does not have the format (no JSON, no such field in any record).
    """
    if source.format == "lines":
        yield from _lines(file, entry, source)
    elif source.format == "records":
        yield from _json_lines(file, entry, source)
    elif source.format == "json_field":
        yield from _json_object(file, entry, source)
    else:
        text = _decode(file.read(), entry, 0, source)
        if isinstance(text, Refused):
            yield text
            return
        yield from _pieces(text.removeprefix("\ufeff"), entry, source)


def _pieces(text: str, entry: str, source: Source) -> Iterator[Record]:
    """Documents of a format that needs the whole file as text."""
    lang = source.lang or ""
    if source.format == "separator":
        for row, piece in enumerate(text.split(source.separator)):
            yield Record(piece, f"{entry}#{row}", lang, entry, row)
    elif source.format == "wiki_dump":
        for row, match in enumerate(_WIKI_DOCUMENT.finditer(text)):
            yield Record(match[2], match[1], lang, entry, row)
    elif source.format == "titled":
        text = text.replace("\r\n", "\n")
        starts = [match.start() for match in _TITLE.finditer(text) if text[: match.start()].endswith("\n\n")]
        for row, (start, stop) in enumerate(zip([0, *starts], [*starts, len(text)], strict=True)):
            title = text[start:stop].strip().split("\n", 1)[0].strip()
            yield Record(text[start:stop], f"{entry}/{title}", lang, entry, row)
    else:
        yield Record(text, entry, lang, entry, 0)


def _lines(file: BinaryIO, entry: str, source: Source) -> Iterator[Record | Refused]:
    for row, line in enumerate(_byte_lines(file, source)):
        text = _decode(line, entry, row, source)
        if isinstance(text, Refused):
            yield text
        elif text.strip():
            yield Record(text, f"{entry}#{row}", source.lang or "", entry, row)


def _byte_lines(file: BinaryIO, source: Source) -> Iterator[bytes]:
    """Lines without their ends; a UTF-8 file is split before decoding, so that one bad line stays one."""
    if source.encoding.lower().replace("_", "-") in ("utf-8", "ascii", "latin-1", "iso-8859-1", "cp1252"):
        for line in file:
            yield line.rstrip(b"\r\n")
        return
    with io.TextIOWrapper(file, encoding=source.encoding, errors="replace") as text:
        for decoded in text:
            yield decoded.rstrip("\r\n").encode(source.encoding, errors="replace")


def _json_lines(file: BinaryIO, entry: str, source: Source) -> Iterator[Record | Refused]:
    for row, line in enumerate(file):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except ValueError as error:
            yield Refused(entry, row, f"no JSON: {error}", _excerpt(line))
            continue
        yield _record(fields, f"{entry}#{row}", entry, row, source)


def _json_object(file: BinaryIO, entry: str, source: Source) -> Iterator[Record | Refused]:
    try:
        data = json.loads(file.read())
    except ValueError as error:
        raise SourceError(f"{entry} of {source.label} is no JSON file: {error}") from error
    if isinstance(data, dict):
        items = list(data.items())
    elif isinstance(data, list):
        items = [(f"{entry}#{row}", value) for row, value in enumerate(data)]
    else:
        raise SourceError(f"{entry} of {source.label} holds one JSON {type(data).__name__}, not an object or a list")
    for row, (key, value) in enumerate(items):
        yield _record(value, key, entry, row, source)


def table_records(tables: Iterable[pa.Table], entry: str, source: Source, first: int) -> Iterator[Record | Refused]:
    """The rows of tables that follow each other, the first one being row `first` of the file."""
    row = first
    for table in tables:
        for fields in table.to_pylist():
            yield _record(fields, f"{entry}#{row}", entry, row, source)
            row += 1


def _record(fields: object, group: str, entry: str, row: int, source: Source) -> Record | Refused:
    """A record from the fields of one JSON object or table row; a plain string is the text itself."""
    if isinstance(fields, str):
        return Record(fields, group, source.lang or "", entry, row)
    if not isinstance(fields, dict):
        return Refused(entry, row, f"{type(fields).__name__} where an object was expected", _excerpt(str(fields)))
    text = fields.get(source.text_field)
    if text is None and source.text_field not in fields:
        names = ", ".join(fields)
        raise SourceError(
            f"{entry} of {source.label} has no field {source.text_field!r} in row {row}; it has {names}. "
            "Set the source's `text_field`."
        )
    if not isinstance(text, str):
        return Refused(entry, row, f"field {source.text_field!r} holds {type(text).__name__}", _excerpt(str(text)))
    if source.group_field is not None and fields.get(source.group_field) is not None:
        group = str(fields[source.group_field])
    lang = str(fields.get(source.lang_field) or "") if source.lang_field else ""
    return Record(text, group, source.lang or lang, entry, row)


def _decode(data: bytes, entry: str, row: int, source: Source) -> str | Refused:
    try:
        return data.decode(source.encoding)
    except UnicodeDecodeError as error:
        return Refused(
            entry,
            row,
            f"invalid {source.encoding}",
            f"byte {error.start}: {_excerpt(data[max(0, error.start - 40) :])}",
        )


def _excerpt(data: bytes | str) -> str:
    text = data.decode("utf-8", errors="backslashreplace") if isinstance(data, bytes) else data
    return text[:120]
