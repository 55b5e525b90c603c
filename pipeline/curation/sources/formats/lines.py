"""The format `lines`: a document a line of text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, Final

from pipeline.curation.sources.formats.format import DocumentFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.record import Record, Refused, decoded

_LINE_FEED_IS_A_BYTE: Final = ("utf-8", "ascii", "latin-1", "iso-8859-1", "cp1252")
"""Encodings in which no other character holds the byte of a line's end."""


class Lines(DocumentFormat):
    """A document a line; empty lines are none."""

    meaning = "a document a line"

    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Record | Refused]:
        for row, line in enumerate(_byte_lines(file, layout.encoding)):
            text = decoded(line, entry, row, layout)
            if isinstance(text, Refused):
                yield text
            elif text.strip():
                yield Record(text, f"{entry}#{row}", layout.lang or "", entry, row)


def _byte_lines(file: BinaryIO, encoding: str) -> Iterator[bytes]:
    """Lines without their ends; a UTF-8 file is split before decoding, so that one bad line stays one."""
    if encoding.lower().replace("_", "-") in _LINE_FEED_IS_A_BYTE:
        for line in file:
            yield line.rstrip(b"\r\n")
        return
    with io.TextIOWrapper(file, encoding=encoding, errors="replace") as text:
        for decoded_line in text:
            yield decoded_line.rstrip("\r\n").encode(encoding, errors="replace")
