"""The format `wiki_dump`: articles as WikiExtractor writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pipeline.curation.sources.formats.format import Document, TextFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.record import Passed, Refused, excerpt
from pipeline.curation.sources.formats.removal import Removal
from pipeline.curation.text.sizes import utf8_bytes

_START: Final = re.compile(
    r'<doc\b(?:(?!<doc\b)[^>\n]){0,2000}?\stitle="((?:(?!<doc\b)[^\n]){0,1000}?)"'
    r'(?=\s{0,9}>|\s{1,9}[\w:-]{1,40}=")(?:(?!<doc\b)[^>\n]){0,2000}>\n?'
)
"""An article's first line. WikiExtractor writes quotation marks in a title as they are: it ends where the tag ends, or
another attribute begins. Lengths are bounded, and none goes on into the next article, so that time grows with the text
only, and not by thousands of steps a character."""
_END: Final = "</doc>"


class WikiDump(TextFormat):
    """Articles in `<doc title="…">`, each a group of its title."""

    meaning = '`<doc … title="…">` articles'

    def documents(self, text: str, entry: str, layout: Layout) -> Iterator[Document | Refused | Passed]:
        place, end = 0, -1
        start = _START.search(text)
        while start is not None:
            yield from _between(text[place : start.start()], entry)
            following = _START.search(text, start.end())
            limit = len(text) if following is None else following.start()
            if end < start.end():  # looked for once a closing tag, not once an article: many may lack theirs
                found = text.find(_END, start.end())
                end = len(text) if found < 0 else found
            if end < limit:
                yield Passed(Removal.AROUND, utf8_bytes(start[0]) + len(_END))
                yield start[1] or None, text[start.end() : end]
                place = end + len(_END)
            else:
                article = text[start.start() : limit]
                yield Refused(entry, 0, Reason.CUT_ARTICLE, excerpt(article), size=utf8_bytes(article))
                place = limit
            start = following
        yield from _between(text[place:], entry)


def _between(text: str, entry: str) -> Iterator[Refused | Passed]:
    if text.strip():
        yield Refused(entry, 0, Reason.BETWEEN, excerpt(text.strip()), size=utf8_bytes(text))
    else:
        yield Passed(Removal.AROUND, utf8_bytes(text))
