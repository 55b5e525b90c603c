"""How often a pass over a corpus reads each document: by the size of the cluster of near duplicates that it stands for.

In: the clusters and, by corpus, a table from sizes to times. Out: the documents that are read more than once a pass,
beside the schedule. What has many copies on the web was worth copying, up to a point: FineWeb-2 repeats what it kept of
a cluster by such a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.base.arrow import fixed_bytes
from pipeline.base.errors import ShardError
from pipeline.base.ids import id64
from pipeline.base.parquet import read_table
from pipeline.curation.tables import CLUSTERS_FILE
from pipeline.sharding.beside import read_beside, write_beside
from pipeline.sharding.settings import ScheduleSettings

COPIES: Final = "copies"


@dataclass(frozen=True)
class CopiesRow:
    """Documents of a corpus that a pass reads so often."""

    source: str
    """The corpus."""
    times: int
    documents: int
    tokens: int
    """Of one copy of each."""


def beside_of(schedule: Path, corpus: str) -> Path:
    """Where a schedule keeps what it knows of a corpus's documents."""
    return schedule / "documents" / corpus


def write_copies(
    settings: ScheduleSettings, corpora: Mapping[str, Path], near_duplicates: Path | None, out: Path
) -> dict[str, str]:
    """Write, for each corpus with a table, how often a pass reads its documents; their hashes by corpus.

    corpora: those of the schedule; near_duplicates: folder of this asset. Raises `ShardError` where there is a table
    and no clusters.
    """
    tables = {name: table for name, table in settings.repeats_by_cluster.items() if name in corpora}
    if not tables:
        return {}
    if near_duplicates is None:
        raise ShardError("schedule.repeats_by_cluster: there are no clusters of near duplicates to go by")
    clusters = read_table(near_duplicates / CLUSTERS_FILE, columns=["doc_id", "size"]).combine_chunks()
    ids, sizes = np.empty(0, np.uint64), np.empty(0, np.uint32)
    if clusters.num_rows:
        ids = id64(fixed_bytes(clusters.column("doc_id").chunk(0)))
        sizes = clusters.column("size").to_numpy()
    hashes = {}
    for name, table in sorted(tables.items()):
        times = times_of(table, sizes)
        often = times != 1
        hashes[name] = write_beside(beside_of(out, name), COPIES, ids[often], times[often])
    return hashes


def times_of(table: Mapping[str, int], sizes: np.ndarray) -> np.ndarray:
    """How often documents of clusters of these sizes are read, uint8 [n]: as the greatest size of the table says that
    is not above theirs; once below all of them."""
    limits = sorted((int(size), times) for size, times in table.items())
    starts = np.array([0, *(size for size, _ in limits)])
    times = np.array([1, *(times for _, times in limits)], dtype=np.uint8)
    return times[np.searchsorted(starts, sizes, side="right") - 1]


def copies_of(folder: Path, ids: np.ndarray) -> np.ndarray:
    """How often a pass reads each document of a corpus with a table (ids: uint64 [n]), int64 [n]."""
    return read_beside(folder, COPIES, ids, 1).astype(np.int64)
