"""Row groups of Parquet files of the hub: what there is, how much of it is wanted, and its rows.

In: a data set at a commit, the columns that are needed, and how much text. Out: for each file the row groups that are
read, found by its footer; and of row groups the rows, in batches of a few megabytes. Which row groups are read depends
on the commit and the settings alone: files in their order, groups in theirs, until they hold as much text as is wanted.
Only the needed columns are fetched, and kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.errors import SourceError
from pipeline.base.files import write_text
from pipeline.curation.sources.hub.kept import KeptFile, Range, fetch_ranges
from pipeline.curation.sources.hub.large_pages import NotStreamableError, has_large_page, values_of
from pipeline.curation.sources.hub.transfer import HubFile, Transfer

_TAIL: Final = 1 << 16
"""Bytes at a file's end that are fetched first: footers of files of up to some hundred row groups."""
_BATCH_BYTES: Final = 8 << 20
"""Text in one batch of rows."""
_MAGIC: Final = b"PAR1"
_transfer: Transfer | None = None


@dataclass(frozen=True)
class RowGroup:
    """One row group, and what of it is fetched."""

    number: int
    first_row: int
    rows: int
    text: int
    """Bytes of the text column, decompressed."""
    ranges: tuple[Range, ...]
    """Where the needed columns are."""

    @property
    def lying(self) -> int:
        """Bytes of the needed columns, as they lie."""
        return sum(stop - first for first, stop in self.ranges)


@dataclass(frozen=True)
class HubParquet:
    """A Parquet file of the hub with its footer."""

    file: HubFile
    kept: KeptFile
    groups: tuple[RowGroup, ...]
    metadata: pq.FileMetaData = field(repr=False, compare=False)

    def fetch(self, first: int, last: int) -> int:
        """Fetch row groups that are not kept yet; returns the bytes that came. Raises SourceError."""
        ranges = [wanted for group in self.groups[first:last] for wanted in group.ranges]
        return fetch_ranges(transfer(), self.file, self.kept, ranges)

    def tables(self, first: int, last: int, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """The rows of row groups, in order, each table with the number of its first row. Fetches what is not kept.

        Raises:
            SourceError: the file cannot be read, or is damaged on the hub.
        """
        self.fetch(first, last)
        for group in self.groups[first:last]:
            done = 0
            for attempt in range(2):
                self.fetch(group.number, group.number + 1)  # also what another process has removed from a full cache
                try:
                    for table in self._batches(group, columns, done):
                        yield group.first_row + done, table
                        done += table.num_rows
                    break
                except FileNotFoundError as error:
                    if attempt:
                        raise SourceError(
                            f"{error.filename} was removed while it was read: raise `curation.hub_cache_bytes`"
                        ) from error
                except (pa.ArrowException, OSError) as error:
                    self.kept.forget(group.ranges)
                    if attempt:
                        raise SourceError(
                            f"row group {group.number} of {self.file} is damaged on the hub: it was fetched twice and "
                            f"cannot be decoded ({error}); take another `revision`"
                        ) from error

    def _batches(self, group: RowGroup, columns: Sequence[str], done: int) -> Iterator[pa.Table]:
        rows = max(1, group.rows * _BATCH_BYTES // max(group.text, _BATCH_BYTES))
        how: Any = {"metadata": self.metadata, "buffer_size": 1 << 20}
        with self.kept.open(group.ranges) as source, pq.ParquetFile(source, **how) as file:
            streams = self._streams(group, source, columns)
            if streams:
                batches = _streamed(file, group, streams, columns, rows)
            else:
                batches = file.iter_batches(rows, [group.number], columns=list(columns), use_threads=False)
            for batch in batches:
                if done >= batch.num_rows:
                    done -= batch.num_rows
                    continue
                yield pa.Table.from_batches([batch.slice(done)])
                done = 0

    def _streams(self, group: RowGroup, source: BinaryIO, columns: Sequence[str]) -> dict[str, Iterator[bytes | None]]:
        """Values of those columns whose pages are too large for Arrow, by name."""
        of_group, streams = self.metadata.row_group(group.number), {}
        for place in range(of_group.num_columns):
            column = of_group.column(place)
            if column.path_in_schema in columns and has_large_page(source, column):
                optional = self.metadata.schema.column(place).max_definition_level > 0
                with suppress(NotStreamableError):
                    streams[column.path_in_schema] = values_of(source, column, optional=optional)
        return streams


def _streamed(
    file: pq.ParquetFile,
    group: RowGroup,
    streams: Mapping[str, Iterator[bytes | None]],
    columns: Sequence[str],
    rows: int,
) -> Iterator[pa.RecordBatch]:
    """Batches of a row group some columns of which are streams; Arrow reads the others, which are small."""
    others = [name for name in columns if name not in streams]
    small = file.read_row_group(group.number, columns=others, use_threads=False)
    for first in range(0, group.rows, rows):
        count = min(rows, group.rows - first)
        arrays = {
            # as Arrow does, bytes that are no UTF-8 pass here, and cost their row later
            name: pa.array(islice(values, count), pa.binary()).view(pa.string())
            for name, values in streams.items()
        }
        arrays |= {name: small.column(name).slice(first, count).combine_chunks() for name in others}
        yield pa.RecordBatch.from_pydict({name: arrays[name] for name in columns})


def transfer() -> Transfer:
    """The transfers of this process, which remember where files are."""
    global _transfer
    if _transfer is None:
        _transfer = Transfer()
    return _transfer


@lru_cache(maxsize=64)
def open_parquet(file: HubFile, columns: tuple[str, ...], text: str, cache: Path) -> HubParquet:
    """A file with its row groups, by its footer, which is fetched if it is not kept. text: the column of text.

    Raises:
        SourceError: the file cannot be read, is no Parquet file, or has not the columns.
    """
    size = _size_of(file, cache)
    kept = KeptFile.of(cache, file, size)
    for attempt in range(2):
        try:
            metadata = _footer(file, kept)
            break
        except (pa.ArrowException, OSError) as error:  # kept as a disk or a proxy damaged it: once more
            kept.forget(_tails(kept, _TAIL))
            if attempt:
                raise SourceError(f"{file} is no Parquet file, or is cut off: take another `revision`") from error
    return HubParquet(file, kept, tuple(_groups(metadata, file, columns, text)), metadata)


def _size_of(file: HubFile, cache: Path) -> int:
    """Bytes of the file, as the hub said once."""
    record = KeptFile.of(cache, file, 0).folder / "size"
    try:
        return int(record.read_text(encoding="ascii"))
    except (OSError, ValueError):
        size = transfer().size(file)
        write_text(record, f"{size}\n")
        return size


def _footer(file: HubFile, kept: KeptFile) -> pq.FileMetaData:
    """What the file's footer says. Raises what Arrow raises where it is none."""
    (tail,) = _tails(kept, _TAIL)
    fetch_ranges(transfer(), file, kept, [tail])
    end = kept.read(tail)[-8:]
    length = int.from_bytes(end[:4], "little") + 8
    if end[4:] == _MAGIC and length > tail[1] - tail[0]:
        (tail,) = _tails(kept, length)
        fetch_ranges(transfer(), file, kept, [tail])
    with kept.open([tail]) as source:
        return pq.read_metadata(source)


def _tails(kept: KeptFile, length: int) -> list[Range]:
    return [(max(0, kept.size - length), kept.size)]


def column_bytes(group: pq.RowGroupMetaData, name: str) -> int:
    """Bytes of a row group's column, decompressed."""
    columns = (group.column(number) for number in range(group.num_columns))
    return sum(max(0, column.total_uncompressed_size) for column in columns if column.path_in_schema == name)


def _groups(metadata: pq.FileMetaData, file: HubFile, columns: Sequence[str], text: str) -> Iterator[RowGroup]:
    there = metadata.schema.to_arrow_schema().names
    missing = [name for name in columns if name not in there]
    if missing:
        raise SourceError(
            f"data set {file.dataset} has no column {missing[0]!r}; it has {', '.join(there)}. Set the source's "
            "`text_field`, `group_field` or `lang_field`."
        )
    row = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        ranges = []
        for place in range(group.num_columns):
            column = group.column(place)
            name = column.path_in_schema.split(".")[0]
            if name in columns:
                first = column.data_page_offset
                if column.has_dictionary_page and column.dictionary_page_offset is not None:
                    first = min(first, column.dictionary_page_offset)
                ranges.append((first, first + column.total_compressed_size))
        yield RowGroup(number, row, group.num_rows, column_bytes(group, text), tuple(sorted(ranges)))
        row += group.num_rows
