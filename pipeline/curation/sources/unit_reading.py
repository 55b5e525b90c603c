"""From a unit to its records, in its order: unpacked, and cut as the source's format says.

In: a unit. Out: `Record`s, `Refused` ones and bytes `Passed` by, which add up to what was read. What a file holds never
stops a build: a file that is damaged, or no file of the format, is refused by name, and what was read before the damage
stays. What the machine or the network does (not there, not permitted, broken off) is an error, since it may be another
the next time.
"""

from __future__ import annotations

import errno
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from fnmatch import fnmatchcase
from typing import BinaryIO, Final, cast

import pyarrow as pa

from pipeline.base.errors import SourceError, SqueezeError
from pipeline.base.exhaustion import has_room, is_out_of_memory
from pipeline.curation.sources.choosing import Reading
from pipeline.curation.sources.file_reading import file_items, parquet_items
from pipeline.curation.sources.formats.formats import FORMATS
from pipeline.curation.sources.formats.measure import Measure, drain, measured
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.record import Item, Passed, Refused
from pipeline.curation.sources.formats.records import table_records
from pipeline.curation.sources.formats.removal import Removal
from pipeline.curation.sources.hub.part import HubPart
from pipeline.curation.sources.intake import ROWS_OF_BEGINNING, Intake
from pipeline.curation.sources.kinds import ARCHIVES, NOT_READ, SAYS_NOTHING, MisnamedError, ending
from pipeline.curation.sources.names import is_hidden
from pipeline.curation.sources.packing import Member, members, unpacked
from pipeline.curation.sources.settings import Source
from pipeline.curation.sources.unit import Unit

_DAMAGE: Final = (
    MisnamedError,
    EOFError,
    MemoryError,  # of lengths in a damaged table that are no lengths
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

_ROOM: Final = 256 << 20
_TIMES: Final = 16
"""Bytes, and times its size, that a file may take while it is read: where there is as much, and still it wants more
memory than there is, its lengths are damaged."""


def read_unit(unit: Unit, intake: Intake) -> Iterator[Item]:
    """What a unit is made of, and at least one of what was refused where it has no record.

    Raises:
        SourceError: the unit cannot be fetched or opened, or its network broke off.
    """
    if unit.hub is not None:
        yield from _hub_items(unit, unit.hub, intake)
        return
    of_parquet = unit.is_parquet and unit.begins_as_parquet()
    yield from _at_least_one(_of_parquet(unit, intake) if of_parquet else _of_file(unit, intake), unit.entry)


def _hub_items(unit: Unit, part: HubPart, intake: Intake) -> Iterator[Item]:
    """Rows of a hub data set; where only the beginning is wanted, those of its first row group alone are fetched."""
    cut = intake.beginning is not None
    tables = part.tables(unit.source, unit.first, unit.first + 1 if cut else unit.last)
    for row, table in tables:
        yield from table_records([table], unit.entry, unit.source, row, intake.measure)
        if cut and row + table.num_rows >= ROWS_OF_BEGINNING:
            return


def _at_least_one(items: Iterator[Item], entry: str) -> Iterator[Item]:
    anything = False
    for item in items:
        anything = anything or not isinstance(item, Passed)
        yield item
    if not anything:
        yield Refused(entry, 0, Reason.NO_RECORD, "")


def _of_parquet(unit: Unit, intake: Intake) -> Iterator[Item]:
    unread = [unit.bytes or 0]
    intake.readings.append(Reading(unit.entry, "Parquet", by_content=False, cut=intake.beginning is not None))

    def items() -> Iterator[Item]:
        with unit.open_parquet() as table:
            yield from parquet_items(table, unit.entry, unit.source, intake, unread, unit.first, unit.last)

    yield from _guarded(items(), unit, unit.entry, intake.measure, lambda: sum(unread))


def _of_file(unit: Unit, intake: Intake) -> Iterator[Item]:
    before, whole = intake.measure.bytes, unit.bytes or 0
    left = whole

    def items() -> Iterator[Item]:
        nonlocal left
        with closing(unit.open()) as packed:
            try:
                file = unpacked(packed, unit.file_name)
                with closing(file.file):
                    if file.kind in ARCHIVES:
                        yield from _archive_items(file.file, file.kind, unit, intake)
                    else:
                        yield from file_items(file, unit.entry, unit.source, intake, whole)
            finally:
                left = 0 if packed.closed else max(0, whole - packed.tell())

    def unread() -> int:
        return whole if intake.measure.bytes == before else left

    yield from _guarded(items(), unit, unit.entry, intake.measure, unread)


def _archive_items(file: BinaryIO, kind: str, unit: Unit, intake: Intake) -> Iterator[Item]:
    """What the files of an archive are made of; where it is damaged, all that follows its last whole header is lost."""
    archive, stop = Measure(), 0
    stream = measured(file, archive) if kind == ".tar" else file
    try:
        for member in members(stream, kind):
            stop = member.stop
            left_out = _left_out(member.name, unit.source)
            if left_out is not None:
                intake.measure.add(member.size)
                yield Passed(left_out, member.size)
                continue
            entry = f"{unit.entry}/{member.name}"
            items = _at_least_one(_member_items(member, entry, unit.source, intake), entry)
            yield from _guarded(items, unit, entry, intake.measure, _lying(member, intake.measure))
    except _DAMAGE:
        if kind == ".tar":
            with suppress(*_DAMAGE):
                drain(stream)
        intake.measure.add(max(0, archive.bytes - stop))
        raise


def _left_out(member: str, source: Source) -> Removal | None:
    """The setting that leaves a member out."""
    if not any(fnmatchcase(member, pattern) for pattern in source.members):
        return Removal.NOT_CHOSEN
    name = member.rsplit("/", 1)[-1]
    return Removal.EXCLUDED if any(fnmatchcase(name, pattern) for pattern in source.exclude) else None


def _lying(member: Member, measure: Measure) -> Callable[[], int]:
    """Bytes that count for a member of which nothing could be read."""
    before = measure.bytes
    return lambda: member.size if measure.bytes == before else 0


def _member_items(member: Member, entry: str, source: Source, intake: Intake) -> Iterator[Item]:
    kind, endings = ending(member.name), FORMATS[source.format].endings
    refused = None
    if is_hidden(member.name):
        refused = Refused(entry, 0, Reason.HIDDEN, "", "", member.size)
    elif kind in ARCHIVES:
        details = "an archive in an archive: unpack the outer one"
        refused = Refused(entry, 0, Reason.OTHER_KIND, "", details, member.size)
    elif endings and kind not in endings and kind not in SAYS_NOTHING and kind not in NOT_READ:
        details = f"format {source.format} reads {', '.join(endings)} of an archive"
        refused = Refused(entry, 0, Reason.OTHER_KIND, "", details, member.size)
    if refused is not None:
        intake.measure.add(member.size)
        yield refused
        return
    with member.open() as packed:
        file = unpacked(cast(BinaryIO, packed), member.name)
        yield from file_items(file, entry, source, intake, member.size, member=True)


def _guarded(
    items: Iterator[Item], unit: Unit, entry: str, measure: Measure, unread: Callable[[], int]
) -> Iterator[Item]:
    """The items, and a refused one for the rest of a file that is damaged: what was read of it, and what was not.

    unread: bytes that were not read, as they lie.
    """
    row, before, taken = 0, measure.bytes, 0
    try:
        for item in items:
            taken += item.size
            yield item
            row = row if isinstance(item, Passed) else item.row + 1
    except SqueezeError:
        raise
    except _DAMAGE as error:
        if is_out_of_memory(error) and not has_room(_ROOM + _TIMES * (taken + unread())):
            raise  # as much as such a file may take is not there: nothing is wrong with it
        # EINVAL is what a damaged directory of a zip ends in, which points to before the file begins
        broken_off = unit.is_remote and not isinstance(error, MisnamedError)
        if broken_off or (isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)):
            raise SourceError(f"{unit.place} is damaged or cannot be read: {error}. Fetch it again.") from error
        measure.add(unread())
        size = measure.bytes - before - taken
        yield Refused(entry, row, Reason.UNREADABLE, "", _what_is_wrong(error), size)
    except Exception as error:
        if not unit.is_remote:
            raise
        raise SourceError(f"{unit.place} cannot be read: {type(error).__name__}: {error}. Run it again.") from error


def _what_is_wrong(error: Exception) -> str:
    if isinstance(error, MisnamedError):
        return str(error)
    if "too much memory" in str(error):
        return "its zstd window is longer than 128 MiB: compress it again without --long, or with --long=27 at most"
    if "password" in str(error) or isinstance(error, NotImplementedError):
        return str(error)[:300]
    return f"damaged: {str(error)[:300] or type(error).__name__}; fetch it again"
