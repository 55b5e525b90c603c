"""Best-fit packing: rows of whole documents beside the shards, worked out once, when the shards are written.

In: a stage's shards and a context T. Out: `stage_<s>/rows.arrow`, a row for each T + 1 tokens of training: the spans
of the stage's stream it is made of, and so many padded positions at its end.

A document longer than a row is cut into full rows and a remainder; remainders and short documents are put, longest
first, each into the row with the least room that still holds it (best-fit decreasing; Ding et al. 2024, "Fewer
truncations improve language modeling"). No token is lost. Documents of one record batch are packed together, which
wastes little (there are thousands) and keeps the shuffle: rows follow the order in which their first documents come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.base import files
from pipeline.base.arrow import from_numbers, offsets_of
from trainer.data.shards import Packing, ShardEntry, rows_schema
from trainer.data.streams import open_batches

Row = list[tuple[int, int]]
"""Spans of the stage's stream that fill a row: (first token, tokens) each."""


def pack(lengths: Sequence[int], capacity: int) -> list[Row]:
    """Rows of at most `capacity` tokens from documents laid end to end; their spans counted from the first document."""
    rows: list[Row] = []
    rests: list[tuple[int, int]] = []
    start = 0
    for length in lengths:
        full, rest = divmod(length, capacity)
        rows += [[(start + i * capacity, capacity)] for i in range(full)]
        if rest:
            rests.append((start + full * capacity, rest))
        start += length
    rests.sort(key=lambda span: (-span[1], span[0]))
    with_room: dict[int, list[int]] = {}
    rooms = 0  # bit r is set where some row has room for exactly r tokens
    for span in rests:
        fitting = rooms >> span[1]
        if fitting:
            room = span[1] + (fitting & -fitting).bit_length() - 1
            row = with_room[room].pop()
            if not with_room[room]:
                rooms &= ~(1 << room)
        else:
            row, room = len(rows), capacity
            rows.append([])
        rows[row].append(span)
        left = room - span[1]
        if left:
            with_room.setdefault(left, []).append(row)
            rooms |= 1 << left
    return sorted(sorted(row) for row in rows)


def pack_stage(out: Path, stage: int, shards: Sequence[ShardEntry], context: int, dtype: str) -> Packing:
    """Write the rows of a stage's shards for a context; returns the manifest's entry."""
    name = f"stage_{stage}/rows.arrow"
    counts = np.zeros(2, dtype=np.int64)
    with files.whole_file(out / name) as file:
        hashing = files.HashingWriter(file)
        with pa.ipc.new_file(pa.PythonFile(hashing, mode="w"), rows_schema()) as arrow:
            for first_token, lengths in _batches(out, shards, dtype):
                rows = pack(lengths.tolist(), context + 1)
                arrow.write(_rows_batch(rows, first_token))
                counts += [len(rows), len(rows) * (context + 1) - int(lengths.sum())]
    return Packing(name, context, int(counts[0]), int(counts[1]), hashing.hexdigest())


def _batches(out: Path, shards: Sequence[ShardEntry], dtype: str) -> Iterator[tuple[int, np.ndarray]]:
    """Document lengths of each record batch, and the batch's first token in the stage's stream."""
    for shard in shards:
        first_token = shard.first_token
        for batch in open_batches(out / shard.path, dtype):
            lengths = np.diff(offsets_of(batch.column("tokens")).astype(np.int64))
            yield first_token, lengths
            first_token += int(lengths.sum())


def _rows_batch(rows: list[Row], first_token: int) -> pa.RecordBatch:
    offsets = np.cumsum([0, *(len(row) for row in rows)]).astype(np.int32)
    spans = np.array([span for row in rows for span in row], dtype=np.int64).reshape(-1, 2)
    starts, lengths = from_numbers(first_token + spans[:, 0]), from_numbers(spans[:, 1].astype(np.int32))
    columns = [
        pa.ListArray.from_arrays(from_numbers(offsets), column, type=field.type)
        for column, field in zip((starts, lengths), rows_schema(), strict=True)
    ]
    return pa.record_batch(columns, schema=rows_schema())
