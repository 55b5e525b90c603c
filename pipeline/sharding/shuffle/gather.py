"""Second pass of the shuffle: one shard from the stretches of all runs that hold its documents.

In: the runs of a stage and their indexes. Out: one Arrow file, its entry for the manifest and its statistics.

A document belongs to the shard, and to the record batch, in which its first token falls when the stage's documents are
laid end to end in the order of (key, document id). The indexes give the number of tokens before each key range, so it
is known beforehand where each shard begins and which ranges overlap it; a task reads those, a few at a time. The bytes
of a shard depend on the stage's documents and on `tokens_per_shard` and `tokens_per_batch`, on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.base.finished import finish, is_finished
from pipeline.sharding.output.rows import Rows
from pipeline.sharding.output.writer import ShardResult, ShardWriter, read_result, write_result
from pipeline.sharding.shuffle.maps import mapped
from pipeline.sharding.shuffle.places import PLACE_BYTES, concat, read_run
from pipeline.sharding.shuffle.scatter import RANGES, Piece, index_name, run_name, tokens_name
from trainer.data.shards import DTYPE_BYTES


@dataclass(frozen=True)
class Run:
    """A run and the file that its documents' tokens are in."""

    path: Path
    tokens: Path


@dataclass(frozen=True)
class Window:
    """Key ranges that are read in one go: from each run, the documents [first, last)."""

    begins: int
    """Tokens of the stage before them."""
    first: np.ndarray
    last: np.ndarray


@dataclass(frozen=True)
class Layout:
    """Where a stage's documents lie in the runs."""

    runs: tuple[Run, ...]
    documents: np.ndarray
    """Documents before each range in each run, int64 [runs, RANGES + 1]."""
    tokens: np.ndarray
    """Tokens before each range, over all runs, int64 [RANGES + 1]."""

    @classmethod
    def read(cls, work: Path, pieces: Sequence[Piece], stage: int, copying: bool) -> Layout:
        """Collect the indexes that `scatter` wrote for a stage."""
        runs: list[Run] = []
        counts: list[np.ndarray] = []
        for piece in pieces:
            with np.load(work / index_name(piece.number)) as index:
                of_stage = np.flatnonzero(index["stages"] == stage).tolist()
                counts.append(index["counts"][of_stage])
            for run in of_stage:
                tokens = work / tokens_name(piece.number, run) if copying else piece.file.path
                runs.append(Run(work / run_name(piece.number, run), tokens))
        table = np.concatenate(counts) if counts else np.zeros((0, 2, RANGES), np.int64)
        documents = np.zeros((len(runs), RANGES + 1), dtype=np.int64)
        np.cumsum(table[:, 0], axis=1, out=documents[:, 1:])
        tokens_before = np.zeros(RANGES + 1, dtype=np.int64)
        np.cumsum(table[:, 1].sum(axis=0), out=tokens_before[1:])
        return cls(tuple(runs), documents, tokens_before)

    @property
    def total_tokens(self) -> int:
        return int(self.tokens[-1])

    def windows(self, start: int, stop: int, window_bytes: int, itemsize: int) -> Iterator[Window]:
        """Windows of about `window_bytes` of memory over the documents that begin in tokens [start, stop)."""
        memory = self.tokens * itemsize + self.documents.sum(axis=0) * PLACE_BYTES
        first = max(0, int(np.searchsorted(self.tokens, start, side="right")) - 1)
        end = int(np.searchsorted(self.tokens, stop, side="left"))
        while first < end:
            last = int(np.searchsorted(memory, memory[first] + window_bytes, side="right")) - 1
            last = min(max(last, first + 1), end)
            yield Window(int(self.tokens[first]), self.documents[:, first], self.documents[:, last])
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
    runs: tuple[Run, ...]
    windows: tuple[Window, ...]

    @property
    def path(self) -> str:
        return f"stage_{self.stage}/shard_{self.number:05d}.arrow"

    @property
    def sidecar(self) -> str:
        return f"stage_{self.stage}_shard_{self.number:05d}.json"


def gather(task: ShardTask, work: Path, out: Path) -> tuple[int, ShardResult | None]:
    """Write one shard, or find it finished by an earlier attempt: its stage, and its result.

    None instead of a result where no document begins in its range.

    Raises `ShardError` for a full disk or a run that cannot be read.
    """
    sidecar = work / task.sidecar
    if is_finished(sidecar):
        return task.stage, read_result(sidecar)
    writer = ShardWriter(out, task.path, dtype=task.dtype, sources=task.sources, tokens_per_batch=task.tokens_per_batch)
    result = writer.write(_documents(task))
    write_result(sidecar, result)
    finish(sidecar, *([out / task.path] if result else []))
    return task.stage, result


def _documents(task: ShardTask) -> Iterator[tuple[int, Rows]]:
    """The shard's documents in order, window by window, with the token at which each window begins."""
    runs = [read_run(run.path, number) for number, run in enumerate(task.runs)]
    maps = mapped([run.tokens for run in task.runs])
    itemsize = DTYPE_BYTES[task.dtype]
    for window in task.windows:
        stretches = [
            run.take(slice(first, last))
            for run, first, last in zip(runs, window.first.tolist(), window.last.tolist(), strict=True)
            if last > first
        ]
        if not stretches:
            continue
        places = concat(stretches).sorted()
        starts = window.begins + (np.cumsum(places.sizes) - places.sizes) // itemsize
        inside = slice(*np.searchsorted(starts, [task.start, task.stop]).tolist())
        if inside.start < inside.stop:
            yield int(starts[inside.start]), places.take(inside).fetch(maps)
