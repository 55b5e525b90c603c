"""Passages cut out of documents, as they are read: the text on disk stays what it is.

In: `cuts.parquet` of a corpus, the stretches of its documents that go. Out: batches whose `text` and `bytes` are those
of what is left. Where a stretch was, a line ends; a paragraph does where one did on either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa

from pipeline.base.parquet import read_table

CUTS_FILE: Final = "cuts.parquet"
SCHEMA: Final = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("start", pa.uint32(), nullable=False),
        pa.field("stop", pa.uint32(), nullable=False),
    ]
)
_BLANKS: Final = b" \t\n\r\x0b\x0c"


@dataclass(frozen=True)
class Cuts:
    """Stretches [starts, stops) of bytes of documents, in the documents' order; those of one do not overlap."""

    rows: np.ndarray
    """int64 [C], ascending"""
    starts: np.ndarray
    """uint32 [C]"""
    stops: np.ndarray
    """uint32 [C]"""

    @classmethod
    def of(cls, folder: Path) -> Self | None:
        """Those of a corpus's selection, where it has any."""
        if not (folder / CUTS_FILE).is_file():
            return None
        table = read_table(folder / CUTS_FILE, columns=SCHEMA.names)
        return cls(*(table.column(name).to_numpy() for name in SCHEMA.names))

    def between(self, start: int, stop: int) -> Self:
        """Those of rows [start, stop), numbered from 0."""
        low, high = np.searchsorted(self.rows, [start, stop])
        return type(self)(self.rows[low:high] - start, self.starts[low:high], self.stops[low:high])

    def applied(self, batch: pa.RecordBatch, rows: np.ndarray) -> pa.RecordBatch:
        """A batch with `text`, of these rows (int64 [N], ascending), without what is cut of it."""
        if not np.isin(rows, self.rows).any():
            return batch
        texts, sizes = batch.column("text").to_pylist(), []
        low, high = np.searchsorted(self.rows, rows), np.searchsorted(self.rows, rows, side="right")
        for place in np.flatnonzero(high > low).tolist():
            here = slice(low[place], high[place])
            texts[place] = without(texts[place], self.starts[here], self.stops[here])
        named = {"text": pa.array(texts, batch.schema.field("text").type)}
        if "bytes" in batch.schema.names:
            sizes = [len(text.encode("utf-8")) for text in texts]
            named["bytes"] = pa.array(sizes, batch.schema.field("bytes").type)
        columns = [named.get(name, batch.column(name)) for name in batch.schema.names]
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def without(text: str, starts: np.ndarray, stops: np.ndarray) -> str:
    """A text without the stretches [starts, stops) of its UTF-8, which rise and do not overlap."""
    data, left, place = text.encode("utf-8"), b"", 0
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        left = _joined(left, data[place:start])
        place = stop
    return _joined(left, data[place:]).strip(_BLANKS).decode("utf-8")


def _joined(before: bytes, after: bytes) -> bytes:
    if not before:
        return after
    kept, rest = before.rstrip(_BLANKS), after.lstrip(_BLANKS)
    between = before[len(kept) :] + after[: len(after) - len(rest)]
    return kept + (b"\n\n" if between.count(b"\n") > 1 else b"\n") + rest
