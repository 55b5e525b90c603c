"""Every document of every corpus as arrays, which is all that finding duplicates holds in memory: 30 bytes each.

In: the folders of documents and held-out documents. Out: `DocumentRows`. Documents are numbered by their ids, equal
texts alike, so nothing that is worked out from numbers depends on the order of the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.base.parquet import read_metadata
from pipeline.curation.doc_ids import contains_ids, find_ids, ids_of
from pipeline.curation.heldout import heldout_file, heldout_ids
from pipeline.curation.tables import iter_file, parts

_BLOCK: Final = 1 << 18


@dataclass(frozen=True)
class PartRows:
    """A part of some corpus's documents, and which rows of all documents it holds: [start, stop)."""

    path: Path
    start: int
    stop: int


@dataclass(frozen=True)
class DocumentRows:
    """Every document of every corpus, N in all, D distinct texts, numbered in the order of their doc_ids."""

    corpora: list[str]
    starts: np.ndarray
    """int64 [corpora + 1], the first row of each corpus"""
    parts: list[PartRows]
    ids: np.ndarray
    """uint64 [N, 2]"""
    size: np.ndarray
    """uint32 [N], bytes"""
    held_out: np.ndarray
    """bool [N], has the text of a held-out document"""
    number: np.ndarray
    """int32 [N]"""
    first_copy: np.ndarray
    """bool [N], the first row with its text"""
    heldout: list[tuple[Path, np.ndarray]]
    """The file of each corpus's held-out documents and their numbers"""
    distinct: int

    @property
    def bytes(self) -> int:
        return int(self.size.sum(dtype=np.int64))

    def corpus(self, rows: np.ndarray) -> np.ndarray:
        """Which corpus each row is of."""
        return np.searchsorted(self.starts, rows, side="right") - 1


def load_rows(documents: Mapping[str, Path], heldout: Mapping[str, Path]) -> DocumentRows:
    """Read ids and sizes, number the distinct texts, and find the held-out ones.

    Args:
        documents, heldout: folders of the assets before, by corpus, in the profile's order.
    """
    part_rows: list[PartRows] = []
    starts = [0]
    for folder in documents.values():
        for path in parts(folder):
            start = part_rows[-1].stop if part_rows else 0
            part_rows.append(PartRows(path, start, start + read_metadata(path).num_rows))
        starts.append(part_rows[-1].stop)
    total = starts[-1]
    ids, size = np.empty((total, 2), dtype=np.uint64), np.empty(total, dtype=np.uint32)
    row = 0
    for part in part_rows:
        for batch in iter_file(part.path, ("doc_id", "bytes")):
            ids[row : row + batch.num_rows] = ids_of(batch)
            size[row : row + batch.num_rows] = batch.column("bytes").to_numpy()
            row += batch.num_rows
    order: np.ndarray = np.lexsort((ids[:, 1], ids[:, 0]))
    new = np.ones(total, dtype=bool)
    for begin in range(1, total, _BLOCK):
        some = ids[order[begin - 1 : begin + _BLOCK]]
        new[begin : begin + _BLOCK] = (some[1:] != some[:-1]).any(axis=1)
    number, first_copy = np.empty(total, dtype=np.int32), np.zeros(total, dtype=bool)
    number[order] = np.cumsum(new, dtype=np.int32) - 1
    first_copy[order[new]] = True  # lexsort is stable: of equal texts the lowest row
    held_out = np.zeros(total, dtype=bool)
    numbers_of_heldout = []
    for place, corpus in enumerate(documents):
        wanted = heldout_ids(heldout[corpus])
        rows = slice(starts[place], starts[place + 1])
        held_out[rows] = contains_ids(ids[rows], wanted)
        some = np.flatnonzero(held_out[rows]) + starts[place]
        numbers_of_heldout.append((heldout_file(heldout[corpus]), number[some[find_ids(ids[some], wanted)]]))
    return DocumentRows(
        corpora=list(documents),
        starts=np.array(starts),
        parts=part_rows,
        ids=ids,
        size=size,
        held_out=held_out,
        number=number,
        first_copy=first_copy,
        heldout=numbers_of_heldout,
        distinct=int(new.sum()),
    )
