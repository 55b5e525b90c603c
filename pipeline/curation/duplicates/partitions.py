"""Files of hashes read in partitions: a bounded number of records at a time, all with equal hashes among them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

_READ: Final = 1 << 20
"""Records read at a time."""


def partition_of(hashes: np.ndarray, partitions: int) -> np.ndarray:
    """Which of `partitions` equal ranges each uint64 hash falls into."""
    return ((hashes >> np.uint64(32)) * np.uint64(partitions)) >> np.uint64(32)


def read_partition(
    path: Path, kind: np.dtype, field: str | None, partition: int, partitions: int
) -> tuple[np.ndarray, np.ndarray]:
    """The records of a file whose hash (the record, or its `field`) falls into a partition, and their places."""
    records, places, start = [np.empty(0, dtype=kind)], [np.empty(0, dtype=np.int64)], 0
    with path.open("rb") as file:
        while len(some := np.fromfile(file, dtype=kind, count=_READ)):
            inside = np.flatnonzero(partition_of(some[field] if field else some, partitions) == partition)
            records.append(some[inside])
            places.append(inside + start)
            start += len(some)
    return np.concatenate(records), np.concatenate(places)
