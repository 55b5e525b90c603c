"""The format `separator`: documents with a mark between them."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.curation.sources.formats.format import Document, TextFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.record import Passed, Refused, around
from pipeline.curation.sources.formats.removal import Removal
from pipeline.curation.text.sizes import utf8_bytes


class Separator(TextFormat):
    """Documents between the setting `separator`."""

    meaning = "documents between `separator`"

    def documents(self, text: str, entry: str, layout: Layout) -> Iterator[Document | Refused | Passed]:
        separator = layout.separator
        if "\n" in separator or "\r" in separator:  # a line ends in one way or another, whatever the setting spells
            crossed, text, separator = text, _line_feeds(text), _line_feeds(separator)
            yield around(crossed, text)
        between = Passed(Removal.AROUND, utf8_bytes(separator))
        for place, document in enumerate(text.split(separator)):
            if place:
                yield between
            yield None, document


def _line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
