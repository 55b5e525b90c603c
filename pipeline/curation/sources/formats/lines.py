"""The format `lines`: a document a line of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from pipeline.curation.sources.formats.encoding import byte_lines
from pipeline.curation.sources.formats.format import DocumentFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.record import Item, Passed, Record, bad_bytes
from pipeline.curation.sources.formats.removal import Removal
from pipeline.curation.text.sizes import utf8_bytes


class Lines(DocumentFormat):
    """A document a line; empty lines are none."""

    meaning = "a document a line"

    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Item]:
        mark, codec, lines = byte_lines(file, layout.encoding)
        yield Passed(Removal.ENCODING, mark)
        for row, line in enumerate(lines):
            try:
                text = line.decode(codec)
            except UnicodeError as error:
                yield bad_bytes(line, error, entry, row, layout)
                continue
            size = utf8_bytes(text)
            if size != len(line):
                yield Passed(Removal.ENCODING, len(line) - size)
            text = text.rstrip("\r\n")
            if text.strip():
                yield Record(text, f"{entry}#{row}", layout.lang or "", entry, row, size)
            else:
                yield Passed(Removal.AROUND, size)
