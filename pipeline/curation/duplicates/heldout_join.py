"""Every pair of a held-out document and any other that may be similar: an exact join, where hashing would miss some.

Missing one would leak held-out text into training. Two sets with Jaccard similarity t or more share one of their
first |S| - ceil(t |S|) + 1 elements in any common order (Chaudhuri et al. 2006), here the order of the hashes. The
prefixes of held-out sets are spread into a bitmap; of all other sets only the prefix elements that the bitmap
knows are written down, and both are joined in partitions of a bounded size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.base.files import whole_path
from pipeline.curation.duplicates.partitions import read_partition
from pipeline.curation.duplicates.shingle_sets import text_sets
from pipeline.curation.tables import iter_file

ENTRY: Final = np.dtype([("hash", "<u8"), ("number", "<i4")])
"""An element of a document's prefix."""
_PARTITION: Final = 2_000_000
"""Entries joined at a time: about 60 MB."""
_PAIRS: Final = 1_000_000
"""Pairs made at a time."""
_LARGEST_BITMAP: Final = 1 << 26
"""Bytes of the bitmap: 64 MB keep false hits under a tenth up to 50 million entries, 10 GB of text at 5%."""


def prefix_lengths(sizes: np.ndarray, similarity: float) -> np.ndarray:
    """How many of each set's first elements a similar set must share one of."""
    return np.where(sizes > 0, sizes - np.ceil(similarity * sizes - 1e-9).astype(np.int64) + 1, 0)


def prefixes(values: np.ndarray, offsets: np.ndarray, numbers: np.ndarray, similarity: float) -> np.ndarray:
    """The prefixes (`ENTRY`) of the sets `values` cut at `offsets`, which belong to documents `numbers`."""
    sizes = np.diff(offsets)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    inside = np.arange(len(values)) - offsets[owner] < prefix_lengths(sizes, similarity)[owner]
    entries = np.empty(int(inside.sum()), dtype=ENTRY)
    entries["hash"], entries["number"] = values[inside], numbers[owner[inside]]
    return entries


def write_prefixes(heldout: Path, numbers: np.ndarray, similarity: float, out: Path) -> int:
    """Write the prefixes of the documents in `heldout`, the file of a split, whose numbers these are.

    Returns how many entries that is.
    """
    row = count = 0
    with whole_path(out, sync=False) as unfinished, unfinished.open("wb") as file:
        for batch in iter_file(heldout, ("text",)):
            sets = text_sets(batch.column("text").to_pylist())
            entries = prefixes(*sets, numbers[row : row + batch.num_rows], similarity)
            file.write(entries.tobytes())
            row, count = row + batch.num_rows, count + len(entries)
    return count


def write_bitmap(prefix_files: Sequence[Path], entries: int, out: Path) -> None:
    """Write the bitmap of the leading bits of the held-out documents' entries, of which there are so many."""
    size = min(_LARGEST_BITMAP, 1 << max(12, (2 * entries).bit_length()))
    bitmap = np.zeros(size, dtype=np.uint8)
    for path in prefix_files:
        with path.open("rb") as file:
            while len(some := np.fromfile(file, dtype=ENTRY, count=_PAIRS)):
                byte, bit = _place(some["hash"], size)
                for value in range(8):
                    bitmap[byte[bit == value]] |= np.uint8(1 << value)
    bitmap.tofile(out)


def _place(hashes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Byte and bit of each hash in a bitmap of `size` bytes, a power of two."""
    places = hashes >> np.uint64(64 - (size.bit_length() - 1) - 3)
    return (places >> np.uint64(3)).astype(np.int64), (places & np.uint64(7)).astype(np.uint8)


def scan_part(
    part: Path, rows: np.ndarray, numbers: np.ndarray, wanted: np.ndarray, bitmap: Path, similarity: float, out: Path
) -> np.ndarray:
    """One pass over the text of a part: what may match held-out documents, and the sets that are wanted anyway.

    Args:
        part: a part of the documents.
        rows: bool [N], the part's rows to look at.
        numbers: int32 [rows], numbers of these documents.
        wanted: bool [rows], whose sets are written to `<out>.sets`.
        bitmap: file of `write_bitmap`.
        similarity: the least Jaccard similarity.
        out: where to write, less its ending; `<out>.hits` gets the entries that the bitmap knows.

    Returns:
        Sizes of the sets of `rows`, int32 [rows].
    """
    known = np.memmap(bitmap, dtype=np.uint8, mode="r")
    sizes = [np.empty(0, dtype=np.int32)]
    row = place = 0
    with (
        whole_path(out.with_suffix(".sets"), sync=False) as sets_path,
        whole_path(out.with_suffix(".hits"), sync=False) as hits_path,
        sets_path.open("wb") as sets,
        hits_path.open("wb") as hits,
    ):
        for batch in iter_file(part, ("text",)):
            here = np.flatnonzero(rows[row : row + batch.num_rows])
            row += batch.num_rows
            values, offsets = text_sets(batch.column("text").take(pa.array(here, pa.int64())).to_pylist())
            places = slice(place, place + len(here))
            place += len(here)
            sizes.append(np.diff(offsets).astype(np.int32))
            sets.write(values[np.repeat(wanted[places], np.diff(offsets))].tobytes())
            entries = prefixes(values, offsets, numbers[places], similarity)
            byte, bit = _place(entries["hash"], len(known))
            hits.write(entries[(known[byte] >> bit) & 1 == 1].tobytes())
    return np.concatenate(sizes)


def candidate_pairs(
    prefix_files: Sequence[Path], hits: Sequence[Path], sizes: np.ndarray, similarity: float
) -> Iterator[np.ndarray]:
    """Pairs (i < j, int64 [M, 2]) of a held-out document and another whose prefixes share an element.

    `sizes` (int32 [N]) are those of all sets: pairs that differ too much in them are left out.
    """
    total = sum(path.stat().st_size for path in (*prefix_files, *hits)) // ENTRY.itemsize
    partitions = total // _PARTITION + 1
    for partition in range(partitions):
        owners = np.concatenate(
            [read_partition(path, ENTRY, "hash", partition, partitions)[0] for path in prefix_files]
        )
        owners = owners[np.lexsort((owners["number"], owners["hash"]))]
        for path in hits:
            entries = read_partition(path, ENTRY, "hash", partition, partitions)[0]
            low = np.searchsorted(owners["hash"], entries["hash"], side="left")
            counts = np.searchsorted(owners["hash"], entries["hash"], side="right") - low
            some = counts > 0
            yield from _expand(owners["number"], entries["number"][some], low[some], counts[some], sizes, similarity)


def _expand(
    owners: np.ndarray, numbers: np.ndarray, low: np.ndarray, counts: np.ndarray, sizes: np.ndarray, similarity: float
) -> Iterator[np.ndarray]:
    """The pairs of each document with the owners from `low` on, about `_PAIRS` at a time."""
    cuts = np.searchsorted(np.cumsum(counts), np.arange(_PAIRS, counts.sum() + _PAIRS, _PAIRS), side="left") + 1
    for start, stop in pairwise([0, *cuts.tolist()]):
        many = counts[start:stop]
        within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        other = owners[np.repeat(low[start:stop], many) + within]
        each = np.repeat(numbers[start:stop], many)
        small, large = np.minimum(sizes[each], sizes[other]), np.maximum(sizes[each], sizes[other])
        likely = (each != other) & (small >= np.floor(similarity * large))
        pairs = np.stack([np.minimum(each, other)[likely], np.maximum(each, other)[likely]], axis=1)
        if len(pairs):
            yield np.unique(pairs, axis=0).astype(np.int64)
