"""Records: the raw text of one document each, before any normalising, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.base.errors import SourceError
from pipeline.base.languages import UNDETERMINED, known_language
from pipeline.curation.sources.formats.layout import Layout

_EXCERPT: Final = 120


@dataclass(frozen=True, slots=True)
class Record:
    """Raw text of one document: `entry` is the file it is from, `row` its number there, from 0.

    `group` names what the held-out split has to keep together: a book, an article, a page.
    """

    text: str
    group: str
    lang: str
    """Declared language, in the form of `pipeline.base.languages`; empty where it is to be detected."""
    entry: str
    row: int
    unknown_lang: str = ""
    """What the row says in place of a language's code."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that cannot be a document, and why: one bad record never costs the others."""

    entry: str
    row: int
    reason: str
    excerpt: str


def record_of(fields: object, group: str, entry: str, row: int, layout: Layout) -> Record | Refused:
    """A record from the fields of one JSON object or table row; a plain string is the text itself.

    Raises SourceError where there is no such field as the text's: the setting is wrong, not the record.
    """
    if isinstance(fields, str):
        return Record(fields, group, layout.lang or "", entry, row)
    if not isinstance(fields, dict):
        return Refused(entry, row, f"{type(fields).__name__} where an object was expected", excerpt(str(fields)))
    text = fields.get(layout.text_field)
    if text is None and layout.text_field not in fields:
        raise SourceError(
            f"{entry} of {layout.label} has no field {layout.text_field!r} in row {row}; it has {', '.join(fields)}. "
            "Set the source's `text_field`."
        )
    if not isinstance(text, str):
        return Refused(entry, row, f"field {layout.text_field!r} holds {type(text).__name__}", excerpt(str(text)))
    if layout.group_field is not None and fields.get(layout.group_field) is not None:
        group = str(fields[layout.group_field])
    given = str(fields.get(layout.lang_field) or "") if layout.lang_field and layout.lang is None else ""
    lang = layout.lang or known_language(given) or ""
    return Record(text, group, lang, entry, row, unknown_lang="" if lang or given.lower() in UNDETERMINED else given)


def decoded(data: bytes, entry: str, row: int, layout: Layout) -> str | Refused:
    """Text in the source's encoding."""
    try:
        return data.decode(layout.encoding)
    except UnicodeDecodeError as error:
        near = excerpt(data[max(0, error.start - 40) :])
        return Refused(entry, row, f"invalid {layout.encoding}", f"byte {error.start}: {near}")


def excerpt(data: bytes | str) -> str:
    """The beginning of a record, for the quarantine."""
    text = data.decode("utf-8", errors="backslashreplace") if isinstance(data, bytes) else data
    return text[:_EXCERPT]
