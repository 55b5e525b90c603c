"""What a document format is: how the bytes of a file become records, in the file's order.

Nothing here changes text beyond decoding it. A format is a file here with one class; `FORMATS` in `formats.py` is where
it gets its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import BinaryIO, ClassVar

from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.record import Record, Refused, decoded


class DocumentFormat(ABC):
    """A way in which files hold documents."""

    meaning: ClassVar[str]
    """In a few words, for the reference of settings."""

    @abstractmethod
    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Record | Refused]:
        """The records of a file.

        Args:
            file: the decompressed bytes.
            entry: a name for the file that is unique within the source.
            layout: the source's settings.

        Raises:
            SourceError: the whole file does not have the format (no JSON, no such field in any record).
        """


class TextFormat(DocumentFormat):
    """A format that needs the whole file as text."""

    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Record | Refused]:
        text = decoded(file.read(), entry, 0, layout)
        if isinstance(text, Refused):
            yield text
            return
        for row, (group, document) in enumerate(self.documents(text.removeprefix("\ufeff"), entry, layout)):
            yield Record(document, f"{entry}#{row}" if group is None else group, layout.lang or "", entry, row)

    @abstractmethod
    def documents(self, text: str, entry: str, layout: Layout) -> Iterator[tuple[str | None, str]]:
        """The group and the text of every document; without a group a document is one by itself."""
