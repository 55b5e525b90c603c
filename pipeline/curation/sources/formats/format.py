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
from pipeline.curation.sources.formats.record import Item, Passed, Record, Refused, bad_bytes
from pipeline.curation.sources.formats.removal import Removal
from pipeline.curation.text.sizes import utf8_bytes

Document = tuple[str | None, str]
"""The group and the text of a document; without a group it is one by itself."""


class DocumentFormat(ABC):
    """A way in which files hold documents."""

    meaning: ClassVar[str]
    """In a few words, for the reference of settings."""
    endings: ClassVar[tuple[str, ...]] = ()
    """How names of its files end, where others in an archive are not to be read; empty where any text is read."""
    one_document: ClassVar[bool] = False
    """Whether a file is a document, so that no more of it is read than a document may have."""
    text_alone: ClassVar[bool] = False
    """Whether records are of the bytes of their text alone, and what is around it is counted by who opened the file."""

    @abstractmethod
    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Item]:
        """The records of a file; what is none is refused with its place, and nothing stops the rest.

        Every byte of the file counts for one of the items, whose sizes add up to the file's (unless `text_alone`).

        Args:
            file: the decompressed bytes.
            entry: a name for the file that is unique within the source.
            layout: the source's settings.
        """


class TextFormat(DocumentFormat):
    """A format that needs the whole file as text."""

    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Item]:
        data = file.read()
        try:
            text = decode_file(data, layout.encoding)
        except UnicodeError as error:
            yield bad_bytes(data, error, entry, 0, layout)
            return
        yield Passed(Removal.ENCODING, len(data) - utf8_bytes(text))
        del data
        row = 0
        for item in self.documents(text, entry, layout):
            if isinstance(item, Passed):
                yield item
                continue
            if isinstance(item, Refused):
                yield replace(item, row=row)
            else:
                group, content = item
                group = f"{entry}#{row}" if group is None else group
                yield Record(content, group, layout.lang or "", entry, row, utf8_bytes(content))
            row += 1

    @abstractmethod
    def documents(self, text: str, entry: str, layout: Layout) -> Iterator[Document | Refused | Passed]:
        """The documents, what is none, and what is around both, so that all text is in one of them.

        `Refused.row` is set by the caller.
        """
