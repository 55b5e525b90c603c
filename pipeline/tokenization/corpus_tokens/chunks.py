"""Record batches cut anew: without the rows that are done already, and in tables of about one size of text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import numbers


def skip_rows(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The batches without their first `rows` rows."""
    for batch in batches:
        if rows >= batch.num_rows:
            rows -= batch.num_rows
            continue
        yield batch.slice(rows)
        rows = 0


def chunks(batches: Iterator[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """The same rows in tables of about `size` bytes of text (column `bytes`), at least one document each."""
    pending: list[pa.RecordBatch] = []
    pending_bytes = 0
    for batch in batches:
        ends = np.cumsum(numbers(batch.column("bytes")).astype(np.int64))
        start = 0
        while start < batch.num_rows:
            before = int(ends[start - 1]) if start else 0
            stop = int(np.searchsorted(ends, before + size - pending_bytes, side="left")) + 1
            rows = batch.slice(start, stop - start)
            pending.append(rows)
            pending_bytes += int(ends[min(stop, batch.num_rows) - 1]) - before
            start += rows.num_rows
            if pending_bytes >= size:
                yield pa.Table.from_batches(pending)
                pending, pending_bytes = [], 0
    if pending:
        yield pa.Table.from_batches(pending)
