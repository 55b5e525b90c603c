"""Candidate pairs of near duplicates by locality-sensitive hashing.

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
from pipeline.curation.duplicates.partitions import read_partition

_LARGE_BUCKET: Final = 1024
"""In a larger bucket each document is compared with that many of the lowest numbers instead of with all."""
_PARTITION: Final = 2_000_000
"""Keys of a band that are sorted at a time: about 80 MB."""


def band_keys(signatures: np.ndarray, bands: int) -> np.ndarray:
    """One hash a band: uint32 [N, P] signatures give uint64 [bands, N]; P // bands rows make a band."""
    rows = signatures.shape[1] // bands
    values = signatures.astype(np.uint64)
    keys = np.zeros((bands, len(signatures)), dtype=np.uint64)
    for band in range(bands):
        for row in range(band * rows, (band + 1) * rows):
            keys[band] = splitmix64(keys[band] * GAMMA + values[:, row])
    return keys


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
            for partition in range(partitions):
                keys, places = read_partition(path, np.dtype(np.uint64), None, partition, partitions)
                members = numbers[places]
                order = np.lexsort((members, keys))
                keys = keys[order]
                starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
                sizes = np.diff(np.append(starts, len(keys)))
                yield Buckets(members[order].astype(np.int64), starts[sizes > 1], sizes[sizes > 1])
