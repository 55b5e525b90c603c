"""Documents by where their tokens lie: what the shuffle sorts, so that tokens are copied once or twice and no more.

In: record batches of a mapped Arrow file. Out: `Places`, some 50 bytes a document, kept sorted in runs on disk, and
turned into `Rows` when a shard is written. The tokens are in the token store's own file where that stays in the page
cache, else in a file beside the run, in the run's order (see `scatter`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import fixed_bytes, from_fixed_bytes, from_numbers, numbers
from pipeline.base.errors import ShardError
from pipeline.sharding.output.rows import Rows, reading_order

PLACE_BYTES = 160
"""Memory of a document besides its tokens: its place, the sorted copy, its row and its entries in Arrow buffers."""
_CHUNK = 16_384

RUN_SCHEMA = pa.schema(
    {
        "key": pa.uint64(),
        "doc_id": pa.binary(16),
        "source_id": pa.uint16(),
        "bytes": pa.uint32(),
        "start": pa.int64(),
        "size": pa.int64(),
    }
)


@dataclass
class Places:
    """Documents in order, each a stretch of bytes of a file."""

    keys: np.ndarray
    """Sort keys, uint64 [n]."""
    ids: np.ndarray
    """uint8 [n, 16]."""
    sources: np.ndarray
    """uint16 [n]."""
    bytes: np.ndarray
    """UTF-8 length of the text, uint32 [n]."""
    starts: np.ndarray
    """Where the tokens begin in the file, in bytes, int64 [n]."""
    sizes: np.ndarray
    """Bytes of the tokens, int64 [n]."""
    files: np.ndarray
    """Which file, int64 [n]: an index into the maps given to `fetch`."""

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, which: np.ndarray | slice) -> Places:
        """The documents at positions `which`: views for a slice, else copies."""
        return Places(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def sorted(self) -> Places:
        """In the order of (key, document id)."""
        return self.take(reading_order(self.keys, self.ids))

    def fetch(self, maps: Sequence[memoryview]) -> Rows:
        """The documents with their tokens, copied from the files."""
        ends = np.cumsum(self.sizes)
        data = np.empty(int(ends[-1]) if len(self) else 0, dtype=np.uint8)
        copy_stretches(self, maps, data.data)
        offsets = np.concatenate([[0], ends]).astype(np.int64)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        tokens = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(self), buffers)
        return Rows(self.keys, self.ids, self.sources, self.bytes, tokens)


def concat(places: list[Places]) -> Places:
    """Documents of all `places`, one after the other."""
    names = Places.__dataclass_fields__
    return Places(*(np.concatenate([getattr(part, name) for part in places]) for name in names))


def copy_stretches(places: Places, maps: Sequence[memoryview], out: memoryview) -> None:
    """Copy the documents' bytes to `out`, one after the other.

    A slice assignment is one memcpy; with a few hundred bytes a document it costs less than Arrow's `take`, which would
    need all files' tokens in one array first.
    """
    end = 0
    for first in range(0, len(places), _CHUNK):
        part = places.take(slice(first, first + _CHUNK))
        stops = (part.starts + part.sizes).tolist()
        for file, start, stop in zip(part.files.tolist(), part.starts.tolist(), stops, strict=True):
            begin, end = end, end + stop - start
            out[begin:end] = maps[file][start:stop]


def write_run(places: Places, path: Path) -> None:
    """The documents as a run, the shuffle's temporary format; `files` is left out: a run's tokens are in one file."""
    columns = [
        from_numbers(places.keys),
        from_fixed_bytes(places.ids),
        from_numbers(places.sources),
        from_numbers(places.bytes),
        from_numbers(places.starts),
        from_numbers(places.sizes),
    ]
    batch = pa.record_batch(columns, schema=RUN_SCHEMA)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write(batch)


def read_run(path: Path, number: int) -> Places:
    """The inverse of `write_run`, as views of the mapped file; its documents are in file `number`.

    Raises `ShardError` for a run that cannot be read.
    """
    try:
        with pa.memory_map(str(path)) as source:
            key, ids, *others = pa.ipc.open_file(source).get_batch(0).columns
    except (OSError, pa.ArrowException) as error:
        raise ShardError(
            f"{path}: a temporary run of the shuffle is damaged ({error}); delete its folder, run again"
        ) from None
    source, size, start, length = map(numbers, others)
    files = np.broadcast_to(np.int64(number), len(key))  # takes no memory
    return Places(numbers(key), fixed_bytes(ids), source, size, start, length, files)
