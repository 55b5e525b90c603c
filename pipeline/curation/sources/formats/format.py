"""What a document format is: how the bytes of a file become records, in the file's order.

Nothing here changes text beyond decoding it. A format is a file here with one class; `FORMATS` in `formats.py` is where
it gets its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, ClassVar

from pipeline.curation.sources.formats.encoding import decode_file
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.record import Record, Refused, bad_bytes


class DocumentFormat(ABC):
    """A way in which files hold documents."""

    meaning: ClassVar[str]
    """In a few words, for the reference of settings."""
    endings: ClassVar[tuple[str, ...]] = ()
    """How names of its files end, where others in an archive are not to be read; empty where any text is read."""

    @abstractmethod
    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Record | Refused]:
        """The records of a file; what is none is refused with its place, and nothing stops the rest.

        Args:
            file: the decompressed bytes.
            entry: a name for the file that is unique within the source.
            layout: the source's settings.
        """


class TextFormat(DocumentFormat):
    """A format that needs the whole file as text."""

    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Record | Refused]:
        data = file.read()
        try:
            text = decode_file(data, layout.encoding)
        except UnicodeError as error:
            yield bad_bytes(data, error, entry, 0, layout)
            return
        del data
        for row, document in enumerate(self.documents(text, entry, layout)):
            if isinstance(document, Refused):
                yield replace(document, row=row)
                continue
            group, content = document
            yield Record(content, f"{entry}#{row}" if group is None else group, layout.lang or "", entry, row)

    @abstractmethod
    def documents(self, text: str, entry: str, layout: Layout) -> Iterator[tuple[str | None, str] | Refused]:
        """The group and the text of every document; without a group a document is one by itself.

        What is no document is refused, so that all text is in one of both; `Refused.row` is set by the caller.
        """
