"""Why something of a source became no document: a short list, so that a manifest that counts them stays short.

What is particular to one record (the place, the message, an excerpt) is beside the reason in the quarantine file.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """A reason as the quarantine file and the manifest spell it."""

    BAD_BYTES = "bytes that are not in the source's encoding"
    NO_JSON = "no JSON"
    NESTED = "JSON nested too deeply"
    NO_OBJECT = "no object"
    NO_FIELD = "no field of the text"
    NO_TEXT = "field of the text holds no text"
    RAGGED = "table row with more or fewer cells than there are columns"
    NO_VALUE = "table row that cannot be read"
    LONE_SURROGATE = "half a character (a lone surrogate), which is no Unicode text"
    EMPTY = "empty"
    TOO_LONG = "longer than refuse_bytes"
    TOO_SLOW = "took longer than document_seconds"
    CUT_ARTICLE = "article without its end"
    BETWEEN = "text between articles"
    NO_RECORD = "file without a record"
    FILE_WITHOUT_FIELD = "file without a field that the source names"
    HIDDEN = "hidden file"
    UNREADABLE = "file that cannot be read, or not to its end"
    OTHER_KIND = "file of a kind that is not read"
    MEDIA = "picture, sound, film, font or program, which holds no text"


OF_FILES: Final = frozenset(
    {
        Reason.NO_RECORD,
        Reason.FILE_WITHOUT_FIELD,
        Reason.HIDDEN,
        Reason.UNREADABLE,
        Reason.OTHER_KIND,
        Reason.MEDIA,
    }
)
"""Reasons for which a whole file is set aside."""
NO_LOSS: Final = frozenset({Reason.HIDDEN, Reason.MEDIA, Reason.NO_RECORD, Reason.EMPTY, Reason.BETWEEN})
"""Reasons for which no text is lost that somebody might miss."""
