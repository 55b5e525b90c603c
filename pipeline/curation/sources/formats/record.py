"""Records: the raw text of one document each, before any normalising, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.text.languages import UNDETERMINED, known_language

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
    unknown_lang: str = ""
    """What the row says in place of a language's code."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that cannot be a document, and why: one bad record never costs the others."""

    entry: str
    row: int
    reason: Reason
    excerpt: str
    details: str = ""
    """What is particular to this record: where in it, what was found, what to do."""


Fields = tuple[int, str, Any]
"""The row, the group and the fields of what may be a record."""


def records_of(rows: Iterable[Fields | Refused], entry: str, layout: Layout) -> Iterator[Record | Refused]:
    """The records of a file whose rows have fields.

    Where no row of many has a field that the source names, the setting is wrong for this file, which is refused as a
    whole: a text that is not there would be named once a row, and a group that is not there not at all.
    """
    remaining = iter(rows)
    beginning: list[Fields | Refused] = []
    missing = dict.fromkeys(layout.columns)
    fields: dict[str, Any] = {}
    for item in islice(remaining, _LOOKED_AT):
        beginning.append(item)
        if not isinstance(item, Refused):
            value = item[2]
            if isinstance(value, dict):
                fields = fields or value
            for name in [name for name in missing if not isinstance(value, dict) or name in value]:
                del missing[name]
        if not missing:
            break
    if missing and fields:
        refused = [item for item in beginning if isinstance(item, Refused)]
        yield from refused
        yield without_field(next(iter(missing)), list(fields), f"its first {len(beginning):,} rows", entry, layout)
        return
    for item in chain(beginning, remaining):
        yield item if isinstance(item, Refused) else record_of(item[2], item[1], entry, item[0], layout)


def without_field(name: str, there: Sequence[str], where: str, entry: str, layout: Layout) -> Refused:
    """A file that lacks a field or column that the source names, with the setting that does."""
    details = f"no field {name!r} in {where}; it has {', '.join(there)}. Set the source's `{layout.setting_of(name)}`."
    return Refused(entry, 0, Reason.FILE_WITHOUT_FIELD, "", details)


def record_of(fields: object, group: str, entry: str, row: int, layout: Layout) -> Record | Refused:
    """A record from the fields of one JSON object or table row; a plain string is the text itself."""
    if isinstance(fields, str):
        return Record(fields, group, layout.lang or "", entry, row)
    if not isinstance(fields, dict):
        return Refused(entry, row, Reason.NO_OBJECT, _shown(fields), type(fields).__name__)
    if layout.text_field not in fields:
        details = f"no field {layout.text_field!r}; it has {', '.join(fields)}"
        return Refused(entry, row, Reason.NO_FIELD, _shown(fields), details)
    text = fields[layout.text_field]
    if not isinstance(text, str):
        details = f"field {layout.text_field!r} holds {type(text).__name__}"
        return Refused(entry, row, Reason.NO_TEXT, _shown(text), details)
    if layout.group_field is not None and fields.get(layout.group_field) is not None:
        group = _shown(fields[layout.group_field], _LONGEST_GROUP)
    given = _shown(fields.get(layout.lang_field) or "") if layout.lang_field and layout.lang is None else ""
    lang = layout.lang or known_language(given) or ""
    return Record(text, group, lang, entry, row, unknown_lang="" if lang or given.lower() in UNDETERMINED else given)


def bad_bytes(data: bytes, error: UnicodeError, entry: str, row: int, layout: Layout) -> Refused:
    """A record whose bytes are not in the source's encoding."""
    start = error.start if isinstance(error, UnicodeDecodeError) else 0
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff")) and start == 0 and row == 0
    hint = "; the file begins as UTF-16 does: set the source's `encoding`" if wide else ""
    near = excerpt(data[max(0, start - 40) : start + _EXCERPT])
    return Refused(entry, row, Reason.BAD_BYTES, near, f"byte {start:,} is not {layout.encoding}{hint}")


def bad_json(data: bytes, error: Exception, entry: str, row: int) -> Refused:
    """A record that is no JSON, or JSON nested deeper than Python reads it."""
    if isinstance(error, RecursionError):
        return Refused(entry, row, Reason.NESTED, excerpt(data))
    listed = row == 0 and data.lstrip().startswith(b"[")
    hint = "; for a file that is one JSON list set `format: json_field`" if listed else ""
    return Refused(entry, row, Reason.NO_JSON, excerpt(data), f"{error}{hint}"[:_DETAILS])


def excerpt(data: bytes | str) -> str:
    """The beginning of a record, for the quarantine."""
    if isinstance(data, bytes):
        data = data[: 4 * _EXCERPT].decode("utf-8", errors="backslashreplace")
    return data[:_EXCERPT]


def _shown(value: object, longest: int = _EXCERPT) -> str:
    """A field's value in words, also of one that is nested too deeply to be written."""
    try:
        return str(value)[:longest]
    except (RecursionError, ValueError):
        return type(value).__name__
