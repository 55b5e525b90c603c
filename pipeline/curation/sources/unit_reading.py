"""From a unit to its records, in its order: decompressed, and cut as the source's format says.

In: a unit. Out: `Record`s and `Refused` ones. What damages a whole file is an error that names it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import closing

import pyarrow as pa

from pipeline.base.errors import SourceError
from pipeline.curation.sources.formats.formats import FORMATS
from pipeline.curation.sources.formats.record import Record, Refused
from pipeline.curation.sources.formats.records import table_records
from pipeline.curation.sources.hub import read_shard
from pipeline.curation.sources.unit import Unit


def read_unit(unit: Unit) -> Iterator[Record | Refused]:
    """The records of a unit.

    Raises:
        SourceError: the unit cannot be fetched or read, or lacks the field of the text.
    """
    source = unit.source
    if source.hub is not None:
        yield from table_records(read_shard(source.hub, source.columns, unit.first), unit.entry, source, 0)
    elif unit.is_parquet:
        yield from _parquet_records(unit)
    else:
        with closing(unit.open()) as file:
            yield from _guarded(FORMATS[source.format].read(file, unit.entry, source), unit)


def _guarded(records: Iterator[Record | Refused], unit: Unit) -> Iterator[Record | Refused]:
    """The records, with damaged compression named by its file."""
    try:
        yield from records
    except (EOFError, OSError, zlib.error, pa.ArrowException) as error:
        raise SourceError(f"{unit.path} of {unit.source.label} is damaged: {error}. Fetch it again.") from error


def _parquet_records(unit: Unit) -> Iterator[Record | Refused]:
    """Rows of some row groups of a Parquet file; only the columns needed are read."""
    names = unit.source.columns
    with unit.open_parquet() as file:
        there = file.schema_arrow.names
        missing = [name for name in names if name not in there]
        if missing:
            raise SourceError(
                f"{unit.path} of {unit.source.label} has no column {missing[0]!r}; it has {', '.join(there)}. "
                "Set the source's `text_field`."
            )
        row = sum(file.metadata.row_group(group).num_rows for group in range(unit.first))
        groups = range(unit.first, file.num_row_groups if unit.last is None else unit.last)
        tables = (file.read_row_group(group, columns=names) for group in groups)
        yield from _guarded(table_records(tables, unit.entry, unit.source, row), unit)
