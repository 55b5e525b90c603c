"""Records: the raw text of one document each, before any normalising, or why there is none.

Every byte of a file is in one of them or is `Passed` by: their sizes add up to the file's, which is checked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.removal import Removal
from pipeline.curation.text.hosts import host_of
from pipeline.curation.text.languages import UNDETERMINED, known_language
from pipeline.curation.text.sizes import utf8_bytes

_EXCERPT: Final = 120
_DETAILS: Final = 300
_LONGEST_GROUP: Final = 10_000
_LOOKED_AT: Final = 1000
"""Rows of a file of which one must have each field that the source names."""


@dataclass(frozen=True, slots=True)
class Record:
    """Raw text of one document: `entry` is the file it is from, `row` its number there, from 0.

    `group` names what the held-out split has to keep together: a book, an article, a page.
    """

    text: str
    group: str
    lang: str
    """Declared language, in the form of `pipeline.curation.text.languages`; empty where it is to be detected."""
    entry: str
    row: int
    size: int = 0
    """Bytes of the file that it takes, with what is around the text."""
    unknown_lang: str = ""
    """What the row says in place of a language's code."""
    score: float = math.nan
    """What the row says of its quality, not a number where it says nothing."""
    host: str = ""
    """Host of the address that the row names, empty where it names none."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that cannot be a document, and why: one bad record never costs the others."""

    entry: str
    row: int
    reason: Reason
    excerpt: str
    details: str = ""
    """What is particular to this record: where in it, what was found, what to do."""
    size: int = 0
    """Bytes of the file that it takes."""
    rest: bool = False
    """Whether it is of all bytes that are in no other item, which whoever opened the file counts."""


@dataclass(frozen=True, slots=True)
class Passed:
    """Bytes of a file that are in no record, such as empty lines and separators."""

    removal: Removal
    size: int


Item = Record | Refused | Passed
"""What a file is made of."""

Fields = tuple[int, str, Any, int]
"""The row, the group, the fields and the bytes of what may be a record."""


def records_of(rows: Iterable[Fields | Refused | Passed], entry: str, layout: Layout) -> Iterator[Item]:
    """The records of a file whose rows have fields.

    Where no row of many has a field that the source names, the setting is wrong for this file, which is refused as a
    whole: a text that is not there would be named once a row, and a group that is not there not at all.
    """
    remaining = iter(rows)
    beginning: list[Fields | Refused | Passed] = []
    missing = dict.fromkeys(layout.columns)
    fields: dict[str, Any] = {}
    looked_at = 0
    for item in remaining:
        beginning.append(item)
        looked_at += not isinstance(item, Passed)
        if isinstance(item, tuple):
            value = item[2]
            if isinstance(value, dict):
                fields = fields or value
            for name in [name for name in missing if not isinstance(value, dict) or name in value]:
                del missing[name]
        if not missing or looked_at == _LOOKED_AT:
            break
    if missing and fields:
        yield from (item for item in beginning if not isinstance(item, tuple))
        yield without_field(next(iter(missing)), list(fields), f"its first {looked_at:,} rows", entry, layout)
        return
    for item in chain(beginning, remaining):
        yield record_of(item, entry, layout) if isinstance(item, tuple) else item


def without_field(name: str, there: Sequence[str], where: str, entry: str, layout: Layout) -> Refused:
    """A file that lacks a field or column that the source names, with the setting that does."""
    details = f"no field {name!r} in {where}; it has {', '.join(there)}. Set the source's `{layout.setting_of(name)}`."
    return Refused(entry, 0, Reason.FILE_WITHOUT_FIELD, "", details, rest=True)


def record_of(item: Fields, entry: str, layout: Layout) -> Record | Refused:
    """A record from one JSON object or table row; a plain string is the text itself."""
    row, group, fields, size = item
    if isinstance(fields, str):
        return Record(fields, group, layout.lang or "", entry, row, size)
    if not isinstance(fields, dict):
        return Refused(entry, row, Reason.NO_OBJECT, _shown(fields), type(fields).__name__, size)
    if layout.text_field not in fields:
        details = f"no field {layout.text_field!r}; it has {', '.join(fields)}"
        return Refused(entry, row, Reason.NO_FIELD, _shown(fields), details, size)
    text = fields[layout.text_field]
    if not isinstance(text, str):
        details = f"field {layout.text_field!r} holds {type(text).__name__}"
        return Refused(entry, row, Reason.NO_TEXT, _shown(text), details, size)
    if layout.group_field is not None and fields.get(layout.group_field) is not None:
        group = _shown(fields[layout.group_field], _LONGEST_GROUP)
    given = _shown(fields.get(layout.lang_field) or "") if layout.lang_field and layout.lang is None else ""
    lang = layout.lang or known_language(given) or ""
    unknown = "" if lang or given.lower() in UNDETERMINED else given
    score = _number(fields.get(layout.score_field)) if layout.score_field is not None else math.nan
    host = host_of(fields.get(layout.url_field)) if layout.url_field is not None else ""
    return Record(text, group, lang, entry, row, size, unknown, score, host)


def bad_bytes(data: bytes, error: UnicodeError, entry: str, row: int, layout: Layout) -> Refused:
    """A record whose bytes are not in the source's encoding."""
    start = error.start if isinstance(error, UnicodeDecodeError) else 0
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff")) and start == 0 and row == 0
    hint = "; the file begins as UTF-16 does: set the source's `encoding`" if wide else ""
    near = excerpt(data[max(0, start - 40) : start + _EXCERPT])
    return Refused(entry, row, Reason.BAD_BYTES, near, f"byte {start:,} is not {layout.encoding}{hint}", len(data))


def bad_json(data: bytes | str, error: Exception, entry: str, row: int) -> Refused:
    """A record that is no JSON, or JSON nested deeper than Python reads it."""
    size = utf8_bytes(data) if isinstance(data, str) else len(data)
    if isinstance(error, RecursionError):
        return Refused(entry, row, Reason.NESTED, excerpt(data), size=size)
    listed = row == 0 and isinstance(data, bytes) and data.lstrip().startswith(b"[")
    hint = "; for a file that is one JSON list set `format: json_field`" if listed else ""
    return Refused(entry, row, Reason.NO_JSON, excerpt(data), f"{error}{hint}"[:_DETAILS], size)


def around(text: str, within: str) -> Passed:
    """What is in a text and not in the part of it that is taken."""
    return Passed(Removal.AROUND, utf8_bytes(text) - utf8_bytes(within))


def excerpt(data: bytes | str) -> str:
    """The beginning of a record, for the quarantine."""
    if isinstance(data, bytes):
        data = data[: 4 * _EXCERPT].decode("utf-8", errors="backslashreplace")
    return data[:_EXCERPT]


def _number(value: object) -> float:
    """A field's value as a finite number, or not a number; a text of a number, as CSV has it, is one."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _shown(value: object, longest: int = _EXCERPT) -> str:
    """A field's value in words, also of one that is nested too deeply to be written."""
    try:
        return str(value)[:longest]
    except (RecursionError, ValueError):
        return type(value).__name__
