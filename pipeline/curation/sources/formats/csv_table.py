"""The format `csv`: rows of cells in text, with commas, tabs or another character between them.

In: a file of RFC 4180, or near it. Out: a record a row, by the names in its first row or those of `column_names`.
Arrow reads it, in blocks, and of a wide table the columns needed alone. A row that has more or fewer cells is refused
with its place, as is one whose bytes are no text; rows are numbered from 0, the names' row apart.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, BinaryIO, Final

import pyarrow as pa
from pyarrow import csv as arrow_csv

from pipeline.curation.sources.formats.encoding import marked
from pipeline.curation.sources.formats.format import DocumentFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.record import (
    Item,
    Record,
    Refused,
    bad_bytes,
    excerpt,
    record_of,
    without_field,
)
from pipeline.curation.text.sizes import utf8_bytes

DELIMITERS: Final = ",\t;|"
_HEAD: Final = 1 << 18
_CHUNK: Final = 1 << 20
LONGEST_ROW: Final = 32 << 20
"""Bytes of the blocks that Arrow reads, and so of the longest row."""
_BAD: Final = "\ufdd0"
"""Stands before a byte that is no text, in hexadecimal: a code point that Unicode keeps for no character."""
_ESCAPED: Final = re.compile("[\udc80-\udcff]")


class CsvTable(DocumentFormat):
    """Rows of CSV or TSV files."""

    meaning = "rows of CSV or TSV files"
    endings = (".csv", ".tsv", ".tab", ".txt")
    text_alone = True

    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Item]:
        head, chunks = _beginning(file, layout.encoding)
        if not head.strip():
            return
        table = table_shape(head.decode("utf-8", errors="replace"), layout)
        missing = [name for name in layout.columns if name not in table.names]
        if missing:
            yield without_field(missing[0], table.names, "its first row", entry, layout)
            return
        yield from _Rows(table, entry, layout).read(_Stream(chain([head[table.skipped :]], chunks)))


@dataclass(frozen=True)
class TableShape:
    """How a CSV file is written."""

    names: list[str]
    delimiter: str
    quoted: bool
    skipped: int
    """Bytes before the first row."""


def table_shape(head: str, layout: Layout) -> TableShape:
    """How a CSV file is written, from its beginning (whole, or cut anywhere) and what the source says of it."""
    body = head.lstrip("\r\n")
    delimiter = layout.delimiter
    if body[:4].lower() == "sep=" and body[5:6] in ("\r", "\n"):  # what spreadsheets write and read
        delimiter = delimiter or body[4]
        body = body[5:].lstrip("\r\n")
    skipped = len(head.encode("utf-8", errors="replace")) - len(body.encode("utf-8", errors="replace"))
    first = {mark: _first_row(body, mark) for mark in (delimiter or DELIMITERS)}
    names = list(layout.column_names)
    if delimiter is None:
        fits = [mark for mark in first if _fits(first[mark], layout)]
        delimiter = max(fits or first, key=lambda mark: len(first[mark]))
    quoted = layout.quotes if layout.quotes is not None else _is_quoted(body, delimiter, len(first[delimiter]))
    if not names:
        row = first[delimiter] if quoted else body.splitlines()[0].split(delimiter) if body else []
        names = [name.strip() for name in row]
    return TableShape(names, delimiter, quoted, skipped)


def _fits(row: list[str], layout: Layout) -> bool:
    if layout.column_names:
        return len(row) == len(layout.column_names)
    return set(layout.columns) <= {name.strip() for name in row}


def _first_row(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except csv.Error:  # a cell longer than that module allows
        return (text.splitlines() or [""])[0].split(delimiter)


def _is_quoted(text: str, delimiter: str, columns: int) -> bool:
    """Whether a mark at the beginning of a cell opens one: not where every line is a whole row without that alone."""
    lines = text.splitlines()
    rows = [line.split(delimiter) for line in (lines[:-1] or lines) if line]
    opened = any(cell.startswith('"') and cell.count('"') % 2 for row in rows for cell in row)
    whole_without = columns > 1 and all(len(row) == columns for row in rows)
    return not (opened and whole_without and not _whole_with_quotes(text, delimiter, columns))


def _whole_with_quotes(text: str, delimiter: str, columns: int) -> bool:
    others = 0
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            others += bool(row) and len(row) != columns
    except csv.Error:  # a mark that nothing closes, or not before the next cell
        return False
    return others <= (len(text) >= _HEAD // 4)


class _Rows:
    """The records of one table, in the order of its rows, and the rows that Arrow found to have other columns."""

    def __init__(self, table: TableShape, entry: str, layout: Layout) -> None:
        self.table, self.entry, self.layout = table, entry, layout
        self.row = 0
        self.ragged: deque[tuple[int, int, str, int]] = deque()

    def read(self, stream: _Stream) -> Iterator[Record | Refused]:
        names, last = self.table.names, str(len(self.table.names) - 1)
        columns = {name: str(names.index(name)) for name in self.layout.columns}
        taken = list(dict.fromkeys([*columns.values(), last]))
        try:
            for batch, is_last in _marking_the_last(self._batches(stream, taken)):
                cells = {number: batch.column(number).to_pylist() for number in taken}
                for place in range(batch.num_rows):
                    yield from self._ragged_before(self.row)
                    row = {name: cells[number][place] for name, number in columns.items()}
                    if is_last and place == batch.num_rows - 1 and self._ends_open(cells[last][place], stream):
                        yield self._never_closed(row)
                    else:
                        yield self._record(row)
                    self.row += 1
        except pa.ArrowInvalid as error:
            yield from self._ragged_before(None)
            yield Refused(self.entry, self.row, Reason.UNREADABLE, "", _what_is_wrong(error), rest=True)
        except UnicodeError as error:
            yield from self._ragged_before(None)
            yield replace(bad_bytes(b"", error, self.entry, self.row, self.layout), rest=True)
        else:
            yield from self._ragged_before(None)

    def _batches(self, stream: _Stream, columns: list[str]) -> Iterator[pa.RecordBatch]:
        reader = arrow_csv.open_csv(
            io.BufferedReader(stream, _CHUNK),
            read_options=arrow_csv.ReadOptions(
                use_threads=False,
                block_size=LONGEST_ROW,
                column_names=[str(number) for number in range(len(self.table.names))],
                skip_rows_after_names=0 if self.layout.column_names else 1,
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self.table.delimiter,
                quote_char='"' if self.table.quoted else False,
                newlines_in_values=self.table.quoted,
                invalid_row_handler=self._other_columns,
            ),
            convert_options=arrow_csv.ConvertOptions(
                check_utf8=False, include_columns=columns, column_types=dict.fromkeys(columns, pa.binary())
            ),
        )
        yield from reader

    def _other_columns(self, row: Any) -> str:
        number = row.number - (1 if self.layout.column_names else 2)
        self.ragged.append((number, row.actual_columns, excerpt(row.text.replace(_BAD, r"\x")), _size(row.text)))
        return "skip"

    def _ragged_before(self, row: int | None) -> Iterator[Refused]:
        """The ragged rows that come next, before a row that is none; all that are left, where there is none."""
        while self.ragged and (row is None or self.ragged[0][0] <= self.row):
            number, cells, text, size = self.ragged.popleft()
            details = f"{cells} cells in a table of {len(self.table.names)} columns"
            yield Refused(self.entry, number, Reason.RAGGED, text, details, size)
            self.row = number + 1

    def _ends_open(self, last_cell: bytes, stream: _Stream) -> bool:
        """Whether the table's last row ends because the file does: a cell with a line end in it stands in quotation
        marks, and what closes those of the last one ends the file."""
        return self.table.quoted and b"\n" in last_cell and not stream.tail.rstrip(b"\r\n").endswith(b'"')

    def _never_closed(self, cells: dict[str, bytes]) -> Refused:
        details = "a quotation mark opens in this row and nothing closes it: all that follows is in one cell"
        data = b" ".join(cells.values())
        return Refused(self.entry, self.row, Reason.UNREADABLE, excerpt(data), details, len(data))

    def _record(self, cells: dict[str, bytes]) -> Record | Refused:
        fields = {name: data.decode("utf-8") for name, data in cells.items()}
        size = _size(fields[self.layout.text_field])
        for text in fields.values():
            if _BAD in text:
                where = text.index(_BAD)
                near = text[max(0, where - 40) :].replace(_BAD, r"\x")
                details = f"byte {near[near.index(chr(92)) :][:4]} is not {self.layout.encoding}"
                return Refused(self.entry, self.row, Reason.BAD_BYTES, excerpt(near), details, size)
        return record_of((self.row, f"{self.entry}#{self.row}", fields, size), self.entry, self.layout)


def _size(text: str) -> int:
    """Bytes of a text, where one that is no text counts as itself and not as what stands for it."""
    return utf8_bytes(text) - (len(_BAD.encode()) + 1) * text.count(_BAD)


def _what_is_wrong(error: pa.ArrowInvalid) -> str:
    if "straddling" in str(error):
        return f"a row is longer than {LONGEST_ROW:,} bytes, or a quotation mark in it is never closed"
    return f"damaged: {str(error)[:300]}"


def _beginning(file: BinaryIO, encoding: str) -> tuple[bytes, Iterator[bytes]]:
    """The beginning of a file in UTF-8, and what follows; bytes that are not in its encoding are marked by `_BAD`."""
    rest, codec = marked(file.read(4), encoding)
    chunks = _recoded(chain([rest], iter(lambda: file.read(_CHUNK), b"")), codec)
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= _HEAD:
            break
    return head, chunks


def _recoded(chunks: Iterator[bytes], codec: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(codec)("surrogateescape")
    for chunk in chain(chunks, [None]):
        text = decoder.decode(chunk or b"", final=chunk is None)
        try:
            yield text.encode("utf-8")
        except UnicodeEncodeError:  # what the decoder let pass; Arrow shows ragged rows as text, so they have to be
            yield _ESCAPED.sub(lambda byte: f"{_BAD}{ord(byte[0]) & 0xFF:02x}", text).encode("utf-8")


class _Stream(io.RawIOBase):
    """Chunks of bytes as a file; `tail` is the end of what was read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left, self.tail = chunks, b"", b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = chunk
        taken, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(taken)] = taken
        self.tail = (self.tail + taken)[-8:]
        return len(taken)


def _marking_the_last(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, bool]]:
    before = None
    for batch in batches:
        if before is not None:
            yield before, False
        before = batch
    if before is not None:
        yield before, True
