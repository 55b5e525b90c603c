"""The format `records`: an object a line of JSON, a row of a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import pyarrow as pa

from pipeline.curation.sources.formats.format import DocumentFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.record import Record, Refused, excerpt, record_of


class Records(DocumentFormat):
    """JSON lines. Tables (Parquet, hub data sets) are read by `table_records`."""

    meaning = "rows of parquet or JSON lines"

    def read(self, file: BinaryIO, entry: str, layout: Layout) -> Iterator[Record | Refused]:
        for row, line in enumerate(file):
            if not line.strip():
                continue
            try:
                fields = json.loads(line)
            except ValueError as error:
                yield Refused(entry, row, f"no JSON: {error}", excerpt(line))
                continue
            yield record_of(fields, f"{entry}#{row}", entry, row, layout)


def table_records(tables: Iterable[pa.Table], entry: str, layout: Layout, first: int) -> Iterator[Record | Refused]:
    """The rows of tables that follow each other, the first one being row `first` of the file."""
    row = first
    for table in tables:
        for fields in table.to_pylist():
            yield record_of(fields, f"{entry}#{row}", entry, row, layout)
            row += 1
