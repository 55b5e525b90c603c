"""The token store's files: Arrow IPC, uncompressed, so that a reader maps them and copies nothing.

Columns: `doc_id` fixed_size_binary(16), `bytes` uint32 (UTF-8 length of the text), `lang` string, `grade` float32
(reading grade, NaN where unknown; only where the documents have it), `tokens` list<uint16 | uint32>. A record batch is
the fewest documents with TOKENS_PER_BATCH tokens, a file the fewest batches with TOKENS_PER_FILE, so the same documents
give the same files however they arrive. A file appears under its name when it is whole; a writer that finds whole
files goes on after them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import filled, fixed_bytes, from_fixed_bytes, from_numbers, joined_strings, list_parts, numbers
from pipeline.base.files import TEMPORARY, whole_path
from pipeline.base.finished import finish, is_finished
from pipeline.tokenization.corpus_tokens.index import FileCounts, Split, SplitCounts

TOKENS_PER_BATCH: Final = 2_000_000
TOKENS_PER_FILE: Final = 64_000_000


def schema(dtype: str, *, graded: bool = False) -> pa.Schema:
    """The files' schema for ids of `uint16` or `uint32`, with the documents' reading grade or without."""
    return pa.schema(
        [
            pa.field("doc_id", pa.binary(16), nullable=False),
            pa.field("bytes", pa.uint32(), nullable=False),
            pa.field("lang", pa.string(), nullable=False),
            *([pa.field("grade", pa.float32(), nullable=False)] if graded else []),
            pa.field("tokens", pa.list_(pa.field("item", pa.type_for_alias(dtype), nullable=False)), nullable=False),
        ]
    )


class TokenWriter:
    """Writes one split of a corpus; `documents` says how many finished files hold.

    A context manager: where its block ends with an error, the file being written is removed.
    """

    def __init__(
        self,
        out: Path,
        split: Split,
        dtype: str,
        *,
        graded: bool = False,
        batch_tokens: int = TOKENS_PER_BATCH,
        file_tokens: int = TOKENS_PER_FILE,
    ) -> None:
        self._out, self._split = out, split
        self._schema = schema(dtype, graded=graded)
        self._grade = [name for name in self._schema.names if name == "grade"]
        self._batch_tokens, self._file_tokens = batch_tokens, file_tokens
        self._hashes = {name: hashlib.sha256() for name in (*self._schema.names, "lengths")}
        self._pending: list[pa.RecordBatch] = []
        self._pending_tokens = 0
        self._files: list[FileCounts] = []
        self._file = ExitStack()
        self._sink: pa.RecordBatchFileWriter | None = None
        self._open = [0, 0, 0]  # documents, tokens, bytes of the file being written
        for leftover in out.glob(f"{split}-*{TEMPORARY}"):
            leftover.unlink()
        while is_finished(path := self._path(len(self._files))):
            self._take_finished(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    @property
    def documents(self) -> int:
        """Documents in finished files."""
        return sum(file.documents for file in self._files)

    @property
    def content_hash(self) -> str:
        """SHA-256 over every column's content in document order, however it is cut into batches and files."""
        return hashlib.sha256(b"".join(self._hashes[name].digest() for name in sorted(self._hashes))).hexdigest()

    def write(self, columns: Sequence[Any], tokens: pa.Array) -> None:
        """Append documents: the schema's other columns in order, and a list array of ids ending in end-of-text."""
        offsets, values = list_parts(tokens)
        start = 0
        while start < len(tokens):
            limit = int(offsets[start]) + self._batch_tokens - self._pending_tokens
            stop = min(int(np.searchsorted(offsets[1:], limit, side="left")) + 1, len(tokens))
            rows = slice(start, stop)
            batch = self._batch([column[rows] for column in columns], offsets[start : stop + 1], values)
            self._pending.append(batch)
            self._pending_tokens += int(offsets[stop] - offsets[start])
            if self._pending_tokens >= self._batch_tokens:
                self._flush()
            start = stop

    def close(self) -> SplitCounts:
        """Write what is left and return the counts of the whole split."""
        self._flush()
        self._finish_file()
        return SplitCounts.of(tuple(self._files))

    def _batch(self, columns: Sequence[Any], offsets: Any, values: Any) -> pa.RecordBatch:
        first, last = int(offsets[0]), int(offsets[-1])
        lists = pa.ListArray.from_arrays(
            from_numbers((offsets - first).astype(np.int32)),
            from_numbers(values[first:last]),
            type=self._schema.field("tokens").type,
        )
        return pa.RecordBatch.from_arrays([*map(_as_array, columns), lists], schema=self._schema)

    def _flush(self) -> None:
        if not self._pending:
            return
        batch = self._canonical(pa.Table.from_batches(self._pending))
        self._pending, self._pending_tokens = [], 0
        if self._sink is None:
            temporary = self._file.enter_context(whole_path(self._path(len(self._files))))
            self._sink = self._file.enter_context(pa.ipc.new_file(str(temporary), self._schema))
        self._sink.write_batch(batch)
        for i, count in enumerate(self._digest(batch)):
            self._open[i] += count
        if self._open[1] >= self._file_tokens:
            self._finish_file()

    def _canonical(self, table: pa.Table) -> pa.RecordBatch:
        """One batch with the same buffers for the same rows: no validity bitmaps, no slack, offsets from 0."""
        lists = table.column("tokens").chunks
        lengths = np.concatenate([np.diff(numbers(part.offsets)) for part in lists])
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        values = np.concatenate([list_parts(part)[1] for part in lists])
        columns = [
            from_fixed_bytes(np.concatenate([fixed_bytes(part) for part in table.column("doc_id").chunks])),
            from_numbers(numbers(table.column("bytes"))),
            joined_strings(table.column("lang").chunks),
            *(_floats(table.column(name)) for name in self._grade),
            pa.ListArray.from_arrays(
                from_numbers(offsets), from_numbers(values), type=self._schema.field("tokens").type
            ),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def _finish_file(self) -> None:
        if self._sink is None:
            return
        self._file.close()
        self._sink = None
        path = self._path(len(self._files))
        finish(path)
        self._files.append(FileCounts(path.name, *self._open))
        self._open = [0, 0, 0]

    def _take_finished(self, path: Path) -> None:
        counts = [0, 0, 0]
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            for i in range(reader.num_record_batches):
                for j, count in enumerate(self._digest(reader.get_batch(i))):
                    counts[j] += count
        self._files.append(FileCounts(path.name, *counts))

    def _digest(self, batch: pa.RecordBatch) -> tuple[int, int, int]:
        """Feed a batch to the hashes; its documents, tokens and bytes."""
        offsets, values = list_parts(batch.column("tokens"))
        sizes = numbers(batch.column("bytes"))
        langs = "\n".join(batch.column("lang").to_pylist()) + "\n"
        self._hashes["doc_id"].update(b"".join(batch.column("doc_id").to_pylist()))
        self._hashes["bytes"].update(sizes.astype("<u4").data)
        self._hashes["lang"].update(langs.encode())
        self._hashes["lengths"].update(np.diff(offsets).astype("<i8").data)
        for name in self._grade:
            self._hashes[name].update(numbers(batch.column(name)).astype("<f4").data)
        self._hashes["tokens"].update(np.ascontiguousarray(values).data)
        return batch.num_rows, len(values), int(sizes.sum())

    def _path(self, number: int) -> Path:
        return self._out / f"{self._split}-{number:05d}.arrow"


def _floats(column: pa.ChunkedArray) -> pa.Array:
    return from_numbers(numbers(filled(column, float("nan"))).astype(np.float32, copy=False))


def _as_array(column: Any) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
    return column
