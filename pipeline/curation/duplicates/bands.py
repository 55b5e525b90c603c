"""Candidate pairs of near duplicates by locality-sensitive hashing, and the clusters that verified pairs make.

MinHash signatures (Broder 1997) are cut into bands; documents that agree on a whole band are candidates. With 14 bands
of 8 rows, as FineWeb, a pair with Jaccard similarity s becomes one with probability 1 - (1 - s^8)^14, 0.924 at 0.8.
Documents are numbered by their doc_id, so nothing depends on the order of the input. The bands lie on disk and are
read in partitions of a bounded number of keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from pipeline.base.ids import GAMMA, splitmix64

_LARGE_BUCKET: Final = 1024
"""In a larger bucket each document is compared with that many of the lowest numbers instead of with all."""
_PARTITION: Final = 2_000_000
"""Keys of a band that are sorted at a time: about 80 MB."""
_READ: Final = 1 << 20


def band_keys(signatures: np.ndarray, bands: int) -> np.ndarray:
    """One hash a band: uint32 [N, P] signatures give uint64 [bands, N]; P // bands rows make a band."""
    rows = signatures.shape[1] // bands
    values = signatures.astype(np.uint64)
    keys = np.zeros((bands, len(signatures)), dtype=np.uint64)
    for band in range(bands):
        for row in range(band * rows, (band + 1) * rows):
            keys[band] = splitmix64(keys[band] * GAMMA + values[:, row])
    return keys


def partition_of(hashes: np.ndarray, partitions: int) -> np.ndarray:
    """Which of `partitions` equal ranges each uint64 hash falls into."""
    return ((hashes >> np.uint64(32)) * np.uint64(partitions)) >> np.uint64(32)


def read_partition(
    path: Path, kind: np.dtype, field: str | None, part: int, parts: int
) -> tuple[np.ndarray, np.ndarray]:
    """The records of a file whose hash (the record, or its `field`) falls into a partition, and their places."""
    found, places, first = [np.empty(0, dtype=kind)], [np.empty(0, dtype=np.int64)], 0
    with path.open("rb") as file:
        while len(records := np.fromfile(file, dtype=kind, count=_READ)):
            inside = np.flatnonzero(partition_of(records[field] if field else records, parts) == part)
            found.append(records[inside])
            places.append(inside + first)
            first += len(records)
    return np.concatenate(found), np.concatenate(places)


@dataclass(frozen=True)
class Buckets:
    """Documents that share a key: bucket i has members[starts[i] : starts[i] + sizes[i]], ascending, two or more."""

    members: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray

    def within(self) -> np.ndarray:
        """0, 1, 2 ... for the members of each bucket, one bucket after the other."""
        return np.arange(self.sizes.sum()) - np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes)

    def rounds(self) -> Iterator[np.ndarray]:
        """Pairs (int64 [M, 2]) in rounds: each bucket's lowest member with the rest, then its second lowest, and on."""
        for turn in range(min(int(self.sizes.max(initial=0)) - 1, _LARGE_BUCKET)):
            some = self.sizes > turn + 1
            first = self.starts[some] + turn
            counts = self.sizes[some] - turn - 1
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            yield np.stack(
                [self.members[np.repeat(first, counts)], self.members[np.repeat(first, counts) + 1 + within]], axis=1
            )


class BandFiles:
    """The bands' keys of N documents, a file each, in the order they were added."""

    def __init__(self, folder: Path, bands: int) -> None:
        self._bands = bands
        self.paths = [folder / f"band-{band:02d}" for band in range(bands)]
        self._files: list[BinaryIO] = [path.open("wb") for path in self.paths]
        self._numbers: list[np.ndarray] = []

    def add(self, signatures: np.ndarray, numbers: np.ndarray) -> None:
        """Append documents with these signatures (uint32 [N, P]) and numbers; those without words match nothing."""
        usable = (signatures != signatures.max(initial=0)).any(axis=1)
        self._numbers.append(numbers[usable].astype(np.int32))
        for file, keys in zip(self._files, band_keys(signatures[usable], self._bands), strict=True):
            file.write(keys.tobytes())

    def finish(self) -> None:
        """No more documents come."""
        for file in self._files:
            file.close()
        self._numbers = [np.concatenate([np.empty(0, dtype=np.int32), *self._numbers])]

    def buckets(self) -> Iterator[Buckets]:
        """The buckets of every band, a partition at a time."""
        numbers = self._numbers[0]
        partitions = len(numbers) // _PARTITION + 1
        for path in self.paths:
            for part in range(partitions):
                keys, places = read_partition(path, np.dtype(np.uint64), None, part, partitions)
                members = numbers[places]
                order = np.lexsort((members, keys))
                keys = keys[order]
                starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
                sizes = np.diff(np.append(starts, len(keys)))
                yield Buckets(members[order].astype(np.int64), starts[sizes > 1], sizes[sizes > 1])


class Clusters:
    """Connected components of documents 0 .. N - 1; a component's root is its lowest number."""

    def __init__(self, count: int) -> None:
        self.roots = np.arange(count, dtype=np.int32)

    def find(self, numbers: np.ndarray) -> np.ndarray:
        """Roots of documents, int32 of the same shape."""
        found = self.roots[numbers]
        while True:
            above = self.roots[found]
            if (above == found).all():
                self.roots[numbers] = found
                return found
            found = above

    def apart(self, pairs: np.ndarray) -> np.ndarray:
        """Those pairs (int64 [M, 2]) that are not in one component yet."""
        return pairs[self.find(pairs[:, 0]) != self.find(pairs[:, 1])]

    def join(self, pairs: np.ndarray) -> None:
        """Make each pair's components one."""
        for first, second in pairs.tolist():
            low, high = sorted((self._root(first), self._root(second)))
            self.roots[high] = low

    def finish(self) -> np.ndarray:
        """The root of every document, int32 [N]."""
        for start in range(0, len(self.roots), _READ):
            self.find(np.arange(start, min(start + _READ, len(self.roots))))
        return self.roots

    def _root(self, node: int) -> int:
        while (above := int(self.roots[node])) != node:
            self.roots[node] = self.roots[above]
            node = above
        return node
