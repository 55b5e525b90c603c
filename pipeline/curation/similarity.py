"""Candidate pairs of near duplicates, and their exact similarity.

Two ways to candidates. Locality-sensitive hashing over MinHash signatures (Broder 1997; 14 bands of 8 rows as FineWeb:
a pair with Jaccard similarity s becomes a candidate with probability 1 - (1 - s^8)^14, 0.924 at 0.8). And an exact join
for held-out documents, where missing one would leak it into training: two sets with similarity t or more share one of
their first |S| - ceil(t |S|) + 1 elements in any common order (Chaudhuri et al. 2006), here the order of the hashes.
Documents are numbered by their doc_id, so nothing depends on the order of the input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.curation.words import mix

_LARGE_BUCKET = 64
"""A larger bucket compares each document with that many of the lowest ids instead of all with all."""
_ODD = np.uint64(0x9E3779B97F4A7C15)


def band_keys(signatures: np.ndarray, bands: int) -> np.ndarray:
    """One hash a band: uint32 [N, P] signatures give uint64 [bands, N]; P // bands rows make a band."""
    rows = signatures.shape[1] // bands
    values = signatures.astype(np.uint64)
    keys = np.zeros((bands, len(signatures)), dtype=np.uint64)
    for band in range(bands):
        for row in range(band * rows, (band + 1) * rows):
            keys[band] = mix(keys[band] * _ODD + values[:, row])
    return keys


def bucket_pairs(keys: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Pairs (i < j, int64 [M, 2]) of the usable documents that share a band's key (uint64 [N])."""
    order = usable[np.argsort(keys[usable], kind="stable")]
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sizes = np.diff(np.append(starts, len(order)))
    pairs: list[np.ndarray] = []
    for size in np.unique(sizes[sizes > 1]).tolist():
        places = starts[sizes == size][:, None] + np.arange(size)
        members = order[places]
        first, second = np.triu_indices(size, 1)
        if size > _LARGE_BUCKET:
            near = first < _LARGE_BUCKET
            first, second = first[near], second[near]
        pairs.append(np.stack([members[:, first].ravel(), members[:, second].ravel()], axis=1))
    return np.concatenate(pairs) if pairs else np.empty((0, 2), dtype=np.int64)


def prefix_lengths(sizes: np.ndarray, similarity: float) -> np.ndarray:
    """How many of each set's first elements a similar set must share one of."""
    return np.where(sizes > 0, sizes - np.ceil(similarity * sizes - 1e-9).astype(np.int64) + 1, 0)


class HeldoutIndex:
    """Prefixes of the held-out documents' sets, to find every document that is similar to one."""

    def __init__(self, numbers: list[int], sets: list[np.ndarray], similarity: float) -> None:
        self._similarity = similarity
        lengths = prefix_lengths(np.array([len(values) for values in sets], dtype=np.int64), similarity)
        prefixes = [values[:length] for values, length in zip(sets, lengths, strict=True)]
        hashes = np.concatenate(prefixes) if prefixes else np.empty(0, dtype=np.uint64)
        owners = np.repeat(np.array(numbers, dtype=np.int64), lengths)
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._owners = hashes[order], owners[order]

    def pairs(self, numbers: np.ndarray, values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Candidates (i < j) among documents with these sets (`values` cut at `offsets`) and the held-out ones."""
        sizes = np.diff(offsets)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        prefix = np.arange(len(values)) - offsets[owner] < prefix_lengths(sizes, self._similarity)[owner]
        values, owner = values[prefix], owner[prefix]
        low = np.searchsorted(self._hashes, values, side="left")
        counts = np.searchsorted(self._hashes, values, side="right") - low
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        held = self._owners[np.repeat(low, counts) + within]
        mine = numbers[np.repeat(owner, counts)]
        pairs = np.stack([np.minimum(mine, held), np.maximum(mine, held)], axis=1)
        return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


class SetStore:
    """Sets of hashes by document number, on disk, so that verifying needs no memory for them."""

    def __init__(self, path: Path, numbers: np.ndarray) -> None:
        self._path = path
        self._slot = {int(number): slot for slot, number in enumerate(numbers)}
        self._starts = np.zeros(len(numbers), dtype=np.int64)
        self._sizes = np.full(len(numbers), -1, dtype=np.int64)
        self._file = path.open("wb")
        self._end = 0
        self._data: np.ndarray | None = None

    def wants(self, number: int) -> bool:
        """Whether this document's set is needed and not there yet."""
        slot = self._slot.get(number)
        return slot is not None and self._sizes[slot] < 0

    def add(self, number: int, values: np.ndarray) -> None:
        """Store the sorted set of a document."""
        slot = self._slot[number]
        self._starts[slot], self._sizes[slot] = self._end, len(values)
        self._file.write(values.tobytes())
        self._end += len(values)

    def __getitem__(self, number: int) -> np.ndarray:
        if self._data is None:
            self._file.close()
            self._data = np.memmap(self._path, dtype=np.uint64, mode="r") if self._end else np.empty(0, dtype=np.uint64)
        slot = self._slot[number]
        start = self._starts[slot]
        return self._data[start : start + self._sizes[slot]]

    def size(self, number: int) -> int:
        """Elements of a document's set."""
        return int(self._sizes[self._slot[number]])

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
        self._data = None
        self._path.unlink(missing_ok=True)


def similar_pairs(pairs: np.ndarray, sets: SetStore, similarity: float) -> Iterator[tuple[int, int, float]]:
    """The pairs whose Jaccard similarity is at least `similarity`, with it."""
    for first, second in pairs.tolist():
        small, large = sorted((sets.size(first), sets.size(second)))
        if small == 0 or small < math.floor(similarity * large):
            continue
        shared = len(np.intersect1d(sets[first], sets[second], assume_unique=True))
        jaccard = shared / (small + large - shared)
        if jaccard >= similarity:
            yield first, second, jaccard


def components(count: int, edges: list[tuple[int, int]]) -> np.ndarray:
    """The lowest document number of each document's connected component, int64 [count]."""
    root = np.arange(count, dtype=np.int64)

    def find(node: int) -> int:
        while root[node] != node:
            root[node] = root[root[node]]
            node = int(root[node])
        return node

    for first, second in edges:
        low, high = sorted((find(first), find(second)))
        root[high] = low
    while True:
        above = root[root]
        if (above == root).all():
            return root
        root = above
