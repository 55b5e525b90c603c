"""What the documents of corpora read of the hub, fetched before they are built: known to the byte, and gone on with.

In: settings of corpora and a cache. Out: for each source the files, bytes and requests that are left, and the bytes
themselves in the cache, where a build finds them. A dry run asks for footers alone. The same row groups are fetched as
a build would fetch, by the same code, so a build after it asks the hub for nothing.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.base.errors import DiskFullError, SourceError
from pipeline.base.executor import Executor
from pipeline.base.numbers import size as size_of
from pipeline.base.progress import Progress
from pipeline.curation.documents import at_commits
from pipeline.curation.settings import DocumentsSettings
from pipeline.curation.sources.unit import Unit
from pipeline.curation.sources.unit_listing import list_units

log = logging.getLogger(__name__)
SPARE: Final = 1 << 30
"""Bytes of the disk that are left free: others write to it too."""


@dataclass(frozen=True)
class SourceToFetch:
    """A hub source of a corpus, and what of it is not here."""

    corpus: str
    source: str
    """Data set and configuration."""
    commit: str
    files: int
    """Files that row groups are read from."""
    text: int | None
    """Bytes of text in these row groups; None of a data set without Parquet files, which is streamed when read."""
    bytes: int
    """Bytes of the needed columns, as they lie."""
    missing: int
    """Of those, what is still to be fetched."""
    requests: int
    """Requests to the hub that this takes in one process: one for each file of which something is missing."""
    units: tuple[Unit, ...]


def to_fetch(corpora: Mapping[str, DocumentsSettings], cache: Path) -> list[SourceToFetch]:
    """What the corpora read of the hub. Footers of the files are fetched for it.

    Raises:
        SourceError: a data set, revision, configuration or column is not there, or the hub cannot be reached.
    """
    return [
        _source_of(name, list_units([source], cache).units)
        for name, settings in corpora.items()
        for source in at_commits(settings, cache).sources
        if source.hub is not None
    ]


def _source_of(corpus: str, units: Sequence[Unit]) -> SourceToFetch:
    dataset = next(unit.hub.dataset for unit in units if unit.hub is not None)
    of_parquet = [unit for unit in units if unit.hub is not None and unit.hub.file is not None]
    missing = {unit: _missing(unit) for unit in of_parquet}
    files = {unit.hub.file for unit in of_parquet if unit.hub is not None}
    asked = {unit.hub.file for unit in of_parquet if unit.hub is not None and missing[unit]}
    return SourceToFetch(
        corpus=corpus,
        source=dataset.id if dataset.config is None else f"{dataset.id} ({dataset.config})",
        commit=dataset.revision,
        files=len(files) or len(units),
        text=sum(unit.text or 0 for unit in of_parquet) if of_parquet else None,
        bytes=sum(unit.size or 0 for unit in of_parquet),
        missing=sum(missing.values()),
        requests=len(asked),
        units=tuple(unit for unit in of_parquet if missing[unit]),
    )


def _missing(unit: Unit) -> int:
    if unit.hub is None:
        return 0
    file = unit.hub.parquet(unit.source)
    ranges = [wanted for group in file.groups[unit.first : unit.last] for wanted in group.ranges]
    return sum(stop - first for first, stop in file.kept.missing(ranges))


def fetch(sources: Iterable[SourceToFetch], cache: Path, executor: Executor, *, most: int | None = None) -> int:
    """Fetch what is missing; returns the bytes that came. After a kill the same call goes on.

    most: bytes that the cache may hold, beyond which a build would remove what was fetched before it is read.

    Raises:
        DiskFullError: there is not as much room, before anything is fetched.
        SourceError: the cache may not hold as much, or the hub cannot be reached.
    """
    sources = list(sources)
    whole, missing = sum(item.bytes for item in sources), sum(item.missing for item in sources)
    if most is not None and whole > most:
        raise SourceError(
            f"what is fetched is {size_of(whole)}, and the cache keeps {size_of(most)}: set "
            f"`curation.hub_cache_bytes: {whole + SPARE:_}` in the profile, or fetch it `--into` a folder"
        )
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if missing + SPARE > free:
        raise DiskFullError(
            f"{size_of(missing)} are to be fetched into {cache}, where {size_of(free)} are free: make room, or lower "
            "`maximum_bytes` of sources"
        )
    units = [unit for item in sources for unit in item.units]
    progress = Progress(log, "fetched", size=missing)
    came = 0
    for size in executor.map(fetch_unit, [(unit,) for unit in units], ordered=False):
        progress.add(0, size)
        came += size
    if units:
        progress.finish()
    return came


def fetch_unit(unit: Unit) -> int:
    """Fetch what is missing of one unit of a hub data set; returns the bytes that came."""
    if unit.hub is None:
        return 0
    file = unit.hub.parquet(unit.source)
    return file.fetch(unit.first, len(file.groups) if unit.last is None else unit.last)
