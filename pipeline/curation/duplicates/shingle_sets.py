"""Documents' sets of word 5-grams on disk, and the exact Jaccard similarity of pairs of them.

Sets are written by any number of processes, a file a part, and read with `pread`, so that neither writing nor
comparing them needs memory that grows with the text.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.base.executor import Executor
from pipeline.base.files import whole_path
from pipeline.curation.signals.minhash import SHINGLE_WORDS
from pipeline.curation.tables import iter_file
from pipeline.curation.text.words import shingles, word_hashes

_CHUNK: Final = 20_000
"""Pairs compared by a process at a time: about a second."""


def text_sets(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The sets of word 5-grams of texts, sorted, one after the other (uint64), and their offsets."""
    return shingles(*word_hashes(texts), SHINGLE_WORDS)


def write_sets(part: Path, wanted: np.ndarray, path: Path) -> np.ndarray:
    """Write the sets of a part's wanted rows (bool [N]) to a file; returns their sizes, int64 [wanted]."""
    sizes = [np.empty(0, dtype=np.int64)]
    first = 0
    with whole_path(path, sync=False) as unfinished, unfinished.open("wb") as file:
        for batch in iter_file(part, ("text",)):
            rows = np.flatnonzero(wanted[first : first + batch.num_rows])
            first += batch.num_rows
            if len(rows):
                values, offsets = text_sets(batch.column("text").take(pa.array(rows)).to_pylist())
                file.write(values.tobytes())
                sizes.append(np.diff(offsets))
    return np.concatenate(sizes)


class SetStore:
    """The sets of some documents: of each its file, where it begins there and how many elements it has."""

    def __init__(self, documents: int) -> None:
        self._paths: list[Path] = []
        self._slot = np.full(documents, -1, dtype=np.int32)
        self._file = [np.empty(0, dtype=np.int32)]
        self._start = [np.empty(0, dtype=np.int64)]
        self._size = [np.empty(0, dtype=np.int32)]
        self._count = 0

    def add(self, path: Path, numbers: np.ndarray, sizes: np.ndarray) -> None:
        """The file holds the sets of these documents, one after the other."""
        self._slot[numbers] = np.arange(self._count, self._count + len(numbers))
        self._count += len(numbers)
        self._file.append(np.full(len(numbers), len(self._paths), dtype=np.int32))
        self._start.append(np.cumsum(sizes) - sizes)
        self._size.append(sizes.astype(np.int32))
        self._paths.append(path)

    def holds(self, numbers: np.ndarray) -> np.ndarray:
        """Which documents' sets are there, bool."""
        return self._slot[numbers] >= 0

    def similar(self, pairs: np.ndarray, similarity: float, executor: Executor) -> np.ndarray:
        """Those pairs (int64 [M, 2]) whose Jaccard similarity is at least `similarity`."""
        for name in ("_file", "_start", "_size"):
            columns = getattr(self, name)
            if len(columns) > 1:
                setattr(self, name, [np.concatenate(columns)])
        slots = self._slot[pairs]
        sizes = self._size[0][slots]
        small, large = sizes.min(axis=1, initial=1 << 30), sizes.max(axis=1, initial=0)
        likely = np.flatnonzero((small > 0) & (small >= np.floor(similarity * large)))
        tasks = []
        for begin in range(0, len(likely), _CHUNK):
            some = slots[likely[begin : begin + _CHUNK]]
            tasks.append((self._paths, self._file[0][some], self._start[0][some], self._size[0][some], similarity))
        verdicts = [np.empty(0, dtype=bool), *executor.map(compare, tasks, worth=len(likely) > 4 * _CHUNK)]
        return pairs[likely[np.concatenate(verdicts)]]


def compare(
    paths: list[Path], files: np.ndarray, starts: np.ndarray, sizes: np.ndarray, similarity: float
) -> np.ndarray:
    """Whether each pair of sets, given as int [M, 2] files, starts and sizes, is similar enough, bool [M]."""
    handles = {number: os.open(paths[number], os.O_RDONLY) for number in np.unique(files).tolist()}
    try:
        result = np.zeros(len(files), dtype=bool)
        for row, (file, start, size) in enumerate(zip(files.tolist(), starts.tolist(), sizes.tolist(), strict=True)):
            both = np.concatenate([_read(handles[f], s, n) for f, s, n in zip(file, start, size, strict=True)])
            both.sort()
            shared = int((both[1:] == both[:-1]).sum())
            result[row] = shared / (len(both) - shared) >= similarity
        return result
    finally:
        for handle in handles.values():
            os.close(handle)


def _read(handle: int, start: int, size: int) -> np.ndarray:
    return np.frombuffer(os.pread(handle, size * 8, start * 8), dtype=np.uint64)
