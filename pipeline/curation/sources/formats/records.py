"""The format `records`: an object a line of JSON, a row of a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from pipeline.curation.sources.formats.encoding import byte_lines
from pipeline.curation.sources.formats.format import DocumentFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.record import (
    Fields,
    Record,
    Refused,
    bad_bytes,
    bad_json,
    record_of,
    records_of,
)


class Records(DocumentFormat):
    """JSON lines. Tables (Parquet, hub data sets) are read by `table_records`."""

    meaning = "rows of Parquet, Arrow, CSV or JSON lines, as a file has them; a text file without rows is one document"
    endings = (".jsonl", ".ndjson", ".jsonlines", ".json", ".csv", ".tsv", ".tab", ".parquet", ".arrow")

    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Record | Refused]:
        yield from records_of(_json_rows(file, entry, layout), entry, layout)


def _json_rows(file: BinaryIO, entry: str, layout: Layout) -> Iterator[Fields | Refused]:
    for row, (line, codec) in enumerate(byte_lines(file, layout.encoding)):
        try:
            text = line.decode(codec)
            if not text.strip():
                continue
            fields = json.loads(text)
        except UnicodeError as error:
            yield bad_bytes(line, error, entry, row, layout)
        except (ValueError, RecursionError) as error:
            yield bad_json(line, error, entry, row)
        else:
            yield row, f"{entry}#{row}", fields


def arrow_tables(file: BinaryIO) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """Columns and tables of an Arrow file (Feather too) or stream. Raises pa.ArrowException where it is none."""
    if file.read(4) == b"ARRO":
        whole = pa.ipc.open_file(file)
        batches = (whole.get_batch(number) for number in range(whole.num_record_batches))
        return whole.schema, (pa.Table.from_batches([batch]) for batch in batches)
    file.seek(0)
    stream = pa.ipc.open_stream(file)
    return stream.schema, (pa.Table.from_batches([batch]) for batch in stream)


def table_records(tables: Iterable[pa.Table], entry: str, layout: Layout, first: int) -> Iterator[Record | Refused]:
    """The rows of tables that follow each other, the first one being row `first` of the file."""
    row = first
    for table in tables:
        try:
            rows: Iterable[Any] = table.to_pylist()
        except (ValueError, OverflowError, pa.ArrowException):  # such as text that is no UTF-8, which Arrow lets pass
            rows = (_row(table, place) for place in range(table.num_rows))
        for fields in rows:
            if isinstance(fields, Exception):
                yield Refused(entry, row, Reason.NO_VALUE, "", str(fields))
            else:
                yield record_of(fields, f"{entry}#{row}", entry, row, layout)
            row += 1


def _row(table: pa.Table, place: int) -> dict[str, Any] | Exception:
    try:
        return {name: table.column(name)[place].as_py() for name in table.column_names}
    except (ValueError, OverflowError, pa.ArrowException) as error:
        return error
