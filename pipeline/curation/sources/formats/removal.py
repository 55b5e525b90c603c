"""What takes bytes away between a source's files and its documents: a short list, in the order in which they apply.

Together with the reasons of the quarantine these are all the places in which a byte of a source can end that is in no
document. Some give bytes back: those are counted with a minus.
"""

from __future__ import annotations

from enum import StrEnum


class Removal(StrEnum):
    """A step as the manifest spells it."""

    EXCLUDED = "left out by `exclude`"
    NOT_CHOSEN = "not among `members`"
    UNREAD = "beyond `maximum_bytes`"
    ENCODING = "encoding"
    """What the text takes more than in UTF-8, and marks of byte order."""
    AROUND = "around the text"
    """Line ends, separators, tags of articles, the names, quotes, escapes and other fields of JSON."""
    CLEANING = "cleaning"
    SPLITTING = "splitting"
    """Blanks at which documents were cut."""
