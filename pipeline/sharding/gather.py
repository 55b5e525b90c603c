"""Second pass of the shuffle: one shard from the stretches of all runs that hold its documents.

In: the runs of a stage and their indexes. Out: one Arrow file, its entry for the manifest and its statistics.

A document belongs to the shard, and to the record batch, in which its first token falls when the stage's documents are
laid end to end in the order of (key, document id). The indexes give the number of tokens before each key range, so a
task knows where its shard begins without looking at the others, and reads only the ranges that overlap it, a few at a
time. The bytes of a shard depend on the stage's documents and on `tokens_per_shard` and `tokens_per_batch`, on nothing
else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.errors import ShardError
from pipeline.sharding.rows import Rows, concat, from_run
from pipeline.sharding.scatter import RANGES, index_name, run_name
from pipeline.sharding.writer import ShardResult, ShardWriter, read_result, write_result
from trainer.shards import DTYPE_BYTES


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


def gather(task: ShardTask, work: Path, out: Path, number_of_pieces: int) -> ShardResult | None:
    """Write one shard, or find it finished by an earlier attempt. None where no document begins in its range.

    Raises `ShardError` for a full disk or a run that cannot be read.
    """
    sidecar = work / task.sidecar
    if sidecar.exists():
        return read_result(sidecar)
    layout = Layout.read(work, number_of_pieces, task.stage)
    writer = ShardWriter(out, task.path, dtype=task.dtype, sources=task.sources, tokens_per_batch=task.tokens_per_batch)
    result = writer.write(_documents(layout, work, task))
    write_result(sidecar, result)
    return result


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
