"""From an opened file to what it is made of, as its content and its source's format say.

In: a file, unpacked. Out: `Record`s, `Refused` ones and bytes `Passed` by, which add up to what the intake's measure
counted of it.
"""

from __future__ import annotations

import codecs
import io
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import BinaryIO, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.curation.sources.choosing import NoReader, choose, reading
from pipeline.curation.sources.formats.encoding import beginning_of, marked
from pipeline.curation.sources.formats.formats import FORMATS
from pipeline.curation.sources.formats.measure import TooLongError, drain, measured
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.record import Item, Passed, Refused, without_field
from pipeline.curation.sources.formats.records import arrow_tables, table_records
from pipeline.curation.sources.formats.removal import Removal
from pipeline.curation.sources.intake import ROWS_OF_BEGINNING, Intake
from pipeline.curation.sources.kinds import ARCHIVES, BINARY, LOOKED_AT, MEDIA, NOT_READ, TABLES, why_not_read
from pipeline.curation.sources.packing import Unpacked
from pipeline.curation.sources.settings import Source
from pipeline.curation.sources.unit import group_bytes

_CONTROLS: Final = re.compile(r"[\x00-\x07\x0e-\x1a\x1c-\x1f]")


def file_items(
    file: Unpacked, entry: str, source: Source, intake: Intake, size: int, *, member: bool = False
) -> Iterator[Item]:
    """What an unpacked file that is no archive is made of.

    size: bytes as it lies; member: whether it is in an archive.
    """
    kind = file.kind
    if kind in ARCHIVES:
        yield _not_read(entry, Reason.OTHER_KIND, "an archive in an archive: unpack the outer one", intake, size)
    elif kind in NOT_READ or kind == BINARY:
        reason = Reason.MEDIA if kind in MEDIA else Reason.OTHER_KIND
        yield _not_read(entry, reason, why_not_read(kind), intake, size)
    elif kind in TABLES:
        intake.readings.append(reading(entry, file, kind, cut=intake.beginning is not None))
        with seekable(file) as table:
            yield from _table_items(table, kind, entry, source, intake, size)
    elif _has_no_text(file, source.encoding):
        details = f"its beginning is no {source.encoding} text: it is full of control characters"
        yield _not_read(entry, Reason.BAD_BYTES, details, intake, size)
    else:
        chosen = choose(source, file, rows_alone=member)
        if isinstance(chosen, NoReader):
            yield _not_read(entry, Reason.OTHER_KIND, chosen.details, intake, size)
            return
        name, by_content = chosen
        stream, cut = cast(BinaryIO, file.file), False
        if intake.beginning is not None:
            stream, cut = beginning_of(stream, intake.beginning, source.encoding)
        intake.readings.append(reading(entry, file, name, by_content=by_content, cut=cut))
        yield from _text_items(stream, name, entry, source, intake)


@contextmanager
def seekable(file: Unpacked) -> Iterator[BinaryIO]:
    """The file itself where it lies on disk as it is, else a copy of it there."""
    if isinstance(file.file.raw, io.FileIO):
        yield cast(BinaryIO, file.file)
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file.file, copy)
        copy.seek(0)
        yield cast(BinaryIO, copy)


def _has_no_text(file: Unpacked, encoding: str) -> bool:
    """Whether what decodes is no text all the same, as UTF-16 often does in UTF-8."""
    rest, codec = marked(file.file.peek(LOOKED_AT)[:LOOKED_AT], encoding)
    text = rest.decode(codec, errors="ignore")
    return len(_CONTROLS.findall(text)) > max(16, len(text) // 10)


def parquet_items(
    table: pq.ParquetFile,
    entry: str,
    source: Source,
    intake: Intake,
    unread: list[int],
    first: int = 0,
    last: int | None = None,
) -> Iterator[Item]:
    """Rows of some row groups of a Parquet file; only the columns needed are read.

    unread: becomes the bytes, as they lie, of each of the groups that are not read yet.
    """
    there = table.schema_arrow.names
    groups = range(first, table.num_row_groups if last is None else last)
    unread[:] = [group_bytes(table, group) for group in groups]
    missing = [name for name in source.columns if name not in there]
    if missing:
        refused = without_field(missing[0], there, "its columns", entry, source)
        intake.measure.add(sum(unread))
        yield replace(refused, size=sum(unread), rest=False)
        return
    if intake.beginning is not None:
        batches = islice(table.iter_batches(ROWS_OF_BEGINNING, columns=source.columns), 1)
        yield from table_records(
            (pa.Table.from_batches([batch]) for batch in batches), entry, source, 0, intake.measure
        )
        return
    row = sum(table.metadata.row_group(group).num_rows for group in range(first))
    for group in groups:
        rows = table.read_row_group(group, columns=source.columns)
        del unread[0]
        yield from table_records([rows], entry, source, row, intake.measure)
        row += rows.num_rows


def _not_read(entry: str, reason: Reason, details: str, intake: Intake, size: int) -> Refused:
    intake.measure.add(size)
    return Refused(entry, 0, reason, "", details, size)


def _table_items(file: BinaryIO, kind: str, entry: str, source: Source, intake: Intake, size: int) -> Iterator[Item]:
    if kind == ".parquet":
        with pq.ParquetFile(file) as table:
            yield from parquet_items(table, entry, source, intake, [])
        return
    schema, tables = arrow_tables(file)
    missing = [name for name in source.columns if name not in schema.names]
    if missing:
        refused = without_field(missing[0], schema.names, "its columns", entry, source)
        intake.measure.add(size)
        yield replace(refused, size=size, rest=False)
        return
    chosen = (table.select(source.columns) for table in tables)
    if intake.beginning is not None:
        chosen = (table.slice(0, ROWS_OF_BEGINNING) for table in islice(chosen, 1))
    yield from table_records(chosen, entry, source, 0, intake.measure)


def _text_items(file: BinaryIO, name: str, entry: str, source: Source, intake: Intake) -> Iterator[Item]:
    """What a file of the format `name` is made of."""
    form, measure = FORMATS[name], intake.measure
    before, taken = measure.bytes, 0
    most = _most_read(intake.most, source.encoding) if form.one_document and intake.most is not None else None
    stream = measured(file, measure, most)
    try:
        for item in form.read(stream, entry, source):
            if isinstance(item, Refused) and item.rest:
                drain(stream)
                item = replace(item, size=measure.bytes - before - taken)
            taken += item.size
            yield item
        if form.text_alone:
            yield Passed(Removal.AROUND, measure.bytes - before - taken)
    except TooLongError:
        measure.add(drain(file))
        size = measure.bytes - before
        yield Refused(entry, 0, Reason.TOO_LONG, "", f"{size:,} bytes; refuse_bytes = {intake.most:,}", size)


def _most_read(most: int, encoding: str) -> int:
    """Bytes of a file that may be no more than `most` bytes of UTF-8: UTF-32 takes four times as many, UTF-7 eight."""
    return (most if codecs.lookup(encoding).name.startswith("utf-8") else 8 * most) + 16
