"""The format `separator`: documents with a mark between them."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.curation.sources.formats.format import TextFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.record import Refused


class Separator(TextFormat):
    """Documents between the setting `separator`."""

    meaning = "documents between `separator`"

    def documents(self, text: str, entry: str, layout: Layout) -> Iterator[tuple[str | None, str] | Refused]:
        separator = layout.separator
        if "\n" in separator or "\r" in separator:  # a line ends in one way or another, whatever the setting spells
            text, separator = _line_feeds(text), _line_feeds(separator)
        return ((None, document) for document in text.split(separator))


def _line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
