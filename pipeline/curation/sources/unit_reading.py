"""From a unit to its records, in its order: unpacked, and cut as the source's format says.

In: a unit. Out: `Record`s and `Refused` ones. What a file holds never stops a build: a file that is damaged, or no file
of the format, is refused by name, and what was read before the damage stays. What the machine or the network does (not
there, not permitted, broken off) is an error, since it may be another the next time.
"""

from __future__ import annotations

import errno
import lzma
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from fnmatch import fnmatchcase
from typing import BinaryIO, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.errors import SourceError, SqueezeError
from pipeline.curation.sources.choosing import NoReader, Reading, choose, reading
from pipeline.curation.sources.formats.formats import FORMATS
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.record import Record, Refused, without_field
from pipeline.curation.sources.formats.records import arrow_tables, table_records
from pipeline.curation.sources.hub import read_shard
from pipeline.curation.sources.kinds import (
    ARCHIVES,
    BINARY,
    MEDIA,
    NOT_READ,
    SAYS_NOTHING,
    TABLES,
    MisnamedError,
    ending,
    why_not_read,
)
from pipeline.curation.sources.names import is_hidden
from pipeline.curation.sources.packing import Opener, Unpacked, members, unpacked
from pipeline.curation.sources.settings import Source
from pipeline.curation.sources.unit import Unit

_DAMAGE: Final = (
    EOFError,
    OSError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
    RuntimeError,  # what zipfile says of a member that needs a password, or is compressed in a way it does not know
    ValueError,
    OverflowError,
    struct.error,
    pa.ArrowException,
)


def read_unit(unit: Unit, readings: list[Reading] | None = None) -> Iterator[Record | Refused]:
    """The records of a unit, and at least one of what was refused where it has none.

    readings: is given how each file of the unit is read, as it is opened.

    Raises:
        SourceError: the unit cannot be fetched or opened, or its network broke off.
    """
    source = unit.source
    if source.hub is not None:
        yield from table_records(read_shard(source.hub, source.columns, unit.first), unit.entry, source, 0)
        return
    anything = False
    for record in _guarded(_records(unit, [] if readings is None else readings), unit, unit.entry):
        anything = True
        yield record
    if not anything:
        yield Refused(unit.entry, 0, Reason.NO_RECORD, "")


def _records(unit: Unit, readings: list[Reading]) -> Iterator[Record | Refused]:
    if unit.is_parquet and unit.begins_as_parquet():
        readings.append(Reading(unit.entry, "Parquet", by_content=False))
        with unit.open_parquet() as table:
            yield from _parquet_records(table, unit.entry, unit.source, unit.first, unit.last)
        return
    with closing(unit.open()) as packed:
        opened = unpacked(packed, unit.file_name)
        with closing(opened.file):
            if opened.kind not in ARCHIVES:
                yield from _file_records(opened, unit.entry, unit.source, readings)
                return
            for member, opener in members(opened.file, opened.kind):
                if any(fnmatchcase(member, pattern) for pattern in unit.source.members):
                    entry = f"{unit.entry}/{member}"
                    yield from _guarded(_member_records(opener, member, entry, unit.source, readings), unit, entry)


def _member_records(
    opener: Opener, member: str, entry: str, source: Source, readings: list[Reading]
) -> Iterator[Record | Refused]:
    kind, endings = ending(member), FORMATS[source.format].endings
    if is_hidden(member):
        yield Refused(entry, 0, Reason.HIDDEN, "")
        return
    if kind in ARCHIVES:
        yield Refused(entry, 0, Reason.OTHER_KIND, "", "an archive in an archive: unpack the outer one")
        return
    if endings and kind not in endings and kind not in SAYS_NOTHING and kind not in NOT_READ:
        details = f"format {source.format} reads {', '.join(endings)} of an archive"
        yield Refused(entry, 0, Reason.OTHER_KIND, "", details)
        return
    if any(fnmatchcase(member.rsplit("/", 1)[-1], pattern) for pattern in source.exclude):
        return
    with opener() as packed:
        opened = unpacked(cast(BinaryIO, packed), member)
        anything = False
        for record in _file_records(opened, entry, source, readings, member=True):
            anything = True
            yield record
        if not anything:
            yield Refused(entry, 0, Reason.NO_RECORD, "")


def _file_records(
    file: Unpacked, entry: str, source: Source, readings: list[Reading], *, member: bool = False
) -> Iterator[Record | Refused]:
    """The records of an unpacked file that is no archive."""
    kind = file.kind
    if kind in ARCHIVES:
        yield Refused(entry, 0, Reason.OTHER_KIND, "", "an archive in an archive: unpack the outer one")
    elif kind in NOT_READ or kind == BINARY:
        yield Refused(entry, 0, Reason.MEDIA if kind in MEDIA else Reason.OTHER_KIND, "", why_not_read(kind))
    elif kind in TABLES:
        readings.append(reading(entry, file, kind))
        with tempfile.TemporaryFile() as seekable:
            shutil.copyfileobj(file.file, seekable)
            seekable.seek(0)
            yield from _table_file_records(cast(BinaryIO, seekable), kind, entry, source)
    else:
        chosen = choose(source, file, rows_alone=member)
        if isinstance(chosen, NoReader):
            yield Refused(entry, 0, Reason.OTHER_KIND, "", chosen.details)
            return
        name, by_content = chosen
        readings.append(reading(entry, file, name, by_content=by_content))
        yield from FORMATS[name].read(cast(BinaryIO, file.file), entry, source)


def _table_file_records(file: BinaryIO, kind: str, entry: str, source: Source) -> Iterator[Record | Refused]:
    if kind == ".parquet":
        with pq.ParquetFile(file) as table:
            yield from _parquet_records(table, entry, source, 0, None)
        return
    schema, tables = arrow_tables(file)
    missing = [name for name in source.columns if name not in schema.names]
    if missing:
        yield without_field(missing[0], schema.names, "its columns", entry, source)
        return
    yield from table_records((table.select(source.columns) for table in tables), entry, source, 0)


def _guarded(records: Iterator[Record | Refused], unit: Unit, entry: str) -> Iterator[Record | Refused]:
    """The records, and a refused one for the rest of a file that is damaged."""
    row = 0
    try:
        for record in records:
            yield record
            row = record.row + 1
    except SqueezeError:
        raise
    except MisnamedError as error:
        yield Refused(entry, row, Reason.UNREADABLE, "", str(error))
    except _DAMAGE as error:
        # EINVAL is what a damaged directory of a zip ends in, which points to before the file begins
        if unit.is_remote or (isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)):
            raise SourceError(f"{unit.place} is damaged or cannot be read: {error}. Fetch it again.") from error
        yield Refused(entry, row, Reason.UNREADABLE, "", _what_is_wrong(error))
    except Exception as error:
        if not unit.is_remote:
            raise
        raise SourceError(f"{unit.place} cannot be read: {type(error).__name__}: {error}. Run it again.") from error


def _what_is_wrong(error: Exception) -> str:
    if "too much memory" in str(error):
        return "its zstd window is longer than 128 MiB: compress it again without --long, or with --long=27 at most"
    if "password" in str(error) or isinstance(error, NotImplementedError):
        return str(error)[:300]
    return f"damaged: {str(error)[:300] or type(error).__name__}; fetch it again"


def _parquet_records(
    table: pq.ParquetFile, entry: str, source: Source, first: int, last: int | None
) -> Iterator[Record | Refused]:
    """Rows of some row groups of a Parquet file; only the columns needed are read."""
    there = table.schema_arrow.names
    missing = [name for name in source.columns if name not in there]
    if missing:
        yield without_field(missing[0], there, "its columns", entry, source)
        return
    row = sum(table.metadata.row_group(group).num_rows for group in range(first))
    groups = range(first, table.num_row_groups if last is None else last)
    tables = (table.read_row_group(group, columns=source.columns) for group in groups)
    yield from table_records(tables, entry, source, row)
