"""The format `lines`: a document a line of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from pipeline.curation.sources.formats.encoding import byte_lines
from pipeline.curation.sources.formats.format import DocumentFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.record import Record, Refused, bad_bytes


class Lines(DocumentFormat):
    """A document a line; empty lines are none."""

    meaning = "a document a line"

    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Record | Refused]:
        for row, (line, codec) in enumerate(byte_lines(file, layout.encoding)):
            try:
                text = line.decode(codec).rstrip("\r\n")
            except UnicodeError as error:
                yield bad_bytes(line, error, entry, row, layout)
                continue
            if text.strip():
                yield Record(text, f"{entry}#{row}", layout.lang or "", entry, row)
