"""The format `json_field`: a file that is one JSON value with all documents in it.

Its values are decoded one by one: what stands before a damage is kept, and a key that occurs twice loses no document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from pipeline.curation.sources.formats.encoding import decode_file
from pipeline.curation.sources.formats.format import DocumentFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.record import (
    Fields,
    Item,
    Passed,
    Refused,
    bad_bytes,
    bad_json,
    excerpt,
    records_of,
)
from pipeline.curation.sources.formats.removal import Removal
from pipeline.curation.text.sizes import utf8_bytes

_BLANKS: Final = re.compile(r"[ \t\n\r]*+")
_DECODER: Final = json.JSONDecoder()


class JsonField(DocumentFormat):
    """One JSON object, whose keys are the groups, or a list."""

    meaning = "one JSON object or list of objects"
    endings = (".json",)

    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Item]:
        data = file.read()
        try:
            text = decode_file(data, layout.encoding)
        except UnicodeError as error:
            yield bad_bytes(data, error, entry, 0, layout)
            return
        yield Passed(Removal.ENCODING, len(data) - utf8_bytes(text))
        del data
        yield from records_of(_values(text, entry), entry, layout)


def _values(text: str, entry: str) -> Iterator[Fields | Refused | Passed]:
    """The values of a list or an object with what is between them, and the rest of the text where that is no JSON."""
    row = taken = 0
    try:
        start = _after_blanks(text, 0)
        end = {"{": "}", "[": "]"}.get(text[start : start + 1])
        if end is None:
            if start < len(text):
                value = json.loads(text)
                details = f"one JSON {type(value).__name__}, not an object or a list"
                yield Refused(entry, 0, Reason.NO_OBJECT, excerpt(str(value)), details, utf8_bytes(text))
                return
        else:
            place = _after_blanks(text, start + 1)
            while text[place : place + 1] != end or row:
                group = f"{entry}#{row}"
                if end == "}":
                    group, place = _key(text, place)
                value, stop = _DECODER.raw_decode(text, place)
                yield Passed(Removal.AROUND, utf8_bytes(text[taken:place]))
                yield row, group, value, utf8_bytes(text[place:stop])
                row, taken = row + 1, stop
                place = _after_blanks(text, stop)
                if text[place : place + 1] == end:
                    break
                place = _after_blanks(text, _expected(",", text, place))
            rest = _after_blanks(text, place + 1)
            if rest < len(text):
                raise json.JSONDecodeError("Extra data", text, rest)
    except (ValueError, RecursionError) as error:
        yield bad_json(text[taken:], error, entry, row)
    else:
        yield Passed(Removal.AROUND, utf8_bytes(text[taken:]))


def _key(text: str, place: int) -> tuple[str, int]:
    """A key of an object, and where its value begins."""
    _expected('"', text, place)
    key, stop = _DECODER.raw_decode(text, place)
    return key, _after_blanks(text, _expected(":", text, _after_blanks(text, stop)))


def _expected(mark: str, text: str, place: int) -> int:
    """The place after a mark that has to be at a place. Raises JSONDecodeError where it is not."""
    if text[place : place + 1] != mark:
        raise json.JSONDecodeError(f"Expecting {mark!r}", text, place)
    return place + 1


def _after_blanks(text: str, place: int) -> int:
    match = _BLANKS.match(text, place)
    return place if match is None else match.end()
