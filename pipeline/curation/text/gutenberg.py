"""Project Gutenberg's files: the books alone, without the header, licence, credits and notes around them.

In: the text of a file with `\\n` line ends. Out: its books, one after the other. A book begins after a marker
(`*** START OF …`, or the end of the small print of the 1990s) and ends before one (`*** END OF …`,
`End of Project Gutenberg's …`, or the small print, which later stood there). What lies between two markers is left out
only where it is a header or follows an end, so a file of several books gives them all, also where one of their markers
is missing.
"""

from __future__ import annotations

import re
from typing import Final

_MARKER = re.compile(
    r"^[ \t]*+(?:"
    r"(?P<start>\*{3} ?START OF (?:THE |THIS )?PROJECT GUTENBERG\b"
    r"(?:[^\n*]*+(?:\n(?=[ \t]*+[^\s*])[^\n*]*+){0,3}?\*{3}[^\n]*+|[^\n]*+))"  # a title may be wrapped over lines
    r"|(?P<legal>\*+ ?START ?\*{0,2} ?THE SMALL PRINT\b[^\n]*+)"
    r"|(?P<print>\*+ ?END ?\*{0,2} ?THE SMALL PRINT\b[^\n]*+)"
    r"|(?P<end>(?:\*{3} ?)?(?:THE )?(?:END|FIN|FINE|ENDE|EINDE) (?:[A-Z]{2,6} ){0,2}PROJE[CK]?T GUTENBERG\b)"
    r"|(?P<header>\*{0,8} ?(?:THE )?PROJECT GUTENBERG(?:['’]S)? E-?(?:BOOK|TEXT)(?: OF\b|,)[^\n]*+)"
    r")",
    re.I | re.M,
)
_HEADER_CHARACTERS: Final = 20_000
"""The longest header: a page about Project Gutenberg, and the laws of some countries."""
_NOTES = r"Transcriber['’]?s?['’]? notes?\b"
_PARAGRAPH = r"(?:[^\n]++|\n(?![ \t]*+(?:\n|\Z)))*+"
_CREDITS = re.compile(
    r"\s*+(?:(?:E-?text |This e-?(?:text|book) was )?"
    r"(?:scanned|produced|prepared|transcribed)(?:,? (?:and|&) [a-z]++)?,? by\b"
    rf"|HTML version by\b|\[?{_NOTES}){_PARAGRAPH}(?:\n|\Z)",
    re.I,
)
_NOTE = re.compile(
    rf"(?:\A|\n[ \t]*+\n)[ \t]*+"
    rf"(?:\[{_NOTES}[^\[\]]{{0,4000}}+\][ \t]*+(?=\n|\Z)|{_NOTES}[ \t]*+:[ \t]*+\S{_PARAGRAPH})",
    re.I,
)
_LAST_NOTES = re.compile(rf"(?:\A|\n)[ \t*_=]*+{_NOTES}[ \t*_=:.]*+(?=\n|\Z)", re.I)
_LAST_SHARE: Final = 0.25
_LAST_CHARACTERS: Final = 5_000
"""The end of a book, the longer of the two, in which `Transcriber's Notes` begin what is no longer the book."""


def strip_gutenberg(text: str) -> str:
    """The books of a file, without what Project Gutenberg put around them; text without markers as it is."""
    markers = list(_MARKER.finditer(text))
    prints = [marker.start() for marker in markers if marker.lastgroup == "print"]
    if all(marker.lastgroup in ("header", "legal") for marker in markers):
        return text
    books: list[str] = []
    begin, after = 0, "header"
    for marker in markers:
        kind = str(marker.lastgroup)
        if kind == "legal" and marker.start() > max(prints, default=-1):
            continue  # it has no end
        is_header = after == "header" and kind != "end" and marker.start() - begin < _HEADER_CHARACTERS
        if after not in ("end", "legal") and not is_header:
            books.append(text[begin : marker.start()])
        begin, after = marker.end(), kind
    if after not in ("end", "legal"):
        books.append(text[begin:])
    stripped = [bare for book in books if (bare := _without_notes(book).strip())]
    return "\n\n".join(stripped or [book.strip() for book in books])


def _without_notes(book: str) -> str:
    """A book without the credits before it and the transcriber's notes in and after it."""
    start = 0
    while (credits := _CREDITS.match(book, start)) is not None:
        start = credits.end()
    book = book[start:]
    if "ranscriber" not in book and "RANSCRIBER" not in book:
        return book
    book = _NOTE.sub("", book)
    notes = _LAST_NOTES.search(book, len(book) - max(int(len(book) * _LAST_SHARE), _LAST_CHARACTERS))
    return book if notes is None else book[: notes.start()]
