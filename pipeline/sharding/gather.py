"""Second pass of the shuffle: one shard from the stretches of all runs that hold its documents.

In: the runs of a stage and their indexes. Out: one Arrow file, its entry for the manifest and its statistics.

A document belongs to the shard, and to the record batch, in which its first token falls when the stage's documents are
laid end to end in the order of (key, document id). The indexes give the number of tokens before each key range, so a
task knows where its shard begins without looking at the others, and reads only the ranges that overlap it, a few at a
time. The bytes of a shard depend on the stage's documents and on `tokens_per_shard` and `tokens_per_batch`, on nothing
else.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.errors import ShardError
from pipeline.sharding import files
from pipeline.sharding.rows import Rows, concat, from_run, shard_batch
from pipeline.sharding.scatter import RANGES, index_name, run_name
from trainer.shards import DTYPE_BYTES, ShardEntry, shard_schema

LENGTH_BINS: Final = 32
"""Document lengths are counted by powers of 2."""


@dataclass(frozen=True)
class Layout:
    """Where a stage's documents lie in the runs."""

    runs: tuple[str, ...]
    documents: np.ndarray
    """Documents before each range in each run, int64 [runs, RANGES + 1]."""
    tokens: np.ndarray
    """Tokens before each range, over all runs, int64 [RANGES + 1]."""

    @classmethod
    def read(cls, work: Path, number_of_pieces: int, stage: int) -> Layout:
        """Collect the indexes that `scatter` wrote for a stage."""
        runs: list[str] = []
        counts: list[np.ndarray] = []
        for piece in range(number_of_pieces):
            with np.load(work / index_name(piece)) as index:
                mine = np.flatnonzero(index["stages"] == stage)
                counts.append(index["counts"][mine])
                runs += [run_name(piece, int(run)) for run in mine]
        table = np.concatenate(counts) if counts else np.zeros((0, 2, RANGES), np.int64)
        documents = np.zeros((len(runs), RANGES + 1), dtype=np.int64)
        np.cumsum(table[:, 0], axis=1, out=documents[:, 1:])
        tokens = np.zeros(RANGES + 1, dtype=np.int64)
        np.cumsum(table[:, 1].sum(axis=0), out=tokens[1:])
        return cls(tuple(runs), documents, tokens)

    @property
    def total_tokens(self) -> int:
        return int(self.tokens[-1])

    def windows(self, start: int, stop: int, window_tokens: int) -> Iterator[tuple[int, int]]:
        """Ranges [first, last) that hold the documents beginning in tokens [start, stop), a few at a time."""
        first = max(0, int(np.searchsorted(self.tokens, start, side="right")) - 1)
        end = int(np.searchsorted(self.tokens, stop, side="left"))
        while first < end:
            last = int(np.searchsorted(self.tokens, self.tokens[first] + window_tokens, side="right")) - 1
            last = min(max(last, first + 1), end)
            yield first, last
            first = last


@dataclass(frozen=True)
class ShardTask:
    """One shard of a stage: the documents whose first token falls in [start, stop) of the stage's stream."""

    stage: int
    number: int
    start: int
    stop: int
    dtype: str
    sources: int
    tokens_per_batch: int
    window_tokens: int

    @property
    def path(self) -> str:
        return f"stage_{self.stage}/shard_{self.number:05d}.arrow"

    @property
    def sidecar(self) -> str:
        return f"stage_{self.stage}_shard_{self.number:05d}.json"


@dataclass(frozen=True)
class ShardResult:
    """A finished shard: its entry (whose `first_token` is known to be `start` of the first document) and statistics."""

    entry: ShardEntry
    source_counts: list[list[int]]
    """Documents, tokens and bytes by source."""
    batch_tokens: list[list[int]]
    """Tokens by record batch and source: the curriculum's curve."""
    length_counts: list[int]
    """Documents by power of two of their length in tokens."""


def gather(task: ShardTask, work: Path, out: Path, number_of_pieces: int) -> ShardResult | None:
    """Write one shard, or find it finished by an earlier attempt. None where no document begins in its range.

    Raises `ShardError` for a full disk or a run that cannot be read.
    """
    sidecar = work / task.sidecar
    if sidecar.exists():
        return _read_sidecar(sidecar)
    layout = Layout.read(work, number_of_pieces, task.stage)
    writer = _ShardWriter(task, out / task.path)
    rows = _documents(layout, work, task)
    result = writer.write(rows)
    files.write_json(sidecar, asdict(result) if result else None)
    return result


def _read_sidecar(path: Path) -> ShardResult | None:
    data = json.loads(path.read_bytes())
    return ShardResult(**{**data, "entry": ShardEntry(**data["entry"])}) if data else None


def _documents(layout: Layout, work: Path, task: ShardTask) -> Iterator[tuple[int, Rows]]:
    """The shard's documents in order, window by window, with the token at which each window begins."""
    batches = [_open_run(work / name) for name in layout.runs]
    itemsize = DTYPE_BYTES[task.dtype]
    for first, last in layout.windows(task.start, task.stop, task.window_tokens):
        stretches = [
            from_run(batch.slice(int(before[first]), int(before[last] - before[first])))
            for batch, before in zip(batches, layout.documents, strict=True)
            if before[last] > before[first]
        ]
        if not stretches:
            continue
        rows = concat(stretches).sorted()
        begins = int(layout.tokens[first])
        starts = begins + np.cumsum(rows.lengths(itemsize)) - rows.lengths(itemsize)
        inside = np.searchsorted(starts, [task.start, task.stop])
        if inside[0] < inside[1]:
            yield int(starts[inside[0]]), rows.slice(int(inside[0]), int(inside[1]))


def _open_run(path: Path) -> pa.RecordBatch:
    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).get_batch(0)
    except (OSError, pa.ArrowException) as error:
        raise ShardError(
            f"{path}: a temporary run of the shuffle is damaged ({error}); delete its folder, run again"
        ) from None


class _ShardWriter:
    """Cuts a shard's documents into record batches, writes, hashes and counts them."""

    def __init__(self, task: ShardTask, path: Path) -> None:
        self._task = task
        self._path = path
        self._itemsize = DTYPE_BYTES[task.dtype]
        self._columns = [hashlib.sha256() for _ in range(5)]
        self._counts = np.zeros((task.sources, 3), dtype=np.int64)
        self._curve: list[list[int]] = []
        self._lengths = np.zeros(LENGTH_BINS, dtype=np.int64)

    def write(self, windows: Iterator[tuple[int, Rows]]) -> ShardResult | None:
        first_token: int | None = None
        with files.whole_file(self._path) as file:
            hashing = files.HashingWriter(file)
            sink = pa.PythonFile(hashing, mode="w")
            with pa.ipc.new_file(sink, shard_schema(self._task.dtype)) as arrow:
                for begins, batch in self._batches(windows):
                    first_token = begins if first_token is None else first_token
                    arrow.write(shard_batch(batch, self._task.dtype))
                    self._count(batch)
        if first_token is None:
            self._path.unlink()
            return None
        totals = self._counts.sum(axis=0)
        digest = hashlib.sha256(b"".join(column.digest() for column in self._columns)).hexdigest()
        entry = ShardEntry(self._task.path, int(totals[0]), int(totals[1]), first_token, hashing.hexdigest(), digest)
        return ShardResult(entry, self._counts.tolist(), self._curve, self._lengths.tolist())

    def _batches(self, windows: Iterator[tuple[int, Rows]]) -> Iterator[tuple[int, Rows]]:
        """Cut at multiples of `tokens_per_batch` of the stage's stream, by each document's first token."""
        pending: list[Rows] = []
        number, begins = -1, 0
        for window_begins, rows in windows:
            starts = window_begins + np.cumsum(rows.lengths(self._itemsize)) - rows.lengths(self._itemsize)
            numbers = starts // self._task.tokens_per_batch
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
        offsets = np.frombuffer(rows.tokens.buffers()[1], dtype=np.int64)[rows.tokens.offset :]
        tokens = memoryview(rows.tokens.buffers()[2])[int(offsets[0]) : int(offsets[len(rows)])]
        numbers = (rows.ids, rows.sources.astype("<u2"), rows.bytes.astype("<u4"), lengths.astype("<u4"))
        for column, values in zip(self._columns, numbers, strict=False):
            column.update(np.ascontiguousarray(values).data)
        self._columns[-1].update(tokens)
        before = self._counts[:, 1].copy()
        np.add.at(self._counts[:, 0], rows.sources, 1)
        np.add.at(self._counts[:, 1], rows.sources, lengths)
        np.add.at(self._counts[:, 2], rows.sources, rows.bytes)
        self._curve.append((self._counts[:, 1] - before).tolist())
        powers = np.frexp(np.maximum(lengths, 1).astype(np.float64))[1] - 1
        self._lengths += np.bincount(powers, minlength=LENGTH_BINS)[:LENGTH_BINS]
