"""The format `records`: an object a line of JSON, a row of a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.curation.sources.formats.encoding import byte_lines
from pipeline.curation.sources.formats.format import DocumentFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.measure import Measure
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.record import (
    Fields,
    Item,
    Passed,
    Record,
    Refused,
    bad_bytes,
    bad_json,
    record_of,
    records_of,
)
from pipeline.curation.sources.formats.removal import Removal
from pipeline.curation.text.sizes import utf8_bytes

_TEXT_KINDS: Final = (
    *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary),
)


class Records(DocumentFormat):
    """JSON lines. Tables (Parquet, hub data sets) are read by `table_records`."""

    meaning = "rows of Parquet, Arrow, CSV or JSON lines, as a file has them; a text file without rows is one document"
    endings = (".jsonl", ".ndjson", ".jsonlines", ".json", ".csv", ".tsv", ".tab", ".parquet", ".arrow")

    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Item]:
        yield from records_of(_json_rows(file, entry, layout), entry, layout)


def _json_rows(file: BinaryIO, entry: str, layout: Layout) -> Iterator[Fields | Refused | Passed]:
    mark, codec, lines = byte_lines(file, layout.encoding)
    yield Passed(Removal.ENCODING, mark)
    for row, line in enumerate(lines):
        try:
            text = line.decode(codec)
            if not text.strip():
                yield Passed(Removal.AROUND, len(line))
                continue
            fields = json.loads(text)
        except UnicodeError as error:
            yield bad_bytes(line, error, entry, row, layout)
        except (ValueError, RecursionError) as error:
            yield bad_json(line, error, entry, row)
        else:
            size = utf8_bytes(text)
            if size != len(line):
                yield Passed(Removal.ENCODING, len(line) - size)
            yield row, f"{entry}#{row}", fields, size


def arrow_tables(file: BinaryIO) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """Columns and tables of an Arrow file (Feather too) or stream. Raises pa.ArrowException where it is none."""
    if file.read(4) == b"ARRO":
        whole = pa.ipc.open_file(file)
        batches = (whole.get_batch(number) for number in range(whole.num_record_batches))
        return whole.schema, (_checked(batch) for batch in batches)
    file.seek(0)
    stream = pa.ipc.open_stream(file)
    return stream.schema, (_checked(batch) for batch in stream)


def _checked(batch: pa.RecordBatch) -> pa.Table:
    """A batch as a table. Raises pa.ArrowInvalid where it points outside of itself: Arrow would follow, and crash.

    Whether text is UTF-8 is not looked at: that costs its row, and not the file.
    """
    for column in batch.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            kind = pa.binary() if pa.types.is_string(column.type) else pa.large_binary()
            column = pa.Array.from_buffers(kind, len(column), column.buffers(), offset=column.offset)
        column.validate(full=True)
    return pa.Table.from_batches([batch])


def table_records(
    tables: Iterable[pa.Table], entry: str, layout: Layout, first: int, measure: Measure
) -> Iterator[Record | Refused]:
    """The rows of tables that follow each other, the first one being row `first` of the file.

    Of a table the bytes of its text count, and no others.
    """
    row = first
    for table in tables:
        sizes = _text_sizes(table.column(layout.text_field))
        measure.add(int(sizes.sum()))
        try:
            rows: Iterable[Any] = table.to_pylist()
        except (ValueError, OverflowError, pa.ArrowException):  # such as text that is no UTF-8, which Arrow lets pass
            rows = (_row(table, place) for place in range(table.num_rows))
        for fields, size in zip(rows, sizes.tolist(), strict=True):
            if isinstance(fields, Exception):
                yield Refused(entry, row, Reason.NO_VALUE, "", str(fields), size)
            else:
                yield record_of((row, f"{entry}#{row}", fields, size), entry, layout)
            row += 1


def _text_sizes(column: pa.ChunkedArray) -> np.ndarray:
    """Bytes of a column's text, row by row, int64 [N]; values of other kinds have none."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not any(is_kind(kind) for is_kind in _TEXT_KINDS):
        return np.zeros(len(column), dtype=np.int64)
    data = column.cast(pa.large_binary()) if kind == column.type else column.cast(kind).cast(pa.large_binary())
    return pc.fill_null(pc.binary_length(data), 0).to_numpy().astype(np.int64)


def _row(table: pa.Table, place: int) -> dict[str, Any] | Exception:
    try:
        return {name: table.column(name)[place].as_py() for name in table.column_names}
    except (ValueError, OverflowError, pa.ArrowException) as error:
        return error
