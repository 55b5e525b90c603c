"""The format `whole`: a file that is one document, such as a book."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.curation.sources.formats.format import Document, TextFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.record import Passed, Refused


class Whole(TextFormat):
    """A file is a document, and its group."""

    meaning = "a file is a document"
    one_document = True

    def documents(self, text: str, entry: str, layout: Layout) -> Iterator[Document | Refused | Passed]:
        yield entry, text
