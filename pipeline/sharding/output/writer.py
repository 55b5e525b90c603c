"""One shard's file: documents cut into record batches, written, hashed and counted in one go.

In: documents in reading order, a stretch at a time. Out: an Arrow file that is whole or not there, its entry for the
manifest, and what plots show of it. Batches are cut by where documents begin in the stage's stream, so the bytes do not
depend on the stretches.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.base import files
from pipeline.base.arrow import offsets_of
from pipeline.sharding.output.rows import Rows, concat, shard_batch
from trainer.data.shards import DTYPE_BYTES, ShardEntry, shard_schema

LENGTH_BINS: Final = 32
"""Document lengths are counted by powers of 2."""


@dataclass(frozen=True)
class ShardResult:
    """A finished shard: its entry and statistics."""

    entry: ShardEntry
    source_counts: list[list[int]]
    """Documents, tokens and bytes by `source_id`."""
    batch_tokens: list[list[int]]
    """Tokens by record batch and `source_id`: the curriculum's curve."""
    length_counts: list[int]
    """Documents by power of two of their length in tokens."""


def write_result(path: Path, result: ShardResult | None) -> None:
    """Note a shard as finished: the last thing its task does."""
    files.write_json(path, asdict(result) if result else None)


def read_result(path: Path) -> ShardResult | None:
    """What `write_result` noted."""
    data = json.loads(path.read_bytes())
    return ShardResult(**{**data, "entry": ShardEntry(**data["entry"])}) if data else None


class ShardWriter:
    """Cuts a shard's documents into record batches, writes, hashes and counts them."""

    def __init__(self, folder: Path, name: str, *, dtype: str, sources: int, tokens_per_batch: int) -> None:
        """The shard will be `folder/name`, with tokens of `dtype` and documents of `sources` corpora."""
        self._folder = folder
        self._name = name
        self._dtype = dtype
        self._tokens_per_batch = tokens_per_batch
        self._itemsize = DTYPE_BYTES[dtype]
        self._column_hashes = [hashlib.sha256() for _ in range(5)]
        self._counts = np.zeros((sources, 3), dtype=np.int64)
        self._curve: list[list[int]] = []
        self._lengths = np.zeros(LENGTH_BINS, dtype=np.int64)

    def write(self, windows: Iterable[tuple[int, Rows]]) -> ShardResult | None:
        """Write documents that come as (first token's place in the stage's stream, documents), in order.

        None, and no file, where there are no documents. Raises `ShardError` for a full disk.
        """
        path = self._folder / self._name
        first_token: int | None = None
        with files.whole_file(path) as file:
            hashing = files.HashingWriter(file)
            sink = pa.PythonFile(hashing, mode="w")
            with pa.ipc.new_file(sink, shard_schema(self._dtype)) as arrow:
                for begins, batch in self._batches(windows):
                    first_token = begins if first_token is None else first_token
                    arrow.write(shard_batch(batch, self._dtype))
                    self._count(batch)
        if first_token is None:
            path.unlink(missing_ok=True)  # another attempt at the same shard may have been here
            return None
        totals = self._counts.sum(axis=0)
        digest = hashlib.sha256(b"".join(column.digest() for column in self._column_hashes)).hexdigest()
        entry = ShardEntry(self._name, int(totals[0]), int(totals[1]), first_token, hashing.hexdigest(), digest)
        return ShardResult(entry, self._counts.tolist(), self._curve, self._lengths.tolist())

    def _batches(self, windows: Iterable[tuple[int, Rows]]) -> Iterator[tuple[int, Rows]]:
        """Cut at multiples of `tokens_per_batch` of the stage's stream, by each document's first token."""
        pending: list[Rows] = []
        number, begins = -1, 0
        for window_begins, rows in windows:
            if not len(rows):
                continue
            starts = window_begins + np.cumsum(rows.lengths(self._itemsize)) - rows.lengths(self._itemsize)
            numbers = starts // self._tokens_per_batch
            cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(rows)]
            for start, stop in itertools.pairwise(cuts):
                if int(numbers[start]) != number:
                    if pending:
                        yield begins, concat(pending)
                    pending, number, begins = [], int(numbers[start]), int(starts[start])
                pending.append(rows.slice(start, stop))
        if pending:
            yield begins, concat(pending)

    def _count(self, rows: Rows) -> None:
        """Statistics and the content hash: SHA-256 over each column's values, whatever batches they come in."""
        lengths = rows.lengths(self._itemsize)
        offsets = offsets_of(rows.tokens)
        tokens = memoryview(rows.tokens.buffers()[2])[int(offsets[0]) : int(offsets[-1])]
        columns = (rows.ids, rows.sources.astype("<u2"), rows.bytes.astype("<u4"), lengths.astype("<u4"))
        contents = [*(np.ascontiguousarray(column).data for column in columns), tokens]
        for column_hash, content in zip(self._column_hashes, contents, strict=True):
            column_hash.update(content)
        before = self._counts[:, 1].copy()
        np.add.at(self._counts[:, 0], rows.sources, 1)
        np.add.at(self._counts[:, 1], rows.sources, lengths)
        np.add.at(self._counts[:, 2], rows.sources, rows.bytes)
        self._curve.append((self._counts[:, 1] - before).tolist())
        powers = np.frexp(np.maximum(lengths, 1).astype(np.float64))[1] - 1
        self._lengths += np.bincount(powers, minlength=LENGTH_BINS)[:LENGTH_BINS]
