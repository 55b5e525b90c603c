"""The format `separator`: documents with a mark between them."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.curation.sources.formats.format import TextFormat
from pipeline.curation.sources.formats.layout import Layout


class Separator(TextFormat):
    """Documents between the setting `separator`."""

    meaning = "documents between `separator`"

    def documents(self, text: str, entry: str, layout: Layout) -> Iterator[tuple[None, str]]:
        return ((None, document) for document in text.split(layout.separator))
